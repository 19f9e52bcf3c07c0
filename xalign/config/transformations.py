"""The options of transformations without training, which retrieve and transfer share."""

from __future__ import annotations

from dataclasses import dataclass

from xalign.config.fields import option

TRANSFORMS = ("none", "centring", "procrustes")
TRANSFORM_TEXTS = ("topics", "flores", "parallel", "mono")
SURVEY = "Hämmerl 2024"


@dataclass(frozen=True, kw_only=True)
class TransformOptions:
    """A map in closed form from a language's states to another's, fitted on text that is not tested."""

    transform: str = option(
        "none", "none, per-language centring, or orthogonal Procrustes", choices=TRANSFORMS, source=SURVEY, late=True
    )
    transform_text: str = option(
        "topics", "what it is fitted on: SIB-200 train, FLORES-200 dev, parallel/ or mono/", choices=TRANSFORM_TEXTS,
        late=True,
    )  # fmt: skip
    transform_sentences: int = option(
        1000, "sentences of each language that it is fitted on, at most", low=2, late=True
    )
