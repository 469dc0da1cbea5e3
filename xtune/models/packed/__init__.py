"""Published checkpoints in 2, 3, 4 and 8 bits (GPTQ, AWQ, compressed-tensors), to train on.

codes.py       whole numbers in 32-bit words, and the matrix that they stand for
packing.py     what config.json says of them: which layers, which tensors, in which order
linear.py      a frozen linear layer that unpacks its weight in each pass
quantizer.py   how transformers puts such layers into a model, and takes them out again
"""
