"""GGUF, the files of llama.cpp, Ollama and LM Studio: written from a model in memory.

write.py           one file: metadata, vocabulary, tensors; or an adapter alone
architectures.py   which architecture of llama.cpp computes a model; settings.py: of all of them
tensors.py         how each of them wants its weights laid out
vocabulary.py      tokens, scores or merges, end tokens; pre_tokenizer.py: the `pre` that fits
packing.py         which tensor is packed how: F16, BF16, Q8_0, Q5_0, Q4_0
lora.py            an adapter as a GGUF of its own
go_template.py     Ollama's Modelfile: the chat template in Go's language, and its proof
"""
