"""xtune: fine-tune large language models from one Python-file config."""

import logging

__version__ = "0.1.0"

# On processors with AVX512-BF16 bitsandbytes warns at every import that a kernel which it would
# fetch from a hub, and which only inference could use, is not there.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
