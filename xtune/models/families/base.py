"""`Family`: how the checkpoints of one model family are read, and written back as they were.

    config.json (published) --Family.config--> transformers' config --model_class--> the model
    shards on disk  --the class's weight conversions, tensor by tensor-->  its parameters
    tokenizer files --Family.tokenizer--> a fast tokenizer

A family that transformers knows overrides nothing and only says what it is. Any other names a
transformers architecture that computes the same, and how its weights are called there.

The classes of models lie in architectures/, and are imported when one is loaded: what a family is
can be listed without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from xtune.models.families.files import CheckpointFiles

__all__ = ["Family", "Layout"]

Layout = Literal["transformers", "original"]


class Family:
    """One model family. Subclass it in a file of this folder and register it in FAMILIES.

    Attributes:
        title: for people: 'InternLM2, InternLM2.5'.
        published: hub ids of checkpoints that are read so.
        model_types: what their config.json says.
        loaded_as: the transformers architecture that computes it, for people.
        original_files: what else belongs to a checkpoint in its own layout and is copied with
            it: tokenizer files, the code that others run.
        knows_how_ranks_split: whether `tokenizer` also reads a tokenizer.model that holds
            tiktoken's ranks, which do not say how a text is split.
        checkpoint_layout: in which layout a fully tuned run saves. 'original' where the
            transformers layout would lose something that training goes on from.
        differences: sentences: what is knowingly not as in the original code.
        unproven: name in PROOFS -> why this family's checkpoints do not pass it.
    """

    title: ClassVar[str]
    published: ClassVar[tuple[str, ...]]
    model_types: ClassVar[tuple[str, ...]]
    loaded_as: ClassVar[str]
    original_files: ClassVar[tuple[str, ...]] = ()
    knows_how_ranks_split: ClassVar[bool] = False
    checkpoint_layout: ClassVar[Layout] = "transformers"
    differences: ClassVar[tuple[str, ...]] = ()
    unproven: ClassVar[Mapping[str, str]] = {}

    def reads(self, fields: Mapping[str, Any]) -> bool:
        """Tell whether this family reads a checkpoint whose config.json holds `fields`."""
        return fields.get("model_type") in self.model_types

    def config(self, fields: Mapping[str, Any]) -> PretrainedConfig | None:
        """Translate the published config.json; None if transformers reads it as it is.

        Raises:
            ModelError: a setting that the family's code had and that is not supported here.
        """
        return None

    def model_class(self, config: PretrainedConfig) -> type[PreTrainedModel]:
        """Return the class for a config that `config` returned."""
        raise NotImplementedError

    def layouts(self, config: PretrainedConfig) -> tuple[Layout, ...]:
        """Return the layouts a model can be written in; only the original where no transformers
        architecture computes the same.
        """
        return ("transformers", "original")

    def tokenizer(self, files: CheckpointFiles) -> PreTrainedTokenizerBase | None:
        """Make the tokenizer from the published files; None if transformers reads them."""
        return None

    def weights(self, llm: PreTrainedModel, layout: Layout) -> dict[str, Tensor]:
        """Return the weights under the names, and in the shapes, of a layout.

        Args:
            llm: of `model_class`.
            layout: 'transformers' is what `loaded_as` loads, with no code of ours.
        """
        if layout == "transformers":
            return llm.state_dict()
        from xtune.models.families.architectures.conversions import original_weights

        return original_weights(llm)

    def original_fields(
        self, config: PretrainedConfig, fields: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return config.json in the original layout: as published, with what training changed.

        Args:
            config: of the model as it is now.
            fields: config.json as it was when the model was loaded.
        """
        return {**fields, "vocab_size": config.vocab_size}
