"""Pre-training gives an encoder and a tokenizer that every other command takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import tiny_data
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

from xalign.config import PretrainConfig
from xalign.errors import UsageError
from xalign.phases.pretrain import pretrain


def config(data: Path, output: Path, **changes: object) -> PretrainConfig:
    sizes = {"vocab_size": 120, "layers": 2, "width": 16, "heads": 2, "feed_forward": 32, "steps": 40, "batch_size": 16}
    options = {"languages": ("deu", "eng"), "max_length": 32, "learning_rate": 5e-3, "tracking": "none", "quiet": True}
    return PretrainConfig(data=str(data), output=str(output), **(sizes | options | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_data(tmp_path_factory.mktemp("data"))


def test_the_loss_falls_and_the_encoder_loads_with_its_head_and_tokenizer(data: Path, tmp_path: Path) -> None:
    pretrain(config(data, tmp_path / "run", parallel_pairs=20))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.2
    encoder = tmp_path / "run" / "encoder"
    model = AutoModelForMaskedLM.from_pretrained(encoder)
    assert model.config.num_hidden_layers == AutoModel.from_pretrained(encoder).config.num_hidden_layers == 2
    assert model.config.hidden_dropout_prob == 0.1
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    assert len(tokenizer) == model.config.vocab_size <= 120
    special = [tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id]
    card = (encoder / "README.md").read_text(encoding="utf-8")
    assert (
        "trained from random weights" in card and "mono/de.txt" in card and "No hidden state of it was aligned" in card
    )
    assert special == [0, 1, 2, 3] and tokenizer.mask_token_id == len(tokenizer) - 1


def test_sizes_that_do_not_fit_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="heads=3"):
        pretrain(config(data, tmp_path / "run", heads=3))
    assert not (tmp_path / "run").exists()
