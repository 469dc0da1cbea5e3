"""What a language model is trained by: each algorithm says what it is made of and what its loss is.

base.py            the contract: forward, weight, survey, parts, backbones, example
backbone.py        a language model that is run on batches, trained or not
sft.py             the next-token loss on packed documents
with_reference.py  what is held against a reference, and the reference
preference.py      pairs and rankings of answers
unpaired.py        answers that are judged one by one; mismatched.py measures how far it has gone
alarms.py          what their numbers say goes wrong
"""
