"""The proof that an export answers as `xtune chat` does, or why it is not kept.

    dialogues.py   18 dialogues: 12 of the run's own and 6 that programs stumble over
    reference.py   what chat computes of them: base and unmerged adapter, ids, log-probabilities
    scores.py      how near another's distributions come; limits.py: how near they must, by format
    readers.py     the written folder or file, read back by transformers
    llamacpp.py    the written file, read by llama.cpp (extra `llamacpp`)
    prove.py       all of it together; report.py: the table that is left next to the export

Nothing here is compared with the merged model: the reference lies before every step that is proven.
"""
