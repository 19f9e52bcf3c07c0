"""Model cards: true to the run that left the encoder, usable as they stand, and no part of an encoder's identity."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from scipy.stats import binomtest
from tiny import sentence, tiny_data, tiny_encoder
from transformers import AutoModel, AutoModelForMaskedLM

from xalign.__main__ import run as command
from xalign.config import (
    AlignConfig,
    FinetuneConfig,
    JointConfig,
    PretrainConfig,
    RealignConfig,
    as_dict,
    build,
    identity,
)
from xalign.data.licences import CONSTRUCTED, UNKNOWN, recorded_terms
from xalign.model_source import find_model, is_hub_name
from xalign.phases.align import align
from xalign.phases.finetune import finetune
from xalign.phases.inputs import describe_inputs, open_data
from xalign.reading import EXPORT_RECORD
from xalign.runs import run_key
from xalign.sharing.card_command import repeating_command
from xalign.sharing.card_facts import declared_licence, facts_of_run
from xalign.sharing.card_metrics import wilson
from xalign.sharing.embed import EmbedOptions, embed
from xalign.sharing.model_card import CARD, write_card
from xalign.storage import digest_file

FILES = {f"parallel/de-en/tiny.de-en.{code}": {"sha256": "0" * 64, "bytes": 1} for code in ("de", "en")}
SOURCES = {"version": 1, "downloads": [{"licence": "CC BY 4.0", "citation": ["muse", "?"], "files": FILES}]}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data with a record of licences, an encoder with a licence, and a run that aligned it."""
    root = tmp_path_factory.mktemp("cards")
    (tiny_data(root / "data") / "sources.json").write_text(json.dumps(SOURCES))
    (tiny_encoder(root / "encoder") / CARD).write_text("---\nlicense: cc-by-sa-4.0\n---\n# tiny\n")
    align(
        AlignConfig(
            pair="de-en", loss="S1W0M1", model=str(root / "encoder"), data=str(root / "data"),
            output=str(root / "run"), steps=4, keep_steps=(2,), eval_every=2, batch_size=16, held_out=20,
            learning_rate=1e-3, tracking="none", quiet=True,
        )
    )  # fmt: skip
    return root


def card(encoder: Path) -> tuple[dict[str, Any], str]:
    """The metadata and the text of a card."""
    _, head, text = (encoder / CARD).read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(head), text


def test_the_card_says_where_the_encoder_comes_from(place: Path) -> None:
    metadata, text = card(place / "run" / "encoder")
    assert metadata["language"] == ["de", "en", "multilingual"] and metadata["license"] == "cc-by-sa-4.0"
    assert metadata["library_name"] == "transformers" and metadata["pipeline_tag"] == "feature-extraction"
    assert "base_model" not in metadata  # a directory here is nothing that the hub could link to
    record = json.loads((place / "run" / "run.json").read_text())
    assert {"S1W0M1", "xalign"} <= set(metadata["tags"])
    assert ModelCard.load(place / "run" / "encoder" / CARD).data.to_dict() == metadata  # as the hub reads it
    assert "L = L_S + L_M" in text and "**steps**: 4" in text and "**seed**: 42" in text and "16 pairs a step" in text
    assert "`hidden_states[2]` of 3 layers, mean pooling" in text
    assert record["key"] in text and record["inputs"]["weights"] in text
    for file, digest in record["inputs"]["data"].items():
        assert f"| {file} | `{digest}` | CC BY 4.0 |" in text
        assert digest == digest_file(place / "data" / file)
    assert "@misc{veitsman2026alignment," in text and "{conneau2018muse," in text  # the record says to cite it
    assert f"torch {record['versions']['torch']}" in text
    assert str(place) not in text  # nobody's folders leave the machine


def test_the_numbers_are_those_of_the_result_with_their_intervals(place: Path) -> None:
    _, text = card(place / "run" / "encoder")
    scores = json.loads((place / "run" / "result.json").read_text())["validation"]
    share = scores["nn_source_to_target"]
    limits = binomtest(round(share * 20), 20).proportion_ci(method="wilson")
    assert f"| {share:.3f} | [{limits.low:.3f}, {limits.high:.3f}] | 20 held-out pairs |" in text
    assert f"mean cosine of translations | {scores['mean_cosine']:.3f} | – |" in text


