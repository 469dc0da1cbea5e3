"""What a language model is trained by: each algorithm says what it is made of and what its loss is.

base.py       the contract: forward, weight, parts, backbones, example
backbone.py   a language model that is run on batches, trained or not
sft.py        the next-token loss on packed documents
"""
