"""`distances`: of encoders and fine-tuned models, of sentences and words, with what topic models have seen left out."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import sentence, tiny_data, tiny_encoder, word

from xalign import DistancesConfig, FinetuneConfig, distances, finetune
from xalign.errors import UsageError, XalignError
from xalign.runs import RunResult
from xalign.storage import cache_directory

COLUMNS = "level,source,target,layer,model_state,distance,nontranslation,normalised,low,high"
SEEN = (3, 8, 21, 27)  # lines of FLORES that stand in SIB-200's training data here


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder, fine-tuning runs, and data with dictionaries, FLORES sentences of which SIB-200 has too."""
    folder = tmp_path_factory.mktemp("distances")
    tiny_encoder(folder / "encoder", layers=2, width=8)
    data = tiny_data(folder / "data")
    nouns = [("NOUN", i) for i in range(14)] + [("VERB", i) for i in range(14)]
    write_dictionary(data, "en-de", [(word("eng", *noun), word("deu", *noun)) for noun in nouns] + [("42", "42")])
    write_dictionary(data, "en-kk", [(word("eng", *noun), word("kaz", *noun)) for noun in nouns])
    train = data / "sib200" / "data" / "annotated" / "eng_Latn" / "train.tsv"
    seen = [f"{i}\ttravel\t{' '.join(sentence('eng', 9000 + i)[0])} " for i in SEEN]
    train.write_text(train.read_text() + "\n".join(seen) + "\n")
    for task, mode in (("pos", "full"), ("topic", "full"), ("topic", "linear")):
        finetune(
            FinetuneConfig(
                model=str(folder / "encoder"), data=str(data), output=str(folder / task / mode), task=task, mode=mode,
                seeds=(15, 33), epochs=2, learning_rate=1e-2, head_learning_rate=1e-2, tracking="none", quiet=True,
            )
        )  # fmt: skip
    return folder


def write_dictionary(data: Path, pair: str, lines: list[tuple[str, str]]) -> None:
    (data / "muse").mkdir(exist_ok=True)
    (data / "muse" / f"{pair}.txt").write_text("".join(f"{a} {b}\n" for a, b in lines))


def measure(folder: Path, output: Path, model: str = "encoder", **options: Any) -> RunResult:
    common: dict[str, Any] = {
        "pairs": ("deu-eng", "deu-kaz"), "layers": ("1", "2"), "word_ranks": (0, 100), "tracking": "none",
        "quiet": True, "data": str(folder / "data"),
    }  # fmt: skip
    return distances(DistancesConfig(model=str(folder / model), output=str(output), **(common | options)))


def rows(run: RunResult, name: str = "distances.csv") -> dict[tuple[str, ...], dict[str, str]]:
    with (run.directory / name).open(encoding="utf-8") as stream:
        return {(r["level"], r["source"], r["target"], r["layer"]): r for r in csv.DictReader(stream)}


def naive_distances(encoder: Path, sides: list[list[str]], layer: int) -> np.ndarray:
    """Cosine distances of translations with transformers and scipy alone, one text at a time."""
    import torch
    from scipy.spatial.distance import cdist
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(encoder).eval(), AutoTokenizer.from_pretrained(encoder)

    def vector(text: str) -> np.ndarray:
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[layer]
        return states[0, 1:-1].mean(dim=0).numpy()

    return cdist(*(np.stack([vector(text) for text in side]) for side in sides), "cosine")


def flores(language: str, leave_out: tuple[int, ...] = ()) -> list[str]:
    return [" ".join(sentence(language, 9000 + i)[0]) for i in range(40) if i not in leave_out]


def assert_is(row: dict[str, str], table: np.ndarray) -> None:
    others = table[~np.eye(len(table), dtype=bool)]
    expected = np.diag(table).mean(), others.mean()
    assert (float(row["distance"]), float(row["nontranslation"])) == pytest.approx(expected, abs=1e-5)
    assert float(row["normalised"]) == pytest.approx((expected[1] - expected[0]) / others.std(ddof=1), abs=1e-3)


