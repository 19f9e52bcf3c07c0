"""Training the rows of the embedding table that the data use ends where training the whole table does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, write_encoder
from launching import run as launch_run
from safetensors.torch import load_file
from tiny import tiny_data, tiny_encoder
from torch import Tensor
from transformers import AutoModel, AutoModelForMaskedLM

from xalign.config import AlignConfig, FinetuneConfig
from xalign.encoder import Encoder, load_encoder
from xalign.errors import XalignError
from xalign.model_source import ModelSource
from xalign.phases.align import align
from xalign.phases.finetune import finetune
from xalign.tasks.finetuned import encoder_directory
from xalign.used_vocabulary import UsedRows, keep_used_rows, with_whole_table

USED = np.array([7, 9, 12, 30, 31])


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("inputs")
    return {"data": str(tiny_data(root / "data")), "model": str(tiny_encoder(root / "encoder"))}


def trained(encoder: Encoder, *, clip: float) -> dict[str, Tensor]:
    """Weights after a few steps on `USED` with weight decay, padding in every batch."""
    model = encoder.base
    padding = int(encoder.tokenizer.pad_token_id)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.3)
    model.eval()
    for step in range(4):
        ids = torch.from_numpy(np.random.default_rng(step).choice(USED, (3, 6)))
        ids[0, 4:] = padding
        model(input_ids=ids, attention_mask=ids != padding).last_hidden_state.square().sum().backward()
        torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        optimizer.zero_grad()
    return with_whole_table(encoder.model, None) or dict(encoder.model.state_dict())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("clip", [0.1, 1e9])
def test_weights_equal_those_of_the_whole_table_with_decay_and_clipping(
    architecture: str, clip: float, tmp_path: Path
) -> None:
    source = ModelSource("tiny", write_encoder(tmp_path / "encoder", architecture))
    whole, cut = (load_encoder(source, dropout=0.0) for _ in range(2))
    keep_used_rows(cut, [USED])
    rows = cut.base.get_input_embeddings().weight
    assert len(rows) < len(whole.base.get_input_embeddings().weight) / 2
    expected, found = trained(whole, clip=clip), trained(cut, clip=clip)
    assert {name: t.shape for name, t in found.items()} == {name: t.shape for name, t in expected.items()}
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=2e-6, rtol=1e-5, msg=name)


def test_an_id_that_was_not_announced_is_an_error_and_not_another_word(tmp_path: Path) -> None:
    encoder = load_encoder(ModelSource("tiny", tiny_encoder(tmp_path / "encoder")))
    keep_used_rows(encoder, [USED])
    with pytest.raises(IndexError):
        encoder.base.get_input_embeddings()(torch.tensor([[int(USED[0]), 8]]))


def test_a_table_of_which_everything_is_used_stays_as_it_is(tmp_path: Path) -> None:
    encoder = load_encoder(ModelSource("tiny", tiny_encoder(tmp_path / "encoder")))
    table = encoder.base.get_input_embeddings()
    keep_used_rows(encoder, [np.arange(table.num_embeddings)])
    assert encoder.base.get_input_embeddings() is table


def run_align(inputs: dict[str, str], output: Path, **options: Any) -> dict[str, Tensor]:
    common: dict[str, Any] = {
        "pair": "de-en", "loss": "S1W0M0", "steps": 6, "keep_steps": (3,), "held_out": 20, "batch_size": 16,
        "learning_rate": 1e-3, "weight_decay": 0.1, "dropout": 0.0, "tracking": "none", "quiet": True,
    }  # fmt: skip
    align(AlignConfig(**inputs, output=str(output), **(common | options)))
    return load_file(output / "encoder" / "model.safetensors")


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        if "attention.self.key.bias" not in name:  # its gradient is 0; Adam turns the rounding noise into steps
            torch.testing.assert_close(tensor, second[name], atol=2e-5, rtol=1e-4, msg=name)


def test_alignment_leaves_the_same_encoders_and_smaller_checkpoints(inputs: dict[str, str], tmp_path: Path) -> None:
    for name in ("used", "whole"):
        run_align(inputs, tmp_path / name, vocabulary=name)
    for folder in ("encoder", "encoder-step3"):
        used, whole = (load_file(tmp_path / name / folder / "model.safetensors") for name in ("used", "whole"))
        assert_same(used, whole)
    keys = [json.loads((tmp_path / name / "run.json").read_text())["key"] for name in ("used", "whole")]
    assert keys[0] == keys[1]
    folder = tmp_path / "used" / "encoder"
    plain, masked = AutoModel.from_pretrained(folder), AutoModelForMaskedLM.from_pretrained(folder)
    table = masked.get_input_embeddings().weight
    assert torch.equal(plain.get_input_embeddings().weight, table)
    assert masked.get_output_embeddings().weight is table


@pytest.mark.parametrize("task", ["pos", "topic"])
def test_fine_tuning_leaves_the_same_encoder_and_the_same_scores(
    task: str, inputs: dict[str, str], tmp_path: Path
) -> None:
    for name in ("used", "whole"):
        finetune(
            FinetuneConfig(
                **inputs, task=task, mode="full", output=str(tmp_path / name), epochs=2, seeds=(15,), dropout=0.0,
                learning_rate=1e-3, head_learning_rate=1e-2, weight_decay=0.1, vocabulary=name, tracking="none",
                quiet=True,
            )
        )  # fmt: skip
    found = [load_file(encoder_directory(tmp_path / name, 15) / "model.safetensors") for name in ("used", "whole")]
    assert_same(found[0], found[1])
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("used", "whole")]
    assert results[0]["dev_accuracy"] == results[1]["dev_accuracy"]


def test_under_zero_2_on_two_processes_the_table_comes_back_whole(inputs: dict[str, str], tmp_path: Path) -> None:
    expected = run_align(inputs, tmp_path / "alone", vocabulary="whole")
    words = ["align", "--pair", "de-en", "--loss", "S1W0M0", "--data", inputs["data"], "--model", inputs["model"]]
    for option in ("steps=6", "keep_steps=3", "held_out=20", "batch_size=16", "learning_rate=0.001",
                   "weight_decay=0.1", "dropout=0"):  # fmt: skip
        words += ["--set", option]
    launch_run(*words, "--tracking", "none", "--output", tmp_path / "zero", launch="deepspeed_zero2")
    assert_same(load_file(tmp_path / "zero" / "encoder" / "model.safetensors"), expected)


def test_a_checkpoint_of_the_other_choice_is_refused_in_one_line(inputs: dict[str, str], tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    from xalign.engine import loop

    after = loop._after_step

    def stop_at_4(*arguments: Any) -> None:
        after(*arguments)
        if arguments[6] == 4:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_after_step", stop_at_4)
        with pytest.raises(Stopped):
            run_align(inputs, tmp_path / "run", save_every=2)
    with pytest.raises(XalignError, match="another choice of vocabulary"):
        run_align(inputs, tmp_path / "run", save_every=2, resume=True, vocabulary="whole")
    run_align(inputs, tmp_path / "run", save_every=2, resume=True)


def test_losses_that_read_the_whole_vocabulary_keep_it(inputs: dict[str, str], tmp_path: Path) -> None:
    made: list[object] = []
    before = UsedRows.__init__

    def counting(self: UsedRows, *arguments: Any) -> None:
        made.append(self)
        before(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UsedRows, "__init__", counting)
        for loss in ("S0W1M0", "S0W0M1", "S1W1M1"):
            run_align(inputs, tmp_path / loss, loss=loss, word_negatives=20, steps=4)
        assert not made
        run_align(inputs, tmp_path / "S", steps=4)
        assert len(made) == 1