@pytest.mark.parametrize(("hits", "count"), [(0, 7), (7, 7), (3, 7), (311, 500)])
def test_intervals_of_shares_are_wilsons(hits: int, count: int) -> None:
    limits = binomtest(hits, count).proportion_ci(method="wilson")
    assert wilson(hits / count, count) == pytest.approx((limits.low, limits.high), abs=1e-12)


def test_an_encoder_kept_on_the_way_has_the_scores_of_its_own_step(place: Path) -> None:
    lines = [json.loads(line) for line in (place / "run" / "metrics.jsonl").read_text().splitlines()]
    scores = next(line["validation"] for line in lines if line["step"] == 2 and "validation" in line)
    _, text = card(place / "run" / "encoder-step2")
    assert "**steps**: 2 of 4" in text and f"mean cosine of translations | {scores['mean_cosine']:.3f} |" in text
    final = json.loads((place / "run" / "result.json").read_text())["validation"]
    assert f"{scores['mean_cosine']:.3f}" != f"{final['mean_cosine']:.3f}"  # or the test could not tell them apart


def test_a_stage_of_a_run_that_was_killed_has_its_card(place: Path, tmp_path: Path) -> None:
    run = tmp_path / "killed"
    shutil.copytree(place / "run", run, ignore=shutil.ignore_patterns("encoder", "result.json", CARD))
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 3, "valid')
    partial = (run / "encoder-step2").rename(run / "not-yet")  # as it is while its files are written
    write_card(run, partial, name="encoder-step2")
    assert card(partial) == card(place / "run" / "encoder-step2")


def test_the_encoder_of_an_epoch_says_which_and_claims_nothing_of_the_last(place: Path, tmp_path: Path) -> None:
    found = finetune(
        FinetuneConfig(
            task="topic", model=str(place / "encoder"), data=str(place / "data"), output=str(tmp_path / "run"),
            seeds=(1, 7), epochs=2, tracking="none", quiet=True,
        ),
        keep_epochs=True,
    )  # fmt: skip
    _, text = card(found.directory / "epochs" / "seed7-epoch1" / "encoder")
    assert "**epochs**: 1 of 2" in text and "**seed**: 7" in text and "Measured" not in text
    _, last = card(found.directory / "encoder-seed7")
    assert "**epochs**: 2\n" in last and "Measured" in last


