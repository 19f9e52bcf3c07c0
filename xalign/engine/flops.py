"""Floating-point operations of a training step, and what a device could do in the same time (MFU).

A matrix of P weights costs 2 P operations a token forward and 4 P backward. A layer of width d and feed-forward width f
has P = 4 d² + 2 d f; its attention adds 4 L d a token forward and twice that backward, at length L. XLM-R base at 128
tokens: 6 × 84.9 M + 12 × 12 × 128 × 768 = 0.524 GFLOP a token. The masked-LM head adds 6 (d² + V d) for each token that
is predicted. Padding and recomputation count as nothing, so neither raises the MFU (Chowdhery et al. 2022, PaLM,
appendix B).
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedConfig

# Dense peaks of NVIDIA's data sheets in TFLOP/s: tensor cores at 16 bits, and fp32 without them.
PEAKS = {
    "V100-PCIE": (112, 14.0),
    "V100": (125, 15.7),
    "T4": (65, 8.1),
    "A100": (312, 19.5),
    "A10": (125, 31.2),
    "L40S": (362, 91.6),
    "L4": (121, 30.3),
    "H100 PCIe": (756, 51.0),
    "H100": (989, 67.0),
    "H200": (989, 67.0),
    "B200": (2250, 80.0),
}


def encoder_flops(config: PreTrainedConfig, lengths: Tensor, layers: int, *, trained: bool = True) -> float:
    """Operations of `layers` layers over sequences of these lengths (N,), with the backward pass if `trained`."""
    width = config.hidden_size
    feed_forward = getattr(config, "intermediate_size", None) or config.hidden_dim  # DistilBERT's name for it
    lengths = lengths.double()
    weights = (4 * width**2 + 2 * width * feed_forward) * lengths.sum()
    attention = 2 * width * (lengths**2).sum()
    return float(2 * layers * (weights + attention)) * (3 if trained else 1)


def head_flops(config: PreTrainedConfig, tokens: int) -> float:
    """Operations of the masked-LM head, forward and backward, at the tokens to predict."""
    width = config.hidden_size
    return 6.0 * (width**2 + config.vocab_size * width) * tokens


def peak_flops(precision: str) -> float | None:
    """What this device can do in a second at a precision; None for one that is not in `PEAKS`, such as a CPU."""
    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    found = next((peaks for part, peaks in PEAKS.items() if part in name), None)
    return None if found is None else found[precision == "fp32"] * 1e12
