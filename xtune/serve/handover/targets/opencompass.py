"""OpenCompass 0.5: a model config and its tokenizer, for an environment of its own.

    DIR/models/xtune_NAME.py   opencompass --config-dir DIR --models xtune_NAME --datasets ...
    DIR/tokenizer/             the trained chat template, with the trained system text
    DIR/README.md              the commands, what was checked, what is not handed over

Read off OpenCompass 0.5.4: its chat class compares stop words with decoded text, special tokens
included, so that every token that ends an answer must be one of them; it maps system messages to
the user's, so that a trained system text must be the template's.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from xtune.serve.handover.given import Given
from xtune.serve.handover.tokenizer import write_tokenizer

__all__ = ["write"]

_LONGEST = 4096  # tokens of prompt and answer, where the model takes more
_ANSWER = 1024  # tokens


def write(given: Given, folder: Path, out: Path) -> str:
    """Write everything, and return the next command.

    Args: as `Target.__call__` has them.

    Raises:
        UsageError: the chat template cannot be handed over.
        ModelError: transformers alone renders other ids than xtune.
    """
    checked = write_tokenizer(given, folder / "tokenizer")
    name = f"xtune_{given.name}"
    (folder / "models").mkdir()
    config = _config(given, name, out / "tokenizer")
    (folder / "models" / f"{name}.py").write_text(config, encoding="utf-8")
    command = (
        f"opencompass --config-dir {shlex.quote(str(out))} --models {name} --datasets gsm8k_gen"
    )
    (folder / "README.md").write_text(_readme(given, name, command, checked), encoding="utf-8")
    return command


def _config(given: Given, name: str, tokenizer: Path) -> str:
    kind = "HuggingFacewithChatTemplate" if given.is_chat else "HuggingFaceBaseModel"
    fields = {
        "abbr": name,
        "path": given.base,
        "tokenizer_path": str(tokenizer),
        **({} if given.adapter is None else {"peft_path": str(given.adapter)}),
        "model_kwargs": {"torch_dtype": "torch.bfloat16", "trust_remote_code": False},
        "tokenizer_kwargs": {"trust_remote_code": False},
        "max_seq_len": min(given.context or _LONGEST, _LONGEST),
        "max_out_len": min(_ANSWER, (given.context or _LONGEST) // 2),
        **_pad(given),
        "stop_words": list(given.stop_words),
        "batch_size": 8,
        "run_cfg": {"num_gpus": 1},
    }
    lines = [f"        {field}={value!r}," for field, value in fields.items()]
    return "\n".join(
        [
            '"""Written by `xtune handover MODEL opencompass`; README.md says how it is run."""',
            "",
            f"from opencompass.models import {kind}",
            "",
            "models = [",
            "    dict(",
            f"        type={kind},",
            *lines,
            "    )",
            "]",
            "",
        ]
    )


def _pad(given: Given) -> dict[str, int]:
    """An id to pad with where the tokenizer has none, which OpenCompass insists on."""
    tokenizer = given.tokenizer
    if tokenizer.pad_token_id is not None:
        return {}
    return {"pad_token_id": int(tokenizer.eos_token_id or 0)}


def _readme(given: Given, name: str, command: str, rendered: Sequence[str]) -> str:
    from transformers import __version__ as transformers

    from xtune import __version__

    checked = [
        f"`{given.base}` is in transformers' own layout"
        + ("" if given.adapter is None else " and has a row for every token of the adapter"),
        *rendered,
        f"what ends an answer is in `stop_words`: {', '.join(f'`{w}`' for w in given.stop_words)}",
    ]
    kinds = (
        "`*_gen` sets ask it as a chat. `*_ppl` sets need a base model: OpenCompass' chat class\n"
        "has no likelihoods."
        if given.is_chat
        else "`*_ppl` and `*_gen` sets both work: it is a base model."
    )
    notices = [
        *given.notices,
        "xtune makes control texts such as `<|im_end|>` plain where they stand within a question; "
        "OpenCompass does not",
        "OpenCompass loads models with `trust_remote_code=True` unless told otherwise; the config "
        "tells it otherwise",
    ]
    return f"""# {name} for OpenCompass

OpenCompass cannot be installed next to xtune: it needs `datasets<4`, `numpy<2` and transformers 4,
whose tokenizers have `batch_encode_plus`. Give it an environment of its own; its workers are
started with that environment's Python:

```bash
python -m venv ~/opencompass-env && source ~/opencompass-env/bin/activate
pip install opencompass==0.5.4 'transformers<5' peft
{command}
```

{kinds}

Your own rows (`question`, `A`, `B`, ..., `answer`, one JSON object a line):

```bash
{command.rpartition(" --datasets")[0]} \\
    --custom-dataset-path rows.jsonl --custom-dataset-data-type mcq
```

Where data sets are not found: `DATASET_SOURCE=ModelScope`, or put them into `./data` as
OpenCompass' page on data sets says. `opencompass ... --dry-run` shows what would run.

## Checked

{chr(10).join(f"- {line}" for line in checked)}

## Not handed over, or otherwise

{chr(10).join(f"- {line}" for line in notices)}

Written by xtune {__version__} with transformers {transformers}.
"""