def test_an_adapter_names_its_base_and_the_encoder_beside_it(place: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    align(
        AlignConfig(
            pair="de-en", loss="S1W0M0", adapter="lora", model=str(place / "encoder"), data=str(place / "data"),
            output=str(tmp_path / "run"), steps=2, keep_steps=(1,), batch_size=16, held_out=20, tracking="none",
            quiet=True,
        )
    )  # fmt: skip
    for stage, steps in (("", "2"), ("-step1", "1 of 2")):
        metadata, text = card(tmp_path / "run" / f"adapter{stage}")
        assert metadata["library_name"] == "peft" and metadata["license"] == "cc-by-sa-4.0"
        assert f"`encoder{stage}` beside them" in text and "PeftModel.from_pretrained" in text
        assert f"**steps**: {steps}\n" in text and "`hidden_states[2]` of 3 layers" in text


def test_a_card_changes_neither_an_encoders_digest_nor_the_key_of_a_run_from_it(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "run", tmp_path / "run")
    config = AlignConfig(pair="de-en", model=str(tmp_path / "run"), output="next")

    def identities() -> tuple[str, str]:
        source = find_model(str(tmp_path / "run"))
        return source.digest, run_key("align", config, describe_inputs(open_data(str(place / "data")), [], source))

    with_card = identities()
    (tmp_path / "run" / "encoder" / CARD).write_text("another card")
    assert identities() == with_card
    (tmp_path / "run" / "encoder" / CARD).unlink()
    assert identities() == with_card
    (tmp_path / "run" / "encoder" / "config.json").write_text("{}")
    assert identities() != with_card


def test_transformers_loads_an_encoder_with_its_card_as_before(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "run" / "encoder", tmp_path / "bare", ignore=shutil.ignore_patterns(CARD))
    for kind in (AutoModel, AutoModelForMaskedLM):
        first, second = (kind.from_pretrained(folder) for folder in (place / "run" / "encoder", tmp_path / "bare"))
        assert type(first) is type(second)
        assert (
            first.embeddings.word_embeddings.weight.equal(second.embeddings.word_embeddings.weight)
            if (kind is AutoModel)
            else first.lm_head.bias.equal(second.lm_head.bias)
        )


@pytest.mark.parametrize("form", ["whole", "truncated"])
def test_the_code_in_the_card_gives_the_vectors_of_embed(form: str, place: Path, tmp_path: Path) -> None:
    sentences = [" ".join(sentence("deu", number)[0]) for number in range(6)]
    (tmp_path / "text.txt").write_text("\n".join(sentences))
    embed(
        EmbedOptions(
            model=str(place / "run"), input=str(tmp_path / "text.txt"), output=str(tmp_path / "v.npy"), quiet=True
        )
    )
    folder = place / "run" / "encoder"
    if form == "truncated":
        folder = tmp_path / "export"
        words = ["export", "--model", str(place / "run"), "--format", "transformers", "--output", str(folder)]
        assert command(words) == 0
    code = re.findall(r"```python\n(.*?)```", card(folder)[1], re.S)[0].replace("max_length=128", "max_length=64")
    names: dict[str, Any] = {"FOLDER": str(folder), "SENTENCES": sentences}
    exec(code, names)
    np.testing.assert_allclose(names["vectors"], np.load(tmp_path / "v.npy"), atol=1e-6)


def test_an_export_of_an_export_knows_what_the_run_knew(place: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert command(["export", "--model", str(place / "run"), "--format", "transformers", "--output", str(first)]) == 0
    assert command(["export", "--model", str(first), "--format", "transformers", "--output", str(second)]) == 0
    assert card(second) == card(first)
    assert "S1W0M1" in card(second)[1] and "de-en" in card(second)[1]
    before, after = (json.loads((folder / EXPORT_RECORD).read_text()) for folder in (first, second))
    assert after["facts"] == before["facts"] and after["layers_before"] == before["layers_before"] > after["layers"]
    assert after["source"]["weights"] != before["source"]["weights"] and after["aligned"]


def test_an_encoder_trained_from_an_export_names_the_run_behind_it(place: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    assert command(["export", "--model", str(place / "run"), "--format", "transformers", "--output", str(first)]) == 0
    given = "align --pair de-en --loss S1W0M0 --preset smoke --tracking none --quiet"
    places = ["--model", str(first), "--data", str(place / "data"), "--output", str(tmp_path / "run")]
    assert command([*given.split(), *places]) == 0
    key = json.loads((place / "run" / "run.json").read_text())["key"]
    assert f"**base**: first, exported from the run {key[:12]}" in card(tmp_path / "run" / "encoder")[1]


@pytest.mark.parametrize("damage", ["facts", "metrics", "rows"])
def test_a_damaged_record_of_an_export_is_one_line(
    damage: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = tmp_path / "first"
    assert command(["export", "--model", str(place / "run"), "--format", "transformers", "--output", str(first)]) == 0
    record = json.loads((first / EXPORT_RECORD).read_text())
    (record if damage == "facts" else record["facts"])[damage] = 7
    (first / EXPORT_RECORD).write_text(json.dumps(record))
    capsys.readouterr()
    assert command(["export", "--model", str(first), "--output", str(tmp_path / "second")]) == 1
    said = capsys.readouterr().err
    assert f"{first / EXPORT_RECORD}: not a record of an export" in said and "Traceback" not in said
    assert not (tmp_path / "second").exists()


COMMANDS = {
    "align": AlignConfig(pair="de-en", output="o", loss="S1W1M0", layer="2/3", max_pairs=500, shared_with=("en-kk",),
                         adapter="lora", adapter_rank=4, dropout=0.2, share_forward=False, detach_lookup=True),
    "pretrain": PretrainConfig(output="o", languages=("deu", "eng"), steps=7, seed=0),
    "realign": RealignConfig(task="topic", pair="de-en", output="o", strategy="before", seeds=(1, 2), mode="full"),
    "joint": JointConfig(task="pos", pair="de-en", output="o", combine="cagrad", epochs=2, cagrad_c=0.25),
}  # fmt: skip


@pytest.mark.parametrize("phase", sorted(COMMANDS))
def test_the_command_in_the_card_builds_the_same_options(phase: str) -> None:
    config = COMMANDS[phase]
    lineage = {"encoder": "elsewhere"}
    made = as_dict(config) | {"model": "/home/somebody/elsewhere", "data": "/home/somebody/data"}
    line = repeating_command({"phase": phase, "config": made, "lineage": lineage, "upstream": []})
    assert line is not None and "somebody" not in line
    assert '--data "$DATA"' in line and ('--model "$MODEL"' in line) == (phase != "pretrain")
    words = shlex.split(line)[2:]
    preset = words[words.index("--preset") + 1]
    options = {a[2:].replace("-", "_"): b for a, b in zip(words[::2], words[1::2], strict=True) if a != "--set"}
    options |= dict(b.split("=", 1) for a, b in zip(words[::2], words[1::2], strict=True) if a == "--set")
    del options["preset"]
    assert identity(build(type(config), preset, options)) == identity(config)


def test_a_base_on_the_hub_is_named_and_a_directory_of_that_look_is_not(place: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(place / "run", run)
    record = json.loads((run / "run.json").read_text())
    for model, encoder, hub in (
        ("FacebookAI/xlm-roberta-base", "FacebookAI/xlm-roberta-base", "FacebookAI/xlm-roberta-base"),
        ("models/tiny", "tiny", None),  # relative to a directory that is not this one
        ("mini-12x128", "mini-12x128", None),
    ):
        changed = record | {"config": record["config"] | {"model": model}}
        changed["lineage"] = record["lineage"] | {"encoder": encoder}
        (run / "run.json").write_text(json.dumps(changed))
        facts = facts_of_run(run)
        assert facts.base_model == hub and facts.licence == ("mit" if hub else None)
    assert not is_hub_name(str(place)) and not is_hub_name("mini") and is_hub_name("some-lab/encoder")


def test_a_testbed_encoder_claims_no_language(place: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(place / "run", run)
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"testbed": True}))
    write_card(run, run / "encoder", {})
    metadata, text = card(run / "encoder")
    assert "language" not in metadata and "testbed" in metadata["tags"]
    assert "It knows no real language" in text


def test_licences_come_from_whatever_records_the_data_directory_has(tmp_path: Path) -> None:
    def licences(data: Path, files: list[str]) -> dict[str, str]:
        return {file: terms.licence for file, terms in recorded_terms(data, files).items()}

    files = ["parallel/de-en/a.de", "ud/UD_X/x.conllu", "mono/de.txt", "muse/en-de.txt"]
    assert licences(tmp_path / "gone", files) == licences(tmp_path, files) == {}
    (tmp_path / "a.json").write_text(json.dumps({"ud": {"license": "CC BY-SA", "files": ["ud/UD_X"]}}))
    (tmp_path / "b.json").write_text(json.dumps({"mono/de.txt": {"licence": "CC0"}, "x": [{"licence": None}]}))
    (tmp_path / "c.json").write_text(json.dumps({"sources": [{"licence": "MIT", "files": {"muse/en-de.txt": "abc"}}]}))
    (tmp_path / "d.json").write_text("not JSON")
    assert licences(tmp_path, files) == {files[1]: "CC BY-SA", files[2]: "CC0", files[3]: "MIT"}
    (tmp_path / "TESTBED.json").write_text("{}")
    assert set(licences(tmp_path, files).values()) == {CONSTRUCTED} and "see the publisher" in UNKNOWN


@pytest.mark.parametrize(
    ("text", "licence"),
    [("---\nlicense: mit\n---\n", "mit"), ("---\n: [\n---\n", None), ("# no metadata", None), ("---\nopen", None)],
)
def test_the_licence_of_a_base_is_what_its_readme_declares(text: str, licence: str | None, tmp_path: Path) -> None:
    assert declared_licence(tmp_path) is None
    (tmp_path / CARD).write_text(text)
    assert declared_licence(tmp_path) == licence
