"""The families that transformers reads as they are published: what they are, and no code.

Each is proven in tests/models/families like those that need code.
"""

from __future__ import annotations

from xtune.models.families.base import Family
from xtune.registry import FAMILIES

# transformers 5 joins the experts of a layer to one tensor
_SIXTEEN_BITS = "bitsandbytes leaves the experts in 16 bits, so that QLoRA saves little here"
_NO_BALANCE = "no auxiliary loss balances the load of the experts"
_LORA_ON_EXPERTS = (
    "LoRA on all linear layers lands on experts and routers too, as PEFT's target_parameters"
)

__all__ = [
    "Bloom",
    "DeepSeekLLM",
    "DeepSeekV2",
    "Falcon",
    "Gemma",
    "Gemma2",
    "Gemma3",
    "Glm",
    "Glm4",
    "Llama",
    "Mistral",
    "Mixtral",
    "Phi3",
    "Qwen2",
    "Qwen2Moe",
    "Qwen3",
    "Qwen3Moe",
    "SmolLM",
    "SmolLM3",
    "Yi",
]


@FAMILIES.register_module()
class Llama(Family):
    """Llama 1, 2 and 3."""

    title = "Llama 1, 2, 3, 3.1, 3.2"
    published = (
        "huggyllama/llama-7b",
        "meta-llama/Llama-2-7b-hf",
        "meta-llama/Meta-Llama-3-8B",
        "meta-llama/Llama-3.1-8B",
        "meta-llama/Llama-3.2-1B",
    )
    model_types = ("llama",)
    loaded_as = "Llama"


@FAMILIES.register_module()
class Yi(Family):
    """Yi and Yi-1.5."""

    title = "Yi, Yi-1.5"
    published = ("01-ai/Yi-6B", "01-ai/Yi-34B", "01-ai/Yi-1.5-6B")
    model_types = ("llama",)
    loaded_as = "Llama"


@FAMILIES.register_module()
class DeepSeekLLM(Family):
    """DeepSeek's dense first version."""

    title = "DeepSeek LLM (dense)"
    published = ("deepseek-ai/deepseek-llm-7b-base", "deepseek-ai/deepseek-llm-67b-base")
    model_types = ("llama",)
    loaded_as = "Llama"


@FAMILIES.register_module()
class SmolLM(Family):
    """SmolLM 1 and 2."""

    title = "SmolLM, SmolLM2"
    published = ("HuggingFaceTB/SmolLM-135M", "HuggingFaceTB/SmolLM2-135M")
    model_types = ("llama",)
    loaded_as = "Llama"


@FAMILIES.register_module()
class SmolLM3(Family):
    """SmolLM3: some of its layers have no positions."""

    title = "SmolLM3"
    published = ("HuggingFaceTB/SmolLM3-3B", "HuggingFaceTB/SmolLM3-3B-Base")
    model_types = ("smollm3",)
    loaded_as = "SmolLM3"


@FAMILIES.register_module()
class Qwen2(Family):
    """Qwen1.5, Qwen2 and Qwen2.5, whose dense models share one architecture."""

    title = "Qwen1.5, Qwen2, Qwen2.5 (dense)"
    published = ("Qwen/Qwen1.5-7B", "Qwen/Qwen2-7B", "Qwen/Qwen2.5-7B")
    model_types = ("qwen2",)
    loaded_as = "Qwen2"
    differences = (
        "with use_sliding_window (false in the published models) the window is that of the layers "
        "from max_window_layers on, as in transformers since 4.49; before, it was that of the "
        "layers below",
    )


@FAMILIES.register_module()
class Qwen3(Family):
    """Qwen3's dense models."""

    title = "Qwen3 (dense)"
    published = ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-8B", "Qwen/Qwen3-8B-Base")
    model_types = ("qwen3",)
    loaded_as = "Qwen3"


@FAMILIES.register_module()
class Mistral(Family):
    """Mistral 7B and Nemo."""

    title = "Mistral 7B, Mistral Nemo"
    published = (
        "mistralai/Mistral-7B-v0.1",
        "mistralai/Mistral-7B-v0.3",
        "mistralai/Mistral-Nemo-Base-2407",
    )
    model_types = ("mistral",)
    loaded_as = "Mistral"


@FAMILIES.register_module()
class Gemma(Family):
    """Gemma 1."""

    title = "Gemma 1"
    published = ("google/gemma-2b", "google/gemma-7b")
    model_types = ("gemma",)
    loaded_as = "Gemma"


@FAMILIES.register_module()
class Gemma2(Family):
    """Gemma 2, whose scores are capped."""

    title = "Gemma 2"
    published = ("google/gemma-2-2b", "google/gemma-2-9b", "google/gemma-2-27b")
    model_types = ("gemma2",)
    loaded_as = "Gemma 2"
    differences = (
        "packs are run document by document, but for a GPU with flash-attn: no other kernel caps "
        "the scores",
    )


