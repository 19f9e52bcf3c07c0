"""The options of `xalign advise`. Marks are those of `xalign.config.phases`."""

from __future__ import annotations

from dataclasses import dataclass

from xalign.config.fields import option
from xalign.config.phases import TASKS, RunOptions


@dataclass(frozen=True, kw_only=True)
class AdviseConfig(RunOptions):
    """Which alignment should help a task: from gradients of the encoder as it is, before it is aligned."""

    task: str = option(help="downstream task", choices=TASKS)
    pair: str = option(help="the pair that the encoder would be aligned on, for example de-en")
    layer: str = option(
        "2/3", "of S and W: k of hidden_states[k], or a share of the depth", mark="lineage", source="TransliCo, InfoXLM"
    )
    word_negatives: int = option(512, "entries of the vocabulary that are drawn against a pair's words", low=1)
    held_out: int = option(2000, "pairs kept from alignment; the alignment's gradients are taken on them", low=2)
    max_length: int = option(128, "tokens a sentence, special tokens included", low=8)
    seeds: tuple[int, ...] = option((15, 33, 42), "heads, one each; gradients are averaged over them", low=0)
    epochs: int = option(15, "of the heads", low=1, mark="paper", source="appendix B")
    max_sentences: int | None = option(2000, "cap on the heads' training data, at most half of all", low=1)
    head_learning_rate: float = option(1e-3, "peak rate of the heads", low=0)
    blocks: int = option(8, "independent parts of the data, a gradient each", low=4)
    batches: int = option(4, "batches of pairs in a block", low=1)
    task_batches: int = option(16, "batches of labelled sentences in a block, as far as there are so many", low=1)
    pairs_per_batch: int = option(32, "pairs that are contrasted", low=2)
    sentences_per_batch: int = option(16, "labelled sentences", low=1, mark="paper", source="appendix B")
    sketch: int | None = option(65536, "numbers that stand for a gradient's groups; None = all of it", low=64)
    draws: int = option(2000, "half-samples of the blocks", low=1)
    targets: bool = option(False, "also the pair's other languages, where they have labelled dev data")
    seed: int = option(42, "choice of blocks, masks, negatives, half-samples", low=0)
