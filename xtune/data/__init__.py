"""From files to batches, one direction, no side doors; see pipeline.py for the order.

    row --map_fn--> Conversation --template--> [Span] --tokenize--> Sample --fit--> cache
    cache --pack--> items --loader--> Batch

A config names the whole as `SFTDataset` (dataset.py) or `PreferenceDataset` (preferences.py), whose
rows become groups of samples that stay together (groups.py); a run knows both as a `Dataset`
(protocol.py).
"""
