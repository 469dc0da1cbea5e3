"""What other programs load: adapters, merged models, and the proof that they compute the same.

export.py   writes an adapter in PEFT's format or a model in Hugging Face's
merge.py    merges an adapter into its base; parity.py compares the two
endings.py  writes the end tokens where other programs look for them
shards.py   reads folders that hold only shards; expand.py, tiny.py make new bases
"""
