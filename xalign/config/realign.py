"""The options of word realignment. Marks are those of `xalign.config.phases`."""

from __future__ import annotations

from dataclasses import dataclass

from xalign.config.fields import option
from xalign.config.phases import FinetuneConfig

ALIGNERS = ("dictionary", "statistical", "neural")  # all else is a file of links
STRATEGIES = ("baseline", "before", "during", "before+during")
FREEZES = ("none", "lower", "upper")


@dataclass(frozen=True, kw_only=True)
class RealignConfig(FinetuneConfig):
    """Realignment of linked words before or during fine-tuning, whose options it shares.

    Source: Gaschi et al. 2023, arXiv 2306.02790; freezing: Bakos et al. 2025 (AlignFreeze), arXiv 2502.12959.
    """

    pair: str = option(help="language pair whose words are realigned, for example de-en")
    strategy: str = option(
        "before", "when words are realigned: never, before or during fine-tuning, or both", choices=STRATEGIES,
        mark="lineage", source="Gaschi 2023",
    )  # fmt: skip
    aligner: str = option(
        "dictionary", "dictionary, statistical, neural, or a file of i-j links, a line for each pair of the corpus",
        mark="lineage", source="Gaschi 2023",
    )  # fmt: skip
    freeze: str = option(
        "none", "half of the layers that realignment leaves alone; lower includes the embeddings", choices=FREEZES,
        mark="lineage", source="AlignFreeze 2025",
    )  # fmt: skip
    negatives: str = option(
        "strong", "a word's negatives: words of both languages, or of the other one (weak)", choices=("strong", "weak"),
        mark="lineage", source="Gaschi 2023",
    )  # fmt: skip
    layer: str = option(
        "1/1", "k of hidden_states[k] that words are read from, or a share of the depth",
        mark="lineage", source="Gaschi 2023",
    )  # fmt: skip
    temperature: float = option(0.1, "τ of the contrast", low=1e-6, mark="lineage", source="Gaschi 2023")
    coefficient: float = option(
        0.1, "weight of realignment beside the task during fine-tuning", low=0, mark="lineage", source="Gaschi 2023"
    )
    realign_steps: int = option(6000, "optimizer steps of realignment before fine-tuning", low=1)
    realign_batch_size: int = option(
        16, "sentence pairs a step of realignment", low=1, mark="lineage", source="Gaschi 2023"
    )
    realign_learning_rate: float = option(
        7.5e-6, "peak rate of realignment before fine-tuning, which has no weight decay", low=0, mark="lineage",
        source="Gaschi 2023, XLM-R",
    )  # fmt: skip
    realign_warmup: float = option(0.1, "share of those steps with a rising rate", low=0, high=1)
    realign_seed: int = option(42, "order and dropout of realignment before fine-tuning", low=0)
    max_pairs: int | None = option(
        None, "cap on the corpus", low=2, by={"en-kk": 80_000, "other": 100_000}, mark="paper", source="§4.2"
    )
    held_out: int = option(2000, "pairs set aside for measuring alignment", low=2)
    identical: bool = option(False, "link words that are spelt alike too", mark="lineage", source="Cao et al. 2020")
    matching: str = option(
        "argmax", "neural aligner: mutual argmax, or itermax (SimAlign)", choices=("argmax", "itermax"),
        mark="lineage", source="SimAlign",
    )  # fmt: skip
    aligner_layer: str = option(
        "2/3", "neural aligner: k of hidden_states[k], or a share of the depth", mark="lineage", source="SimAlign"
    )
    measured_words: int = option(
        1000, "held-out word pairs on which alignment is measured", low=2, mark="lineage", source="Gaschi 2023"
    )
    batch_size: int = option(32, "sentences a step", low=1, mark="lineage", source="Gaschi 2023")
    max_length: int = option(
        96, "tokens a sentence, special tokens included", low=8, mark="lineage", source="Gaschi 2023"
    )
    learning_rate: float | None = option(
        None, "peak rate of the encoder", low=0, by={"full": 7.5e-6, "linear": 0.0}, mark="lineage",
        source="Gaschi 2023, XLM-R",
    )  # fmt: skip
