"""Weights in 4 bits, chosen by what the run's own rows put into each layer; for vLLM and SGLang.

gptq.py         one matrix: columns rounded one after the other, the rest making up for it (GPTQ)
calibrate.py    layer by layer, so that one layer and its inputs are all that is held
compressed.py   packed as compressed-tensors' `pack-quantized`
"""
