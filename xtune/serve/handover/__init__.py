"""What another program needs to run a model of ours, written and checked: `xtune handover`.

    given.py       what is handed over: base, adapter, tokenizer, stop words; and what cannot be
    tokenizer.py   the tokenizer's files with the trained template, and proof that ids are ours
    targets/       a file a program: `write(given, out)`; its docstring's first line is its help

A new target is a new file in targets/, and nothing else.
"""