@FAMILIES.register_module()
class Gemma3(Family):
    """Gemma 3's text models; those that see images too are not read as text models."""

    title = "Gemma 3 (text only)"
    published = ("google/gemma-3-270m", "google/gemma-3-1b-pt", "google/gemma-3-1b-it")
    model_types = ("gemma3_text",)
    loaded_as = "Gemma 3"


@FAMILIES.register_module()
class Phi3(Family):
    """Phi-3 with plain rotary positions; those for long texts are in phi3.py."""

    title = "Phi-3 (4k)"
    published = ("microsoft/Phi-3-mini-4k-instruct", "microsoft/Phi-3-medium-4k-instruct")
    model_types = ("phi3",)
    loaded_as = "Phi-3"
    differences = (
        "a token sees `sliding_window` tokens, itself included, as in transformers; Microsoft's "
        "code, on flash-attn, one more",
    )


@FAMILIES.register_module()
class Mixtral(Family):
    """Mixtral."""

    title = "Mixtral 8x7B, 8x22B"
    published = ("mistralai/Mixtral-8x7B-v0.1", "mistralai/Mixtral-8x22B-v0.1")
    model_types = ("mixtral",)
    loaded_as = "Mixtral"
    differences = (_SIXTEEN_BITS, _NO_BALANCE, _LORA_ON_EXPERTS)


@FAMILIES.register_module()
class Qwen2Moe(Family):
    """Qwen1.5's and Qwen2's mixtures of experts."""

    title = "Qwen1.5-MoE, Qwen2-MoE"
    published = ("Qwen/Qwen1.5-MoE-A2.7B", "Qwen/Qwen2-57B-A14B")
    model_types = ("qwen2_moe",)
    loaded_as = "Qwen2 MoE"
    differences = (
        _SIXTEEN_BITS,
        _NO_BALANCE,
        "LoRA on all linear layers lands on attention and the shared expert only",
    )


@FAMILIES.register_module()
class Qwen3Moe(Family):
    """Qwen3's mixtures of experts."""

    title = "Qwen3-MoE"
    published = ("Qwen/Qwen3-30B-A3B", "Qwen/Qwen3-30B-A3B-Base", "Qwen/Qwen3-235B-A22B")
    model_types = ("qwen3_moe",)
    loaded_as = "Qwen3 MoE"
    differences = (_SIXTEEN_BITS, _NO_BALANCE, _LORA_ON_EXPERTS)


@FAMILIES.register_module()
class Bloom(Family):
    """BLOOM and BLOOMZ."""

    title = "BLOOM, BLOOMZ"
    published = ("bigscience/bloom-560m", "bigscience/bloom-7b1", "bigscience/bloomz-7b1")
    model_types = ("bloom",)
    loaded_as = "BLOOM"
    differences = ("packs are run document by document: its attention is not exchangeable",)


@FAMILIES.register_module()
class Glm(Family):
    """GLM-4 in transformers' layout; the older one is in chatglm.py."""

    title = "GLM-4-9B (hf), GLM-Edge"
    published = ("THUDM/glm-4-9b-hf", "THUDM/glm-4-9b-chat-hf", "THUDM/glm-edge-1.5b-chat")
    model_types = ("glm",)
    loaded_as = "GLM"


@FAMILIES.register_module()
class Glm4(Family):
    """GLM-4-0414."""

    title = "GLM-4-0414"
    published = ("THUDM/GLM-4-9B-0414", "THUDM/GLM-4-32B-0414")
    model_types = ("glm4",)
    loaded_as = "GLM4"


@FAMILIES.register_module()
class Falcon(Family):
    """Falcon 7B, 40B, and what has their layout."""

    title = "Falcon 7B, 40B"
    published = ("tiiuae/falcon-7b", "tiiuae/falcon-7b-instruct", "tiiuae/falcon-40b")
    model_types = ("falcon",)
    loaded_as = "Falcon"
    differences = ("packs are run document by document: its attention is not exchangeable",)


@FAMILIES.register_module()
class DeepSeekV2(Family):
    """DeepSeek-V2 and its small version."""

    title = "DeepSeek-V2, V2-Lite"
    published = ("deepseek-ai/DeepSeek-V2-Lite", "deepseek-ai/DeepSeek-V2")
    model_types = ("deepseek_v2",)
    loaded_as = "DeepSeek-V2"
    differences = (
        _SIXTEEN_BITS,
        _NO_BALANCE,
        "LoRA on all linear layers lands on attention, experts and routers, and not on dense "
        "layers and shared experts, as PEFT reads it",
    )
