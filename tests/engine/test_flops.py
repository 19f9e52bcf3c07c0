"""Operations against METHODS' figure for XLM-R base and against torch's own counter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from architectures import ARCHITECTURES, write_encoder
from torch.utils.flop_counter import FlopCounterMode
from transformers import XLMRobertaConfig

from xalign.encoder import load_encoder
from xalign.engine.flops import encoder_flops, head_flops, peak_flops
from xalign.hidden_states import hidden_state
from xalign.masked_lm_head import masked_lm_head
from xalign.model_source import ModelSource

BASE = XLMRobertaConfig(vocab_size=250_002, hidden_size=768, num_hidden_layers=12, intermediate_size=3072)


def test_xlm_r_base_takes_half_a_gigaflop_a_token_and_its_head_twice_that() -> None:
    assert encoder_flops(BASE, torch.tensor([128]), 12) / 128 == pytest.approx(0.524e9, rel=2e-3)
    assert head_flops(BASE, 1) == pytest.approx(1.156e9, rel=2e-3)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("layers", [2, 3])
def test_the_count_is_torch_s_own(name: str, layers: int, tmp_path: Path) -> None:
    encoder = load_encoder(ModelSource(name, write_encoder(tmp_path, name, layers=3)), dropout=0.0)
    encoder.model.set_attn_implementation("eager")  # whose products the counter sees on CPU
    encoder.model.get_input_embeddings().weight.requires_grad_(True)
    ids = torch.full((5, 14), 7)
    with FlopCounterMode(display=False) as counted:
        hidden_state(encoder.base, ids, torch.ones_like(ids), layers).sum().backward()
    assert encoder_flops(encoder.model.config, torch.full((5,), 14), layers) == counted.get_total_flops()
    states = torch.randn(9, encoder.width, requires_grad=True)
    with FlopCounterMode(display=False) as counted:
        masked_lm_head(encoder.model)(states).logsumexp(dim=-1).sum().backward()
    assert head_flops(encoder.model.config, 9) == counted.get_total_flops()


@pytest.mark.parametrize(
    ("name", "precision", "peak"),
    [("Tesla V100-SXM2-32GB", "fp16", 125e12), ("Tesla V100-PCIE-16GB", "fp16", 112e12),
     ("NVIDIA H200", "bf16", 989e12), ("NVIDIA A100-SXM4-80GB", "fp32", 19.5e12), ("Some other GPU", "bf16", None)],
)  # fmt: skip
def test_a_device_s_peak_is_that_of_its_data_sheet(
    name: str, precision: str, peak: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert torch.cuda.is_available() or peak_flops(precision) is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: name)
    assert peak_flops(precision) == peak
