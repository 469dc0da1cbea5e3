"""xtune: fine-tune large language models from one Python-file config."""

__version__ = "0.1.0"
