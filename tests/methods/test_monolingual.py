"""Sentences without their translations: what stands in a batch, what S makes of it, and the phase that trains on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_data, tiny_encoder

from xalign.config import AlignConfig
from xalign.encoder import load_encoder
from xalign.engine.batch import mean_weights
from xalign.errors import UsageError
from xalign.methods.monolingual import TurnsOfLanguages, require_dropout
from xalign.model_source import ModelSource
from xalign.phases.align import Preparation, align, prepare
from xalign.phases.inputs import describe_inputs, open_data
from xalign.randomness import seed_dropout
from xalign.runs import RunResult


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("inputs")
    return {"data": str(tiny_data(root / "data")), "model": str(tiny_encoder(root / "encoder"))}


def config(inputs: dict[str, str], output: Path, **options: Any) -> AlignConfig:
    common: dict[str, Any] = {
        "pair": "de-en", "loss": "S1W0M0", "positives": "dropout", "steps": 6, "keep_steps": (), "held_out": 20,
        "batch_size": 16, "bucket_batches": 2, "length_groups": 1, "learning_rate": 1e-2, "tracking": "none",
        "quiet": True,
    }  # fmt: skip
    return AlignConfig(**inputs, output=str(output), **(common | options))


def prepared(given: AlignConfig) -> Preparation:
    from xalign.data.parallel import load_pairs
    from xalign.model_source import find_model

    data, source = open_data(given.data), find_model(given.model)
    corpus = load_pairs(data, given.pair, held_out=given.held_out)
    return prepare(given, source, corpus, describe_inputs(data, corpus.files, source))


def run(inputs: dict[str, str], output: Path, **options: Any) -> RunResult:
    return align(config(inputs, output, **options))


def test_each_row_pairs_a_sentence_with_itself_and_no_translation_is_in_its_batch(
    inputs: dict[str, str], tmp_path: Path
) -> None:
    found = prepared(config(inputs, tmp_path / "run"))
    pairs, count = found.corpus.train, len(found.corpus.train)
    assert count > 100
    tokenizer = found.encoder.tokenizer
    for step in range(2 * (count // 16)):
        [micro] = found.batches.micro_batches(step)
        rows, twins = (half.tolist() for half in micro.tensors["separate"].chunk(2))
        assert rows == twins
        sides = {example >= count for example in micro.examples}
        assert sides == {bool(step % 2)}  # one language a batch
        source = not step % 2
        own, other = (pairs.source, pairs.target) if source else (pairs.target, pairs.source)
        texts = [tokenizer.decode(row, skip_special_tokens=True).replace("▁", "") for row in rows]
        indices = [example % count for example in micro.examples]
        assert texts == [own[index] for index in indices]
        assert not set(texts) & {other[index] for index in indices}


def test_every_sentence_comes_once_a_pass_and_neighbouring_batches_are_not_translations() -> None:
    lengths = np.random.default_rng(0).integers(3, 40, size=96)
    order = TurnsOfLanguages(lengths, lengths, 8, seed=1, bucket_batches=4)
    batches = [order.examples(step) for step in range(24)]
    assert sorted(np.concatenate(batches[::2]).tolist()) == list(range(96))
    assert sorted(np.concatenate(batches[1::2]).tolist()) == list(range(96, 192))
    shared = [len(set(a) & set(b - 96)) for a, b in zip(batches[::2], batches[1::2], strict=True)]
    assert np.mean(shared) < 2  # 8 of 8 if both languages were shuffled alike; 0.7 by chance
    assert np.array_equal(TurnsOfLanguages(lengths, lengths, 8, seed=1, bucket_batches=4).examples(17), batches[17])


@pytest.mark.parametrize("negatives", ["both", "cross"])
def test_the_loss_is_that_of_a_naive_loop_over_two_dropout_masks(
    negatives: str, inputs: dict[str, str], tmp_path: Path
) -> None:
    found = prepared(config(inputs, tmp_path / "run", negatives=negatives, dropout=0.2))
    objective = found.objective.train()
    [micro] = found.batches.micro_batches(1)
    seed_dropout(7, 0, 0, 0)
    loss = objective(micro.tensors, mean_weights(micro.counts))["S"].item()
    seed_dropout(7, 0, 0, 0)
    vectors = objective.embed(micro.tensors["separate"]).detach().double().numpy()
    count = len(vectors) // 2
    assert not np.allclose(vectors[:count], vectors[count:], atol=1e-3)  # the masks differ
    texts = [tuple(row) for row in micro.tensors["separate"].tolist()]
    naive = []
    for i in range(2 * count):
        twin = (i + count) % (2 * count)
        terms = {}
        for k in range(2 * count):
            across = (i < count) != (k < count)
            if k == twin or (texts[k] != texts[i] and (across or negatives == "both")):
                norm = np.linalg.norm(vectors[i]) * np.linalg.norm(vectors[k])
                terms[k] = np.exp(vectors[i] @ vectors[k] / norm / 0.1)
        naive.append(-np.log(terms[twin] / sum(terms.values())))
    assert loss == pytest.approx(np.mean(naive), rel=1e-5)


def test_the_loss_falls_and_the_record_says_that_no_translation_was_read(
    inputs: dict[str, str], tmp_path: Path
) -> None:
    found = run(inputs, tmp_path / "run", steps=40, learning_rate=3e-3)
    lines = [json.loads(line) for line in (found.directory / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert np.mean(losses[-8:]) < 0.9 * np.mean(losses[:8])
    assert found.result["translations"] == 0
    record = json.loads((found.directory / "run.json").read_text())
    assert record["lineage"]["method"] == "monolingual" and record["name"] == "align/de-en/S1W0M0+monolingual"


def test_it_goes_together_with_masked_language_modelling_adapters_and_a_cached_contrast(
    inputs: dict[str, str], tmp_path: Path
) -> None:
    options: dict[str, Any] = {"loss": "S1W0M1", "adapter": "lora", "grad_cache": True, "accumulation": 4}
    found = run(inputs, tmp_path / "run", **options)
    record = json.loads((found.directory / "run.json").read_text())
    assert record["lineage"]["method"] == "monolingual+lora"


def test_masked_language_modelling_of_single_sentences_reads_no_translations(
    inputs: dict[str, str], tmp_path: Path
) -> None:
    """L_M, and its gradient, of a sentence are the same whatever stands beside it in the batch."""
    for mlm_input, translations in (("separate", 0), ("tlm", 1)):
        given = config(inputs, tmp_path / mlm_input, loss="S0W0M1", positives="translations", mlm_input=mlm_input)
        found = align(given)
        read = min(given.steps * given.batch_size, found.result["pairs"]["kept"])
        assert found.result["translations"] == translations * read
    found_ = prepared(config(inputs, tmp_path / "x", loss="S0W0M1", positives="translations", dropout=0.0))
    [micro] = found_.batches.micro_batches(0)
    whole = found_.objective(micro.tensors, mean_weights(micro.counts))["M"]
    ids, predict, labels = (micro.tensors[name] for name in ("masked", "predict", "labels"))
    total = torch.zeros(())
    for row in range(len(ids)):
        mine = (predict // ids.shape[1]) == row
        alone = {"masked": ids[row : row + 1], "predict": predict[mine] % ids.shape[1], "labels": labels[mine]}
        total = total + found_.objective(alone, torch.ones(1))["M"]
    torch.testing.assert_close(whole, total / len(labels), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"loss": "S1W1M0"}, "W needs translations"),
        ({"loss": "S1W0M1", "mlm_input": "tlm"}, "mlm_input=tlm needs translations"),
        ({"loss": "S0W0M1"}, "choose a loss with S1"),
        ({"dropout": 0.0}, "--set dropout="),
    ],
)
def test_what_needs_translations_or_lacks_dropout_is_refused(
    options: dict[str, Any], line: str, inputs: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=line):
        run(inputs, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_the_encoder_s_own_dropout_is_enough(inputs: dict[str, str]) -> None:
    require_dropout(load_encoder(ModelSource("tiny", Path(inputs["model"]))))
