"""Gradient analysis against its own forward and backward passes alone.

    python benchmarks/gradients.py

Times are the process's CPU seconds, which other processes on the machine do not lengthen.
*Ours* is everything that `xalign.analysis.gradient_analysis` does for two views: passes, storage, inner products,
statistics, lookahead. *Theirs* is the same passes over the same batches, with nothing kept. Goal: at most 1.2 times.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from comparison import compare, write

from xalign.analysis.block_gradients import BlockLoss, block_loss
from xalign.analysis.gradient_analysis import TRAIN, GradientAnalysis
from xalign.analysis.gradient_inputs import read_inputs
from xalign.config import GradientsConfig
from xalign.encoder import load_encoder
from xalign.model_source import find_model
from xalign.phases.inputs import open_data
from xalign.tasks.finetuned import Head


def analysis(config: GradientsConfig, folder: Path) -> GradientAnalysis:
    """An analysis behind random heads: what they know changes nothing in the time."""
    source = find_model(config.model)
    inputs = read_inputs(config, source, open_data(config.data))
    encoder = load_encoder(source, dropout=0.0)
    labels, width = len(inputs.task.labels), encoder.width
    heads = [Head(torch.randn(labels, width), torch.zeros(labels), {}) for _ in range(3)]
    return GradientAnalysis(config, inputs, encoder, heads, folder)


def ours(found: GradientAnalysis) -> None:
    """Two views, with a step of lookahead for each block."""
    found.task_language()
    found.task_alignment(found.config.task, training_data=True, lookahead=True)


def passes_alone(found: GradientAnalysis) -> Callable[[], None]:
    """The same forward and backward passes; objectives are set up beforehand."""
    task, inputs = found.config.task, found.inputs
    tests: list[BlockLoss] = [found.task_blocks(code, part) for code, part in inputs.test.items()]
    dev = found.task_blocks(task, inputs.dev)
    others: list[BlockLoss] = [found.task_blocks(task + TRAIN, inputs.train)]
    others += [found.alignment_blocks(suffix) for suffix in ("", TRAIN)]

    def run() -> None:
        found.groups.activate()
        for loss in [*tests, dev, *others]:
            for block in range(loss.blocks):
                for scalars in loss.passes(block):
                    torch.stack(list(scalars.values())).sum().backward()
                for parameter, _ in found.groups.parameters():
                    parameter.grad = None
        for block in range(found.config.blocks):
            for loss in [*tests[1:], dev]:  # lookahead reads English on dev alone
                block_loss(loss, block)

    return run


def seconds(run: Callable[[], None]) -> float:
    """CPU time of one call."""
    began = time.process_time()
    run()
    return time.process_time() - began


def main() -> None:
    """Measure in turns, and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--data", default=None)
    parser.add_argument("--task", default="topic")
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = GradientsConfig(
            task=given.task, model=given.model, data=given.data, output=folder, pair="de-en", loss="S1W0M0",
            languages=("eng", "deu"), batches=2,
        )  # fmt: skip
        found = analysis(config, Path(folder))
        alone = passes_alone(found)
        ours(found)
        alone()
        entry = compare(
            f"gradient analysis, CPU seconds: {given.task}, 2 languages, 8 blocks, {Path(given.model).name}",
            lambda: seconds(lambda: ours(found)), lambda: seconds(alone),
            goal=1.2, ratio="ours / theirs", higher_is_better=False, rounds=given.rounds, warm_up=False,
        )  # fmt: skip
    write("gradients", [entry])


if __name__ == "__main__":
    main()
