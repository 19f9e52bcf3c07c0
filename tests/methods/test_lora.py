"""LoRA: what is merged against a naive sum, what is trained, and what a run leaves for peft and for everything else."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import ARCHITECTURES, write_encoder
from peft import PeftModel
from safetensors.torch import load_file
from tiny import tiny_data, tiny_encoder
from torch import Tensor
from transformers import AutoModel, AutoModelForMaskedLM

from xalign.config import AlignConfig, keyed
from xalign.encoder import Encoder, load_encoder
from xalign.engine import loop
from xalign.errors import UsageError
from xalign.hidden_states import hidden_state
from xalign.methods.lora import Adapter
from xalign.model_source import ModelSource
from xalign.naming import encoder_name
from xalign.objective import AlignmentObjective
from xalign.phases.align import align
from xalign.runs import RunResult

LAYER, RANK, ALPHA = 2, 3, 5.0
IDS = torch.tensor([[0, 7, 9, 12, 30, 2], [0, 31, 8, 2, 1, 1]])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: write_encoder(root / name, name) for name in ARCHITECTURES}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("inputs")
    return {"data": str(tiny_data(root / "data")), "model": str(tiny_encoder(root / "encoder"))}


def encoder_of(folder: Path) -> Encoder:
    encoder = load_encoder(ModelSource("tiny", folder), dropout=0.0)
    encoder.model.eval()
    return encoder


def adapted(folder: Path, *, random: bool, **options: Any) -> tuple[Encoder, Adapter]:
    """An encoder with adapters; `random` makes B something other than 0, as training would."""
    encoder = encoder_of(folder)
    adapter = Adapter(encoder, LAYER, **{"rank": RANK, "alpha": ALPHA, "seed": 1, **options})
    if random:
        draw = torch.Generator().manual_seed(2)
        for name, parameter in encoder.model.named_parameters():
            if ".lora_B." in name:
                parameter.data.normal_(generator=draw)
    return encoder, adapter


def states(encoder: Encoder) -> Tensor:
    with torch.no_grad():
        return hidden_state(encoder.base, IDS, IDS.ne(int(encoder.tokenizer.pad_token_id)), encoder.depth)


def run(inputs: dict[str, str], output: Path, **options: Any) -> RunResult:
    common: dict[str, Any] = {
        "pair": "de-en", "loss": "S1W0M0", "adapter": "lora", "steps": 6, "keep_steps": (3,), "held_out": 20,
        "batch_size": 16, "learning_rate": 1e-2, "word_negatives": 20, "tracking": "none", "quiet": True,
    }  # fmt: skip
    return align(AlignConfig(**inputs, output=str(output), **(common | options)))


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


# Adapters in an encoder


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_merged_weights_are_w_plus_alpha_over_rank_b_a_and_all_others_those_of_the_base(
    folders: dict[str, Path], name: str
) -> None:
    before = encoder_of(folders[name]).model.state_dict()
    encoder, adapter = adapted(folders[name], random=True)
    state = {key: tensor.clone() for key, tensor in encoder.model.state_dict().items()}
    merged = adapter.merged(encoder.model.state_dict())
    assert merged.keys() == before.keys()
    assert_equal(state, encoder.model.state_dict())  # merging is done on copies
    changed = {key for key in merged if not torch.equal(merged[key], before[key])}
    assert changed == {f"{adapter.prefix}{module}.weight" for module in adapter.modules}
    assert len(changed) == 2 * LAYER
    for key in changed:
        stem = key.removesuffix(".weight")
        down, up = (state[f"{stem}.lora_{part}.default.weight"].double() for part in "AB")
        naive = before[key].double().clone()
        for row in range(naive.shape[0]):
            for column in range(naive.shape[1]):
                naive[row, column] += ALPHA / RANK * sum(up[row, k] * down[k, column] for k in range(RANK))
        torch.testing.assert_close(merged[key].double(), naive, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_merged_encoder_s_states_are_those_of_the_encoder_with_adapters(
    folders: dict[str, Path], name: str
) -> None:
    plain = encoder_of(folders[name])
    fresh, _ = adapted(folders[name], random=False)
    assert torch.equal(states(fresh), states(plain))  # B is 0: training starts at the base
    encoder, adapter = adapted(folders[name], random=True)
    assert not torch.allclose(states(encoder), states(plain), atol=1e-2)
    plain.model.load_state_dict(adapter.merged(encoder.model.state_dict()))
    torch.testing.assert_close(states(plain), states(encoder), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("losses", ["S", "SWM"])
def test_adapters_alone_are_trained_and_only_where_the_loss_reaches(folders: dict[str, Path], losses: str) -> None:
    encoder = encoder_of(folders["xlm-roberta"])
    objective = AlignmentObjective(encoder, losses, layer=LAYER)
    layers = encoder.depth if "M" in losses else LAYER
    adapter = Adapter(encoder, layers, rank=RANK, alpha=ALPHA)
    trained = {name: p for name, p in objective.named_parameters() if p.requires_grad}
    assert len(trained) == 4 * layers and all(".lora_" in name for name in trained)
    assert {int(name.split("layer.")[1].split(".")[0]) for name in trained} == set(range(layers))
    assert adapter.trained == sum(p.numel() for p in trained.values()) == layers * 2 * RANK * (16 + 16)
    assert not encoder.model.get_input_embeddings().weight.requires_grad


def test_the_start_depends_on_the_seed_alone(folders: dict[str, Path]) -> None:
    def start(seed: int) -> Tensor:
        encoder, _ = adapted(folders["bert"], random=False, seed=seed)
        return torch.cat([p.flatten() for name, p in encoder.model.named_parameters() if ".lora_A." in name])

    before = torch.random.get_rng_state()
    first, again, other = start(1), start(1), start(2)
    assert torch.equal(first, again) and not torch.allclose(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_targets_are_the_ends_of_names(folders: dict[str, Path]) -> None:
    _, both = adapted(folders["bert"], random=False, targets=("attention.output.dense", "intermediate.dense"))
    assert both.modules == tuple(
        f"encoder.layer.{i}.{part}" for i in range(LAYER) for part in ("attention.output.dense", "intermediate.dense")
    )
    _, all_dense = adapted(folders["bert"], random=False, targets=("dense",))
    assert len(all_dense.modules) == 3 * LAYER  # not the pooler's


# The phase


@pytest.fixture(scope="module")
def finished(inputs: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return run(inputs, tmp_path_factory.mktemp("runs") / "run", save_every=2)


@pytest.mark.parametrize("step", ["", "-step3"])
def test_peft_puts_the_adapter_on_the_base_and_gets_the_exported_encoder_s_states(
    inputs: dict[str, str], finished: RunResult, step: str
) -> None:
    base = AutoModel.from_pretrained(inputs["model"]).eval()
    exported = AutoModel.from_pretrained(finished.directory / f"encoder{step}").eval()
    mask = (IDS != 1).long()
    with torch.no_grad():
        before = base(input_ids=IDS, attention_mask=mask).last_hidden_state
        expected = exported(input_ids=IDS, attention_mask=mask).last_hidden_state
        loaded = PeftModel.from_pretrained(base, str(finished.directory / f"adapter{step}")).eval()
        found = loaded(input_ids=IDS, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found, before, atol=1e-3)


def test_only_adapted_matrices_differ_from_the_base_and_the_head_is_kept(
    inputs: dict[str, str], finished: RunResult
) -> None:
    before, after = weights(Path(inputs["model"])), weights(finished.directory / "encoder")
    assert before.keys() == after.keys()
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed == {
        f"roberta.encoder.layer.{i}.attention.self.{part}.weight" for i in range(2) for part in ("query", "value")
    }
    masked = AutoModelForMaskedLM.from_pretrained(finished.directory / "encoder")
    assert masked.get_output_embeddings().weight is masked.get_input_embeddings().weight


def test_the_record_says_what_was_trained_and_by_which_method(finished: RunResult) -> None:
    assert finished.result["parameters"] == 0
    assert finished.result["trained_parameters"] == 2 * 2 * 8 * (16 + 16)
    record = json.loads((finished.directory / "run.json").read_text())
    read = record["config"]["steps"] * record["config"]["batch_size"]
    assert finished.result["translations"] == min(read, finished.result["pairs"]["kept"])
    card = (finished.directory / "encoder" / "README.md").read_text(encoding="utf-8")
    assert "**method**: lora\n" in card and "hu2022lora" in card
    assert encoder_name(record["lineage"]) == "de-en/S1W0M0+lora" and record["name"] == "align/de-en/S1W0M0+lora"


def test_a_resumed_run_ends_bit_for_bit_where_an_uninterrupted_one_does(
    inputs: dict[str, str], finished: RunResult, tmp_path: Path
) -> None:
    class Stopped(Exception):
        pass

    after = loop._after_step

    def stop_at_4(*arguments: Any) -> None:
        after(*arguments)
        if arguments[6] == 4:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_after_step", stop_at_4)
        with pytest.raises(Stopped):
            run(inputs, tmp_path / "run", save_every=2)
    saved = load_file(tmp_path / "run" / "checkpoints" / "step-4" / "model.safetensors")
    assert saved and all(".lora_" in name for name in saved)  # the encoder itself need not be saved
    again = run(inputs, tmp_path / "run", save_every=2, resume=True)
    assert again.result["resumed_from"] == [4]
    assert_equal(weights(tmp_path / "run" / "encoder"), weights(finished.directory / "encoder"))


def test_neither_an_export_on_the_way_nor_the_choice_of_vocabulary_changes_the_training(
    inputs: dict[str, str], finished: RunResult, tmp_path: Path
) -> None:
    run(inputs, tmp_path / "run", keep_steps=(), vocabulary="whole")
    assert_equal(weights(tmp_path / "run" / "encoder"), weights(finished.directory / "encoder"))


def test_every_loss_trains_adapters_and_keeps_the_embeddings(inputs: dict[str, str], tmp_path: Path) -> None:
    found = run(inputs, tmp_path / "run", loss="S1W1M1", keep_steps=(), share_forward=True, grad_cache=True)
    before, after = weights(Path(inputs["model"])), weights(found.directory / "encoder")
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert len(changed) == 2 * 3 and all("attention.self" in name for name in changed)  # M reaches all three layers


def test_runs_from_before_there_were_adapters_keep_their_identity() -> None:
    plain = AlignConfig(pair="de-en", output="x")
    options = ("adapter", "adapter_rank", "adapter_alpha", "adapter_targets", "positives")
    assert not set(options) & keyed(plain).keys()
    for change in ({"adapter": "lora"}, {"adapter_rank": 4}, {"adapter_targets": ("key",)}, {"positives": "dropout"}):
        assert keyed(dataclasses.replace(plain, **change)).items() > keyed(plain).items()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"adapter_targets": ("query", "quarry")}, "xlm-roberta has no linear quarry in its layers: choose from"),
        ({"adapter_targets": ("word_embeddings",)}, r"attention\.self\.query"),
    ],
)
def test_targets_that_are_not_there_are_refused_with_those_that_are(
    options: dict[str, Any], line: str, inputs: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=line):
        run(inputs, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_without_peft_one_line_says_what_to_install(
    inputs: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UsageError, match=r"pip install 'xalign\[adapters\]'"):
        run(inputs, tmp_path / "run")
    assert not (tmp_path / "run").exists()
