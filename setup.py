"""Metadata and packages; tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def requirements(name):
    lines = (HERE / "requirements" / f"{name}.txt").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


# The configs stand at the top of the repository, where people look for them, and travel inside
# the package, where an installed xtune finds them.
CONFIG_FOLDERS = [
    path for path in (HERE / "configs").rglob("*") if path.is_dir() and path.name != "__pycache__"
]
CONFIG_PACKAGES = ["xtune.configs"] + [
    "xtune.configs." + ".".join(path.relative_to(HERE / "configs").parts) for path in CONFIG_FOLDERS
]

setup(
    name="xtune",
    version=re.search(r'__version__ = "(.+)"', (HERE / "xtune/__init__.py").read_text())[1],
    description="Fine-tune large language models from one Python-file config",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["xtune", "xtune.*"]) + CONFIG_PACKAGES,
    package_dir={"xtune.configs": "configs"},
    package_data={
        "": [
            *("*.css", "*.js", "*.json", "*.jsonl", "notes/*.md"),
            "static/**/*",
            *("published_configs/*.json", "py.typed"),
        ]
    },
    install_requires=requirements("runtime"),
    extras_require={
        "dev": requirements("dev"),
        "agent": requirements("agent"),  # tools: PDF in `search`, MCP servers
        "serve": requirements("serve"),  # the HTTP API
        "llamacpp": requirements("llamacpp"),  # GGUF files are proven in llama.cpp itself
        "json": requirements("json"),  # serve: answers of a JSON schema
        "eval": requirements("eval"),  # BLEU, Chinese words, answers in LaTeX
        # lm_eval's tasks over our models; alone, and with 'python-dateutil<3' (docs/en/bridges.md)
        "eval-harness": ["lm_eval==0.4.13"],
        "int4": requirements("int4"),  # `xtune export --format int4` is read back by it
        "deepspeed": ["deepspeed>=0.18"],  # --deepspeed; --strategy fsdp does without
        "galore": ["galore-torch==1.0"],  # optimizer=dict(type='GaLoreAdamW', …)
        "flash-attn": ["flash-attn>=2.8"],  # compiles against CUDA
        "liger": ["liger-kernel>=0.8"],  # Triton kernels, on a GPU
        "modelscope": ["modelscope>=1.20"],  # data_path='modelscope:owner/name'
        "wandb": ["wandb"],
        "swanlab": ["swanlab"],
    },
    entry_points={"console_scripts": ["xtune = xtune.cli.entry:main"]},
)
