"""What transfer maps without training: which layer and languages, fitted on which text, under which name."""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from xalign.config import TransferConfig
from xalign.config.fields import require_switched_on
from xalign.data.languages import Language, find
from xalign.data.layout import DataDirectory
from xalign.encoder import Encoder
from xalign.errors import UsageError
from xalign.frozen_features import Encoding
from xalign.hidden_states import STACKS, resolve_layer
from xalign.methods.transformation_text import FittingTexts
from xalign.methods.transformations import Transformation, method_name
from xalign.methods.transformed_states import StateFitter, transformed
from xalign.storage import read_json
from xalign.tasks import Task
from xalign.tasks.finetuned import Finetuned
from xalign.tasks.objective import Reader


@dataclass(frozen=True)
class Fitted:
    """By language, the map of a layer to the language of the training data, which itself has none."""

    maps: dict[str, Transformation]
    layer: int

    def applied(self, reader: Reader, code: str) -> AbstractContextManager[None]:
        """The context in which `reader` reads sentences of a language."""
        return transformed(reader, self.maps[code], self.layer) if code in self.maps else nullcontext()


@dataclass(frozen=True)
class Mapping:
    """A transformation that is still to be fitted on an encoder.

    Attributes:
        transform: one of `xalign.methods.transformations.FITS`.
        name: how the lineage calls it.
        layer: k of the ``hidden_states[k]`` that are mapped.
        texts: the text to fit it on, of each language and of that of the training data.
    """

    transform: str
    name: str
    layer: int
    texts: FittingTexts

    def fit(self, encoder: Encoder, task: Task, reader: Reader, encoding: Encoding, *, length: int) -> Fitted:
        """The maps of all languages on one encoder."""
        fitter = StateFitter(
            encoder, task, self.transform, encoding, pooling=reader.pooling, length=length, layer=self.layer
        )
        return Fitted({pair[0].code: fitter.fit(self.texts[pair]) for pair in self.texts.pairs}, self.layer)


def prepare_mapping(
    config: TransferConfig,
    model: Finetuned,
    data: DataDirectory,
    task: Task,
    tested: Dictionary[Language, Sequence[Any]],
) -> Mapping | None:
    """Read what the transformation of a transfer needs; None without one.

    Args:
        tested: all test sentences, by language.

    Raises:
        UsageError: a layer that cannot be mapped, text that is not there, or no language to map.
    """
    if config.transform == "none":
        options = ("transform_text", "transform_sentences", "transform_layer")
        require_switched_on(config, "transform=centring or procrustes", options)
        return None
    depth = int(model.description["layer"])
    layer = resolve_layer(config.transform_layer, depth)
    kind = read_json(model.encoders[0][0].directory / "config.json")["model_type"]
    if layer < depth and kind not in STACKS:
        raise UsageError(f"transform_layer={config.transform_layer}: the layers of {kind} are not known; leave it out")
    target = find(model.record["config"].get("language", "eng"))
    pairs = [(language, target) for language in tested if language != target]
    if not pairs:
        raise UsageError(f"transform={config.transform}: it maps other languages to {target.code}; name one")
    sentences = {language: [task.text(sentence) for sentence in part] for language, part in tested.items()}
    texts = FittingTexts(data, config.transform_text, config.transform, pairs, sentences, config.transform_sentences)
    name = method_name(config.transform, config.transform_text, layer if layer < depth else None)
    return Mapping(config.transform, name, layer, texts)
