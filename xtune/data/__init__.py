"""From files to batches, one direction, no side doors; see pipeline.py for the order.

    row --map_fn--> Conversation --template--> [Span] --tokenize--> Sample --fit--> cache
    cache --pack--> items --loader--> Batch

A config names the whole as `SFTDataset` (dataset.py), `PreferenceDataset` (preferences.py), whose
rows become groups of samples that stay together (groups.py), or `UnpairedPreferenceDataset`
(unpaired.py); a run knows each as a `Dataset` (protocol.py).
"""
