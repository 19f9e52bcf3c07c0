"""What ships in the package, testbed and encoder, carries the whole experiment with no network and no other data."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from xalign.__main__ import run
from xalign.analysis.retrieval import translation_scores
from xalign.analysis.vectors import Vectorizer
from xalign.config import AlignConfig
from xalign.data.flores import load_flores
from xalign.data.languages import find
from xalign.data.layout import DataDirectory
from xalign.data.testbed import embedded_testbed
from xalign.encoder import load_encoder
from xalign.frozen_features import Encoding
from xalign.methods.transformation_text import FittingTexts
from xalign.methods.transformations import centring, procrustes
from xalign.model_source import embedded_directory, find_model
from xalign.phases.align import align

CODES = ("deu", "eng", "kaz", "kor", "jpn", "hin", "zho", "spa", "rus", "lit", "kas", "fra", "bul", "heb")


def test_the_embedded_encoder_has_xlm_r_s_architecture_and_is_small() -> None:
    encoder = load_encoder(find_model("mini"))
    assert encoder.model.config.model_type == "xlm-roberta" and encoder.depth == 12 and encoder.has_head
    assert sum(parameter.numel() for parameter in encoder.model.parameters()) <= 1_200_000
    assert (embedded_directory() / "model.safetensors").stat().st_size <= 5_000_000


@pytest.mark.parametrize("code", CODES)
def test_the_embedded_encoder_reads_the_testbed_without_unknown_pieces(code: str) -> None:
    tokenizer = load_encoder(find_model("mini")).tokenizer
    texts = load_flores(DataDirectory(embedded_testbed()).flores(find(code), "devtest"))
    pieces = [i for ids in tokenizer(texts, add_special_tokens=False)["input_ids"] for i in ids]
    assert pieces.count(tokenizer.unk_token_id) / len(pieces) < 0.001


def test_the_sentence_loss_brings_translations_together_and_leaves_other_languages_apart(tmp_path: Path) -> None:
    options = {"steps": 120, "learning_rate": 5e-4, "max_length": 48, "held_out": 300, "eval_pairs": 300}
    few = AlignConfig(
        pair="de-en", loss="S1W0M0", output=str(tmp_path / "run"), tracking="none", quiet=True, eval_every=1,
        **{**options, "steps": 1},
    )  # fmt: skip
    before = align(few).result["validation"]
    many = AlignConfig(
        pair="de-en", loss="S1W0M0", output=str(tmp_path / "more"), tracking="none", quiet=True, **options
    )
    after = align(many).result["validation"]
    for direction in ("nn_source_to_target", "nn_target_to_source"):
        assert after[direction] > before[direction] + 0.15
    gap = {key: scores["mean_cosine"] - scores["mean_cosine_nontranslation"] for key, scores in
           (("before", before), ("after", after))}  # fmt: skip
    assert gap["after"] > gap["before"] + 0.2


def test_the_chain_ends_in_a_table_that_says_testbed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    few = ["--set", "align.max_pairs=200", "--set", "align.held_out=50"]
    assert run(["grid", "run", "table1", "--preset", "smoke", *few, "--runs", str(runs), "--tracking", "none"]) == 0
    assert run(["report", "table1", "--runs", str(runs), "--format", "markdown"]) == 0
    assert "testbed" in capsys.readouterr().out
    with (runs / "report" / "table1.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    done = {(row["pair"], row["loss"]) for row in rows if row["state"] == "complete"}
    assert done == {("base", "S0W0M0"), ("de-en", "S1W0M0")}
    assert json.loads((runs / "transfer/topic/linear/base/run.json").read_text())["testbed"] is True


def test_centring_alone_raises_retrieval_of_an_unaligned_encoder_and_procrustes_more() -> None:
    """The embedded encoder on the embedded testbed, at layer 8."""
    german, english = find("deu"), find("eng")
    data = DataDirectory(embedded_testbed())
    tested = {language: load_flores(data.flores(language, "devtest"))[:200] for language in (german, english)}
    fit = FittingTexts(data, "topics", "procrustes", [(german, english)], tested, 250)[german, english]
    vectorizer = Vectorizer(load_encoder(find_model("mini")), Encoding(64, torch.device("cpu")), 48)
    every = vectorizer.compute([*fit.source, *fit.target, *tested[german], *tested[english]], [8])[0]
    source, target, queries, answers = torch.from_numpy(every).split([250, 250, 200, 200])

    def recall(maps: Any) -> float:
        sides = (maps(queries) - maps.target, answers - maps.target) if maps else (queries, answers)
        return translation_scores(*(side.float() for side in sides))["nn_source_to_target"]

    none, centred, rotated = (recall(maps) for maps in (None, centring(source, target), procrustes(source, target)))
    assert none + 0.01 < centred < rotated - 0.02
