"""The families that transformers reads as they are published: what they are, and no code.

Each is proven in tests/models/families like those that need code.
"""

from __future__ import annotations

from xtune.models.families.base import Family
from xtune.registry import FAMILIES

__all__ = [
    "DeepSeekLLM",
    "Gemma",
    "Llama",
    "Mistral",
    "Phi3",
    "Qwen2",
    "Qwen3",
    "SmolLM",
    "Yi",
]


@FAMILIES.register_module()
class Llama(Family):
    """Llama 1, 2 and 3."""

    title = "Llama 1, 2, 3, 3.1, 3.2"
    published = ("huggyllama/llama-7b", "meta-llama/Llama-2-7b-hf", "meta-llama/Llama-3.1-8B")
    model_types = ("llama",)
    loaded_as = "Llama"


@FAMILIES.register_module()
class SmolLM(Family):
    """SmolLM 1 and 2."""

    title = "SmolLM, SmolLM2"
    published = ("smollm2 (the alias)", "HuggingFaceTB/SmolLM2-1.7B-Instruct")
    model_types = ("llama",)
    loaded_as = "Llama, its head tied to the embedding"


@FAMILIES.register_module()
class Yi(Family):
    """Yi."""

    title = "Yi, Yi-1.5"
    published = ("01-ai/Yi-6B", "01-ai/Yi-1.5-9B")
    model_types = ("llama",)
    loaded_as = "Llama"


@FAMILIES.register_module()
class DeepSeekLLM(Family):
    """DeepSeek LLM, the dense first generation."""

    title = "DeepSeek LLM (dense)"
    published = ("deepseek-ai/deepseek-llm-7b-base", "deepseek-ai/deepseek-llm-7b-chat")
    model_types = ("llama",)
    loaded_as = "Llama"


@FAMILIES.register_module()
class Qwen2(Family):
    """Qwen 1.5, 2 and 2.5."""

    title = "Qwen1.5, Qwen2, Qwen2.5"
    published = ("Qwen/Qwen1.5-7B", "Qwen/Qwen2-7B", "Qwen/Qwen2.5-7B")
    model_types = ("qwen2",)
    loaded_as = "Qwen2"


@FAMILIES.register_module()
class Qwen3(Family):
    """Qwen 3, dense."""

    title = "Qwen3 (dense)"
    published = ("Qwen/Qwen3-8B", "Qwen/Qwen3-0.6B")
    model_types = ("qwen3",)
    loaded_as = "Qwen3"


@FAMILIES.register_module()
class Mistral(Family):
    """Mistral 7B."""

    title = "Mistral 7B"
    published = ("mistralai/Mistral-7B-v0.1", "mistralai/Mistral-7B-Instruct-v0.3")
    model_types = ("mistral",)
    loaded_as = "Mistral"


@FAMILIES.register_module()
class Gemma(Family):
    """Gemma, first generation."""

    title = "Gemma (the first generation)"
    published = ("google/gemma-2b", "google/gemma-7b")
    model_types = ("gemma",)
    loaded_as = "Gemma"


@FAMILIES.register_module()
class Phi3(Family):
    """Phi-3 with a context of 4,096 tokens."""

    title = "Phi-3 (4k)"
    published = ("microsoft/Phi-3-mini-4k-instruct",)
    model_types = ("phi3",)
    loaded_as = "Phi3"
    differences = (
        "Phi-3 with a long context (longrope) picks its frequencies by the longest document of a "
        "pack; whether packs are right there has not been tested.",
    )
