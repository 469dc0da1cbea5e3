"""What another program needs to run a model of ours, written and checked: `xtune handover`.

    given.py       what is handed over: base, adapter, tokenizer, stop words; and what cannot be
    tokenizer.py   the tokenizer's files with the trained template, and proof that ids are ours
    adapter.py     an adapter for servers that load it next to its base, or why it is merged
    page.py        the README.md: install, run, what was checked, what is otherwise
    targets/       a file a program: `write(given, out)`; its docstring's first line is its help

A new target is a new file in targets/, and nothing else.
"""
