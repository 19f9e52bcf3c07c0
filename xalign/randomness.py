"""Counter-based randomness: every draw is a pure function of (seed, stream, step, …), never of carried state.

Resuming needs only the step number, and the draws for an example do not depend on which process handles it.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from numbers and stream names; different parts give unrelated seeds."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def generator(seed: int, stream: str, *counters: int) -> np.random.Generator:
    """A NumPy generator keyed by (seed, stream, counters)."""
    return np.random.Generator(np.random.Philox(key=derive_seed(seed, stream, *counters)))


def uniforms(seed: int, stream: str, step: int, examples: np.ndarray, width: int) -> np.ndarray:
    """Uniform numbers in [0, 1) keyed by (seed, stream, step, example, position).

    Args:
        examples: (n,) integer example ids.
        width: draws for each example.

    Returns:
        (n, width) float64. A row depends on its example's id, not on its place in the batch.
    """
    base = np.uint64(derive_seed(seed, stream, step))
    with np.errstate(over="ignore"):
        rows = _splitmix(base + (examples.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
        cells = _splitmix(rows[:, None] + (np.arange(width, dtype=np.uint64) + np.uint64(1)) * _GOLDEN)
    return (cells >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def _splitmix(state: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele, Lea & Flood 2014), element by element."""
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    mixed: np.ndarray = state ^ (state >> np.uint64(31))
    return mixed


def seed_dropout(seed: int, step: int, micro_step: int, rank: int) -> None:
    """Set torch's generators for the dropout of one forward pass.

    Not by `torch.manual_seed`: where there is no GPU it queues a call, with a stack trace, at every step.
    """
    value = derive_seed(seed, "dropout", step, micro_step, rank)
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_available():
        torch.cuda.manual_seed(value)
