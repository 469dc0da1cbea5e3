"""Whether a checkpoint would hold all that an algorithm trains; a run that it would not is refused.

part saved as 'model'      in model/ all weights, in adapter/ those that PEFT writes
part saved as 'weights'    all of its module
any other                  nothing: it must be frozen
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from xtune.errors import ModelError
from xtune.models.algorithms.base import Algorithm, ModelPart

__all__ = ["require_saved"]

# of a checkpoint's folder
_TAKEN = ("adapter", "model", "state")


def require_saved(model: Algorithm) -> None:
    """Refuse an algorithm of which something that is trained would be in no checkpoint.

    Args:
        model: as it was built; on 'meta' an adapter's own weights are not asked for.

    Raises:
        ModelError: it is one, or its parts are not what it consists of.
    """
    name, parts = type(model).__name__, model.parts()
    for key, part in parts.items():
        if not isinstance(part, ModelPart):
            raise ModelError(
                f"{name}: parts() names a {type(part).__name__} {key!r}; each is a "
                "ModelPart(module, saved_as=…)"
            )
        if getattr(model, key, None) is not part.module:
            raise ModelError(f"{name}: its part {key!r} is not the attribute of that name")
        if part.saved_as == "weights" and key in _TAKEN:
            raise ModelError(
                f"{name}: a part saved as weights has a folder of its own, and a checkpoint has a "
                f"folder {key!r} already: give the part another name"
            )
    models = [key for key, part in parts.items() if part.saved_as == "model"]
    if len(models) != 1:
        raise ModelError(
            f"{name}: one part is saved_as='model', the language model that comes out of the run; "
            f"here it is {' and '.join(models) or 'none'}"
        )
    if unsaved := sorted(_unsaved(model)):
        raise ModelError(
            f"{name} trains what no checkpoint would hold: {len(unsaved)} weights or buffers, the "
            f"first is {unsaved[0]}. Name their module in parts(), saved_as='weights', or freeze it"
        )


def _unsaved(model: Algorithm) -> Iterator[str]:
    """Names of what is trained, or counted in a buffer, and is in no file."""
    parts = model.parts()
    written = [part.module for part in parts.values() if part.saved_as is not None]
    saved = {id(parameter) for module in written for parameter in module.parameters()}
    yield from (
        name for name, p in model.named_parameters() if p.requires_grad and id(p) not in saved
    )
    within = {id(inner) for part in parts.values() for inner in part.module.modules()}
    for path, module in model.named_modules():
        if id(module) not in within:
            yield from (f"{path}.{name}".lstrip(".") for name in _persistent(module))
    llm = model.language_model
    if model.has_adapter and llm.device.type != "meta":
        from peft import get_peft_model_state_dict

        adapter = get_peft_model_state_dict(llm, save_embedding_layers=False)
        held = {tensor.untyped_storage().data_ptr() for tensor in adapter.values()}
        for name, p in llm.named_parameters():
            if p.requires_grad and p.untyped_storage().data_ptr() not in held:
                yield f"{model.main}.{name}"


def _persistent(module: nn.Module) -> list[str]:
    """A module's own buffers that belong to its state."""
    passing = module._non_persistent_buffers_set
    return [name for name, _ in module.named_buffers(recurse=False) if name not in passing]
