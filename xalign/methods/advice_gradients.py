"""The gradients that advice rests on: the task's, in English and where labels exist elsewhere, and each alignment's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xalign.analysis.block_gradients import collect, total
from xalign.analysis.gradient_analysis import GradientAnalysis
from xalign.analysis.gradient_inputs import ENGLISH
from xalign.analysis.gradient_views import SHARED, Products
from xalign.config import LOSSES
from xalign.methods.advice import BlockProducts
from xalign.objective import active_losses


@dataclass(frozen=True)
class AdviceGradients:
    """What was measured on the encoder.

    Attributes:
        products: of the task's gradient in English.
        shared: by configuration, the corrected cosine over the parameters that task and alignment both reach.
        targets: by configuration, the mean corrected cosine with the task's gradients in the pair's other languages.
    """

    products: BlockProducts
    shared: dict[str, float | None]
    targets: dict[str, float | None]


def take_gradients(
    analysis: GradientAnalysis, english: Sequence[object], targets: Mapping[str, Sequence[object]], batches: int
) -> AdviceGradients:
    """Take all gradients once, and compare each configuration's sum with the task's.

    Args:
        analysis: with heads; its objective has all three losses.
        english: labelled sentences that the heads were not trained on. (At a head's optimum the gradients of its own
            training sentences sum to nearly nothing.)
        targets: the same in other languages; may be empty.
        batches: of labelled sentences in a block.
    """
    task = analysis.inputs.task.name
    sentences = {ENGLISH: english, **targets}
    labels = {code: f"{task} ({code})" for code in sentences}
    tasks = {
        code: analysis.task_blocks(labels[code], part, batches=batches, stratified=True)
        for code, part in sentences.items()
    }
    alignment = analysis.alignment_blocks()
    with analysis.rows([*tasks.values(), alignment]) as rows:
        found = [collect(blocks, analysis.groups, rows)[labels[code]] for code, blocks in tasks.items()]
        parts = collect(alignment, analysis.groups, rows)
        whole = [total(loss, [parts[name] for name in active_losses(loss)]) for loss in LOSSES]
        products = Products.of_gradients([*found, *whole], analysis.groups, rows)
    first = labels[ENGLISH]
    return AdviceGradients(
        BlockProducts(
            products.between(first, first),
            {loss: products.between(first, loss) for loss in LOSSES},
            {loss: products.between(loss, loss) for loss in LOSSES},
        ),
        {loss: _cosine(products, first, loss, SHARED) for loss in LOSSES},
        {loss: _mean(_cosine(products, labels[code], loss, "all") for code in targets) for loss in LOSSES},
    )


def _cosine(products: Products, first: str, second: str, group: str) -> float | None:
    lines = products.compare("advice", first, second, paired=False)
    return next(line.found.cosine_corrected for line in lines if line.group == group)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
