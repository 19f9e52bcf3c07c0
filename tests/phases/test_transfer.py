"""Zero-shot transfer: outcomes that add up, the right heads on the right encoders, and clear refusals."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_data, tiny_encoder

from xalign import FinetuneConfig, TransferConfig, finetune, transfer
from xalign.data.languages import find
from xalign.data.layout import DataDirectory
from xalign.data.treebank import UPOS, load_treebank
from xalign.errors import UsageError, XalignError
from xalign.report.records import collect_transfers
from xalign.runs import RunResult
from xalign.tasks.objective import Reader

LANGUAGES = ("deu", "eng", "kaz")
SEEDS = (15, 33)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, an encoder, and complete fine-tuning runs below ``finetune/<task>/<mode>/base``."""
    folder = tmp_path_factory.mktemp("runs")
    tiny_encoder(folder / "encoder", layers=2, width=8)
    tiny_data(folder / "data")
    for task, mode in (("pos", "linear"), ("topic", "linear"), ("pos", "full")):
        tune(folder, folder / "finetune" / task / mode / "base", task=task, mode=mode)
    return folder


def tune(folder: Path, output: Path, **options: Any) -> RunResult:
    common: dict[str, Any] = {
        "model": str(folder / "encoder"), "data": str(folder / "data"), "output": str(output), "seeds": SEEDS,
        "epochs": 3, "tracking": "none", "quiet": True, "learning_rate": 1e-3, "head_learning_rate": 3e-2,
    }  # fmt: skip
    return finetune(FinetuneConfig(**(common | options)))


def evaluate(folder: Path, model: str, output: Path, **options: Any) -> RunResult:
    common: dict[str, Any] = {
        "model": str(folder / model), "data": str(folder / "data"), "output": str(output), "languages": LANGUAGES,
        "tracking": "none", "quiet": True,
    }  # fmt: skip
    return transfer(TransferConfig(**(common | options)))