def test_sentences_and_words_equal_a_naive_computation(folder: Path, tmp_path: Path) -> None:
    from scipy.stats import sem, t

    run = measure(folder, tmp_path / "run")
    table = rows(run)
    assert (run.directory / "distances.csv").read_text().splitlines()[0] == COLUMNS
    assert {row["model_state"] for row in table.values()} == {"base"}
    naive = naive_distances(folder / "encoder", [flores("deu"), flores("eng")], layer=1)
    row = table["sentence", "deu", "eng", "1"]
    assert_is(row, naive)
    expected = t.interval(0.95, 39, loc=np.diag(naive).mean(), scale=sem(np.diag(naive)))
    assert (float(row["low"]), float(row["high"])) == pytest.approx(expected, abs=1e-5)
    nouns = [(tag, i) for tag in ("NOUN", "VERB") for i in range(14)]
    words = [[word(language, *noun) for noun in nouns] for language in ("deu", "eng")]
    assert_is(table["word", "deu", "eng", "2"], naive_distances(folder / "encoder", words, layer=2))
    assert (run.directory / "distances-centred.csv").read_text() != (run.directory / "distances.csv").read_text()


def test_words_are_labelled_with_their_dictionaries(folder: Path, tmp_path: Path) -> None:
    first, second = measure(folder, tmp_path / "run").result["dictionaries"]
    assert first == {
        "pair": "deu-eng", "files": ["muse/en-de.txt"], "word_ranks_used": [0, 29], "words": 28, "not_encodable": 0,
        "pivoted_through_english": False, "extension": False,
    }  # fmt: skip
    assert second["pivoted_through_english"] and second["files"] == ["muse/en-de.txt", "muse/en-kk.txt"]


def test_identical_strings_are_left_out(folder: Path, tmp_path: Path) -> None:
    """They lie at distance 0 in every model, and would make any model look aligned."""
    shutil.copytree(folder / "data", tmp_path / "data")
    path = tmp_path / "data" / "muse" / "en-de.txt"
    before = rows(measure(folder, tmp_path / "before", data=str(tmp_path / "data")))
    path.write_text(path.read_text() + "".join(f"{w} {w}\n" for w in ("bad", "deb", "sim", "tok")))
    after = rows(measure(folder, tmp_path / "after", data=str(tmp_path / "data")))
    assert before == after


def test_an_encoder_is_measured_on_all_sentences_and_apart_on_those_that_topic_models_have_not_seen(
    folder: Path, tmp_path: Path
) -> None:
    run = measure(folder, tmp_path / "run")
    assert run.result["sentences"] == 40 and run.result["excluded_sentences"] == 0
    naive = naive_distances(folder / "encoder", [flores("deu", SEEN), flores("eng", SEEN)], layer=2)
    unseen = rows(run, "distances-unseen.csv")
    assert_is(unseen["sentence", "deu", "eng", "2"], naive)
    assert {level for level, *_ in unseen} == {"sentence"}


def test_topic_models_are_measured_without_the_sentences_they_were_trained_on(folder: Path, tmp_path: Path) -> None:
    run = measure(folder, tmp_path / "run", model="topic/full")
    assert run.result["excluded_sentences"] == len(SEEN) and run.result["sentences"] == 40 - len(SEEN)
    assert run.result["model_state"] == "base+topic" and not (run.directory / "distances-unseen.csv").exists()
    sides = [flores("deu", SEEN), flores("eng", SEEN)]
    seeds = [naive_distances(folder / "topic" / "full" / f"encoder-seed{seed}", sides, layer=2) for seed in (15, 33)]
    row = rows(run)["sentence", "deu", "eng", "2"]
    assert float(row["distance"]) == pytest.approx(np.mean([np.diag(table).mean() for table in seeds]), abs=1e-5)
    with (run.directory / "distances-seeds.csv").open() as stream:
        by_seed = {
            r["seed"]: float(r["distance"])
            for r in csv.DictReader(stream)
            if (r["level"], r["target"], r["layer"]) == ("sentence", "eng", "2")
        }
    assert by_seed == pytest.approx(
        {seed: np.diag(table).mean() for seed, table in zip(("15", "33"), seeds, strict=True)}, abs=1e-5
    )
    assert run.result["sd_over_seeds"]["sentence hidden_states[2]"] > 0


