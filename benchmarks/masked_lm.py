"""A masked-LM training step over 250,002 entries: time and memory, against transformers in a plain loop.

    python benchmarks/masked_lm.py [--width 128] [--sentences 32] [--tokens 64] [--rounds 3]

The same random encoder of XLM-R's architecture, the same ids, masks, AdamW and precision. *Theirs* is
`XLMRobertaForMaskedLM` with labels, as its documentation shows; *ours* is L_M of `xalign.objective`. Memory is what a
step takes on top of weights and optimizer state, in a process of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from comparison import compare, peak_memory, wall_seconds, write
from transformers import XLMRobertaForMaskedLM
from xlmr import ENTRIES, configuration

from xalign.hidden_states import hidden_state
from xalign.masked_lm_head import masked_lm_head

MASKED, PADDING = 0.15, 1
Sizes = tuple[int, int, int]


def setting(sizes: Sizes) -> tuple[XLMRobertaForMaskedLM, torch.optim.AdamW, torch.Tensor, torch.Tensor]:
    """Model, optimizer with its state, ids and labels (-100 where nothing is predicted)."""
    width, sentences, tokens = sizes
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = XLMRobertaForMaskedLM(configuration(width=width, positions=tokens + 2)).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    ids = torch.randint(5, ENTRIES, (sentences, tokens), device=device)
    labels = ids.masked_fill(torch.rand(ids.shape, device=device) > MASKED, -100)
    return model, optimizer, ids, labels


def autocast() -> AbstractContextManager[object]:
    """bf16 on a GPU, for both sides."""
    return torch.autocast("cuda", torch.bfloat16) if torch.cuda.is_available() else nullcontext()


def theirs(sizes: Sizes) -> Callable[[], object]:
    """A step of a plain loop."""
    model, optimizer, ids, labels = setting(sizes)

    def step() -> None:
        with autocast():
            loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    return step


def ours(sizes: Sizes) -> Callable[[], object]:
    """The same step with the vocabulary at the predicted positions only."""
    model, optimizer, ids, labels = setting(sizes)
    chosen = (labels != -100).flatten().nonzero().flatten()
    targets = labels.flatten()[chosen]

    def step() -> None:
        with autocast():
            states = hidden_state(model.roberta, ids, ids != PADDING, model.config.num_hidden_layers)
            loss = masked_lm_head(model).losses(states.flatten(0, 1)[chosen], targets).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    return step


def measure(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Memory, each side in a process of its own, then both sides in turns."""
    sizes = given.width, given.sentences, given.tokens
    what = f"{given.sentences} × {given.tokens} tokens, 12 × {given.width}, vocabulary {ENTRIES:,}"
    memory = compare(
        f"masked-LM step, peak memory in MB beside weights and optimizer state: {what}",
        lambda: peak_memory(ours, sizes), lambda: peak_memory(theirs, sizes),
        goal=1 / 3, ratio="ours / theirs", higher_is_better=False, rounds=1, warm_up=False,
    )  # fmt: skip
    mine, plain = ours(sizes), theirs(sizes)
    speed = compare(
        f"masked-LM step, seconds: {what}", lambda: wall_seconds(mine), lambda: wall_seconds(plain),
        goal=2.0, ratio="theirs / ours", rounds=given.rounds,
    )  # fmt: skip
    return [speed, memory]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("width", 128), ("sentences", 32), ("tokens", 64), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    write("masked_lm", measure(parser.parse_args()))


if __name__ == "__main__":
    main()