def outcomes(run: Path, name: str = "outcomes.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / name).read_text().splitlines()]


@pytest.mark.parametrize("model", ["finetune/pos/linear/base", "finetune/topic/linear/base", "finetune/pos/full/base"])
def test_outcomes_add_up_to_the_accuracies(runs: Path, tmp_path: Path, model: str) -> None:
    found = evaluate(runs, model, tmp_path / "run")
    totals: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in outcomes(found.directory):
        cell = totals[row["language"], str(row["seed"])]
        cell[0] += row["correct"]
        cell[1] += row["total"]
    assert set(totals) == {(language, str(seed)) for language in LANGUAGES for seed in SEEDS}
    for (language, seed), (correct, total) in totals.items():
        assert found.result["accuracy"][language][seed] == pytest.approx(correct / total)
        assert 0 <= found.result["macro_f1"][language][seed] <= 1
    assert ("accuracy_first_nonblank" in found.result) == ("pos" in model)
    assert ("probe_accuracy" in found.result) == ("linear" in model)


def naive_accuracies(runs: Path, language: str, encoder: Path, head: Path) -> dict[str, float]:
    """POS accuracy word by word, one sentence at a time, with transformers alone; for both places of the label."""
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(encoder).eval(), AutoTokenizer.from_pretrained(encoder)
    weights = load_file(head)
    hits: dict[str, list[bool]] = {"first": [], "first-nonblank": []}
    for sentence in load_treebank(DataDirectory(runs / "data").treebank(find(language), "test")):
        inputs = tokenizer(sentence.words, is_split_into_words=True, return_tensors="pt")
        owners, pieces = inputs.word_ids(), inputs.tokens()
        with torch.no_grad():
            states = model(**inputs).last_hidden_state[0]
        labels = (states @ weights["weight"].T + weights["bias"]).argmax(dim=-1).tolist()
        for number, tag in enumerate(sentence.tags):
            own = [index for index, owner in enumerate(owners) if owner == number]
            hits["first"].append(UPOS[labels[own[0]]] == tag)
            named = next((index for index in own if pieces[index] != "▁"), own[0])
            hits["first-nonblank"].append(UPOS[labels[named]] == tag)
    return {place: float(np.mean(values)) for place, values in hits.items()}


@pytest.mark.parametrize("mode", ["linear", "full"])
def test_accuracy_is_that_of_a_naive_loop_over_words(runs: Path, tmp_path: Path, mode: str) -> None:
    model = f"finetune/pos/{mode}/base"
    found = evaluate(runs, model, tmp_path / "run", batch_size=5)
    for seed in SEEDS:
        encoder = runs / "encoder" if mode == "linear" else runs / model / f"encoder-seed{seed}"
        naive = naive_accuracies(runs, "kaz", encoder, runs / model / "head" / f"seed{seed}.safetensors")
        assert found.result["accuracy"]["kaz"][str(seed)] == pytest.approx(naive["first"])
        assert found.result["accuracy_first_nonblank"]["kaz"][str(seed)] == pytest.approx(naive["first-nonblank"])
        assert naive["first"] != naive["first-nonblank"]


def test_the_probe_is_reported_apart_from_the_seeds(runs: Path, tmp_path: Path) -> None:
    found = evaluate(runs, "finetune/pos/linear/base", tmp_path / "run")
    naive = naive_accuracies(runs, "deu", runs / "encoder", runs / "finetune/pos/linear/base/head/probe.safetensors")
    assert found.result["probe_accuracy"]["deu"] == pytest.approx(naive["first"])
    assert {row["seed"] for row in outcomes(found.directory)} == set(SEEDS)
    assert {row["seed"] for row in outcomes(found.directory, "outcomes-probe.jsonl")} == {"probe"}


def test_a_frozen_encoder_reads_each_sentence_once_for_all_heads_and_languages_share_batches(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    original = Reader.forward

    def counted(self: Reader, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        read.append(len(batch["input_ids"]))
        return original(self, batch)

    monkeypatch.setattr(Reader, "forward", counted)
    evaluate(runs, "finetune/topic/linear/base", tmp_path / "run")
    assert read == [3 * 21]  # test sentences of three languages in one batch; two seeds and a probe


def test_the_report_reads_what_transfer_writes(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "finetune", tmp_path / "finetune")
    model = tmp_path / "finetune" / "topic" / "linear" / "base"
    evaluate(runs, str(model), tmp_path / "transfer" / "topic" / "linear" / "base")
    (record,) = collect_transfers(tmp_path).complete
    assert (record.cell.task, record.cell.mode, record.cell.pair, record.seeds) == ("topic", "linear", "base", SEEDS)
    assert record.languages == LANGUAGES and "probe_accuracy" in record.measures
    assert record.chain.phase("finetune") is not None and not record.chain.gone


def test_lineage_and_name_come_from_the_fine_tuned_model(runs: Path, tmp_path: Path) -> None:
    found = evaluate(runs, "finetune/pos/full/base", tmp_path / "run")
    record = json.loads((found.directory / "run.json").read_text())
    upstream = json.loads((runs / "finetune/pos/full/base/run.json").read_text())
    assert record["name"] == "transfer/pos/full/base"
    assert record["lineage"] == upstream["lineage"]
    assert record["upstream"] == [{"path": str(runs / "finetune/pos/full/base"), "key": upstream["key"]}]
    assert set(record["inputs"]["data"]) == {
        "ud/UD_German-GSD/de_gsd-ud-test.conllu",
        "ud/UD_English-EWT/en_ewt-ud-test.conllu",
        "ud/UD_Kazakh-KTB/kk_ktb-ud-test.conllu",
    }


def test_labels_on_the_first_nonblank_piece_are_judged_there(runs: Path, tmp_path: Path) -> None:
    tune(runs, tmp_path / "tuned", task="pos", mode="linear", label_on="first-nonblank", probe=False)
    found = evaluate(runs, str(tmp_path / "tuned"), tmp_path / "run")
    naive = naive_accuracies(runs, "kaz", runs / "encoder", tmp_path / "tuned" / "head" / "seed15.safetensors")
    assert found.result["accuracy"]["kaz"]["15"] == pytest.approx(naive["first-nonblank"])
    assert found.result["accuracy_first"]["kaz"]["15"] == pytest.approx(naive["first"])


def test_default_languages_are_those_that_the_data_has(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    default = TransferConfig(output="unused").languages
    found = evaluate(runs, "finetune/pos/linear/base", tmp_path / "run", languages=default, quiet=False)
    assert sorted(found.result["accuracy"]) == list(LANGUAGES)
    assert found.result["missing_languages"] == [code for code in default if code not in LANGUAGES]
    assert "without test data for pos, left out: kor" in capsys.readouterr().out


def test_languages_that_were_asked_for_must_exist(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no pos test data for kas .*; there is: deu eng kaz"):
        evaluate(runs, "finetune/pos/linear/base", tmp_path / "run", languages=("deu", "kas"))
    with pytest.raises(UsageError, match="each language once"):
        evaluate(runs, "finetune/pos/linear/base", tmp_path / "run", languages=("deu", "de"))
    assert not (tmp_path / "run").exists()


def test_all_languages_are_those_that_the_data_has_in_a_run_of_another_name(runs: Path, tmp_path: Path) -> None:
    chosen = evaluate(runs, "finetune/topic/linear/base", tmp_path / "chosen")
    every = evaluate(
        runs, "finetune/topic/linear/base", tmp_path / "runs/languages/topic/linear/base", languages=("all",)
    )
    assert every.result["accuracy"] == chosen.result["accuracy"]
    record = json.loads((every.directory / "run.json").read_text())
    assert record["name"] == "languages/topic/linear/base" and record["config"]["languages"] == ["all"]
    (found,) = collect_transfers(tmp_path, everywhere=True).complete
    assert found.directory == every.directory
    assert [other.directory for other in collect_transfers(tmp_path).complete] == [chosen.directory]


def test_another_language_in_the_data_is_another_test_of_all_languages(runs: Path, tmp_path: Path) -> None:
    data = shutil.copytree(runs / "data", tmp_path / "data")
    shutil.rmtree(data / "sib200/data/annotated/kaz_Cyrl")
    options = {"output": tmp_path / "run", "languages": ("all",)}
    fewer = evaluate(runs, "finetune/topic/linear/base", data=str(data), **options)
    assert set(fewer.result["accuracy"]) == {"deu", "eng"}
    with pytest.raises(UsageError, match="made from other data"):
        evaluate(runs, "finetune/topic/linear/base", **options)


def test_all_stands_alone_and_needs_some_language(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'all' stands alone"):
        evaluate(runs, "finetune/topic/linear/base", tmp_path / "run", languages=("all", "deu"))
    data = shutil.copytree(runs / "data", tmp_path / "data", ignore=shutil.ignore_patterns("sib200"))
    with pytest.raises(UsageError, match="no topic test data in any language"):
        evaluate(runs, "finetune/topic/linear/base", tmp_path / "run", languages=("all",), data=str(data))
    assert not (tmp_path / "run").exists()


def test_a_cap_takes_the_same_topic_sentences_in_all_languages(runs: Path, tmp_path: Path) -> None:
    found = evaluate(runs, "finetune/topic/linear/base", tmp_path / "run", max_sentences=5)
    ids = defaultdict(set)
    for row in outcomes(found.directory):
        ids[row["language"]].add(row["sentence_id"])
    assert len(ids["deu"]) == 5 and ids["deu"] == ids["eng"] == ids["kaz"]


def test_a_complete_run_is_reused_until_a_head_changes(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "finetune" / "topic" / "linear" / "base", tmp_path / "tuned")
    first = evaluate(runs, str(tmp_path / "tuned"), tmp_path / "run")
    assert evaluate(runs, str(tmp_path / "tuned"), tmp_path / "run").reused
    head = tmp_path / "tuned" / "head" / "seed15.safetensors"
    save_file({"weight": torch.zeros(7, 8), "bias": torch.ones(7)}, head)
    with pytest.raises(UsageError, match="made from another model"):
        evaluate(runs, str(tmp_path / "tuned"), tmp_path / "run")
    changed = evaluate(runs, str(tmp_path / "tuned"), tmp_path / "run", overwrite=True)
    assert changed.result["accuracy"]["deu"]["33"] == first.result["accuracy"]["deu"]["33"]


def test_a_changed_encoder_makes_frozen_heads_stale(runs: Path, tmp_path: Path) -> None:
    encoder = tiny_encoder(tmp_path / "encoder", layers=1, width=8)
    tune(runs, tmp_path / "tuned", task="topic", mode="linear", model=str(encoder), epochs=1)
    tiny_encoder(encoder, layers=1, width=8, seed=1)
    with pytest.raises(XalignError, match="this encoder has changed since"):
        evaluate(runs, str(tmp_path / "tuned"), tmp_path / "run")
    shutil.rmtree(encoder)
    with pytest.raises(XalignError, match="no encoder there"):
        evaluate(runs, str(tmp_path / "tuned"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_runs_may_move_together(runs: Path, tmp_path: Path) -> None:
    aligned = tmp_path / "here" / "align" / "de-en" / "S1W0M1"
    tiny_encoder(aligned / "encoder", layers=1, width=8)
    lineage = {"encoder": "tiny", "pair": "de-en", "loss": "S1W0M1", "align_seed": 42, "align_step": 6000}
    (aligned / "run.json").write_text(json.dumps({"phase": "align", "key": "k", "lineage": lineage}))
    (aligned / "result.json").write_text("{}")
    tuned = tmp_path / "here" / "finetune" / "topic" / "linear" / "de-en" / "S1W0M1"
    tune(runs, tuned, task="topic", mode="linear", model=str(aligned), epochs=1)
    (tmp_path / "here").rename(tmp_path / "there")
    found = evaluate(runs, str(tmp_path / "there" / tuned.relative_to(tmp_path / "here")), tmp_path / "run")
    assert json.loads((found.directory / "run.json").read_text())["name"] == "transfer/topic/linear/de-en/S1W0M1"


def test_models_that_were_not_fine_tuned_are_refused(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a run directory"):
        evaluate(runs, "encoder", tmp_path / "run")
    with pytest.raises(UsageError, match="no such directory"):
        evaluate(runs, "nowhere", tmp_path / "run")
    (tmp_path / "aligned").mkdir()
    (tmp_path / "aligned" / "run.json").write_text(
        json.dumps({"phase": "align", "key": "", "config": {}, "lineage": {}})
    )
    with pytest.raises(XalignError, match="this run is incomplete"):
        evaluate(runs, str(tmp_path / "aligned"), tmp_path / "run")
    (tmp_path / "aligned" / "result.json").write_text("{}")
    with pytest.raises(UsageError, match="an align run; --model takes the directory of a finetune run"):
        evaluate(runs, str(tmp_path / "aligned"), tmp_path / "run")


def test_missing_and_damaged_parts_are_named(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "finetune" / "pos" / "full" / "base", tmp_path / "tuned")
    shutil.rmtree(tmp_path / "tuned" / "encoder-seed33")
    with pytest.raises(XalignError, match=r"encoder-seed33: no encoder there"):
        evaluate(runs, str(tmp_path / "tuned"), tmp_path / "run")
    (tmp_path / "tuned" / "head" / "seed15.safetensors").write_bytes(b"half")
    with pytest.raises(XalignError, match=r"seed15\.safetensors: cannot be read"):
        evaluate(runs, str(tmp_path / "tuned"), tmp_path / "run")


def test_several_processes_are_refused(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="run it without accelerate launch"):
        evaluate(runs, "finetune/pos/linear/base", tmp_path / "run")