def test_pos_models_keep_all_sentences_and_leave_no_vectors_behind(folder: Path, tmp_path: Path) -> None:
    before = set((cache_directory() / "vectors").glob("*"))
    run = measure(folder, tmp_path / "run", model="pos/full")
    assert run.result["excluded_sentences"] == 0 and run.result["model_state"] == "base+pos"
    record = json.loads((run.directory / "run.json").read_text())
    assert record["name"] == "distances/pos/base" and record["lineage"]["task"] == "pos"
    assert record["upstream"][0]["path"] == str(folder / "pos" / "full")
    assert set((cache_directory() / "vectors").glob("*")) == before
    assert measure(folder, tmp_path / "run", model="pos/full").reused


def test_data_without_dictionaries_give_sentences_alone(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "data", tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "muse")
    run = measure(folder, tmp_path / "run", data=str(tmp_path / "data"))
    assert {level for level, *_ in rows(run)} == {"sentence"}
    assert run.result["pairs_without_words"] == ["deu-eng", "deu-kaz"]


def test_a_dictionary_that_the_tokenizer_cannot_encode_is_one_line(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "data", tmp_path / "data")
    write_dictionary(tmp_path / "data", "en-de", [("bada", "☃"), ("dete", "☂")])
    with pytest.raises(XalignError, match=r"en-de\.txt: of 2 word pairs of ranks 0-2 the tokenizer can encode 0"):
        measure(folder, tmp_path / "run", data=str(tmp_path / "data"), pairs=("deu-eng",))
    default = DistancesConfig(output="unused").pairs
    run = measure(folder, tmp_path / "run", data=str(tmp_path / "data"), pairs=default)
    assert run.result["pairs"] == ["deu-eng", "kaz-eng"] and run.result["pairs_without_words"] == ["deu-eng"]


def test_models_that_cannot_be_measured_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="with a frozen encoder, which stayed as it was; measure that encoder"):
        measure(folder, tmp_path / "run", model="topic/linear")
    shutil.copytree(folder / "pos" / "full", tmp_path / "tuned")
    (tmp_path / "tuned" / "result.json").unlink()
    with pytest.raises(XalignError, match="this run is incomplete; finish it with --resume"):
        measure(folder, tmp_path / "run", model=str(tmp_path / "tuned"))
    shutil.copytree(folder / "pos" / "full", tmp_path / "other")
    shutil.rmtree(tmp_path / "other" / "encoder-seed33")
    with pytest.raises(XalignError, match="encoder-seed33: no encoder there"):
        measure(folder, tmp_path / "run", model=str(tmp_path / "other"))
    with pytest.raises(UsageError, match="no such directory"):
        measure(folder, tmp_path / "run", model=str(tmp_path / "nowhere"))
    assert not (tmp_path / "run").exists()


def test_options_that_do_not_fit_are_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="word_ranks=9,5: give the first rank and one past the last"):
        measure(folder, tmp_path / "run", word_ranks=(9, 5))
    with pytest.raises(UsageError, match="layer=7 does not exist: this encoder has layers 1 to 2"):
        measure(folder, tmp_path / "run", layers=("7",))
    assert not (tmp_path / "run").exists()
    with pytest.raises(XalignError, match=r"eng_Latn: holds 3 of 4 FLORES-200 sentences; raise max_sentences"):
        _only_seen(folder, tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="run it without accelerate launch"):
        measure(folder, tmp_path / "other")


def _only_seen(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "data", tmp_path / "data")
    train = tmp_path / "data" / "sib200" / "data" / "annotated" / "eng_Latn" / "train.tsv"
    train.write_text(train.read_text() + "".join(f"{i + 50}\ttravel\t{flores('eng')[i]}\n" for i in (0, 1)))
    measure(folder, tmp_path / "few", model="topic/full", data=str(tmp_path / "data"), max_sentences=4)
