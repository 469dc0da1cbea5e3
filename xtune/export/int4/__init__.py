"""Weights in 4 bits, or half of them zero, chosen by what the run's own rows put into each layer.

columns.py      one matrix: columns changed one after the other, the rest making up for it
gptq.py         the change is rounding (GPTQ)
sparse.py       the change is leaving out (SparseGPT)
calibrate.py    layer by layer, so that one layer and its inputs are all that is held
compressed.py   packed as compressed-tensors' `pack-quantized`
"""
