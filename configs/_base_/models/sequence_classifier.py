# PART 2  Model & Tokenizer
tokenizer = dict(
    pretrained_model_name_or_path=pretrained_model_name_or_path,
    added_tokens=added_tokens)
model = dict(
    algorithm,
    llm=dict(
        type='SequenceClassifier',
        pretrained_model_name_or_path=pretrained_model_name_or_path,
        dtype='auto',
        quantization=quantization),
    vocabulary=dict(init='subtokens', pad_to_multiple_of=None),  # of added_tokens
    adapter=lora,
    adapter_folder=adapter,
    gradient_checkpointing=gradient_checkpointing,
    activation_offload=activation_offload)
