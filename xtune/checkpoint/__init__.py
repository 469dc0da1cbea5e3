"""Saving a run so that it can be resumed bit for bit.

    checkpoints/
      step_000500/
        adapter/    PEFT files, the tokenizer with the template it was trained with, xtune.json
        model/      instead of adapter/, for full fine-tuning: Hugging Face files and tokenizer
        state/      optimizer, counters, random generators: safetensors and JSON, nothing pickled
        meta.json   format version, size and sha256 of every file
      latest        -> the newest whole one

folder.py writes and finds such folders, meta.py tells a whole one from a damaged one, state.py
writes state/, disk.py recognises a full disk; xtune/export writes adapter/ and model/.
"""
