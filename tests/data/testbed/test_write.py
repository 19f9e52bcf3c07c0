"""Properties of the written testbed: the real layouts, the same bytes for the same seed, honest splits."""

from __future__ import annotations

import csv
import gzip
import json
import lzma
from pathlib import Path

import pytest

from xalign.data.languages import find
from xalign.data.testbed import embedded_testbed, write_testbed
from xalign.data.testbed.corpus import PAIRS, CombinationFilter, build_corpus, unseen_concepts
from xalign.data.testbed.grammar import sentence_concepts
from xalign.data.testbed.languages import LANGUAGES
from xalign.data.testbed.write import SEED, VERSION
from xalign.errors import UsageError
from xalign.storage import digest_file


@pytest.fixture(scope="module")
def testbed() -> Path:
    return embedded_testbed()


def digests(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): digest_file(path) for path in root.rglob("*") if path.is_file()}


def test_it_takes_less_than_twenty_five_megabytes(testbed: Path) -> None:
    assert sum(file.stat().st_size for file in testbed.rglob("*") if file.is_file()) < 25e6


def test_same_seed_gives_the_same_bytes(testbed: Path, tmp_path: Path) -> None:
    assert digests(write_testbed(tmp_path / "second")) == digests(testbed)


def digits(text: str) -> list[str]:
    return sorted(filter(str.isdigit, text))


def test_parallel_files_are_line_aligned_translations(testbed: Path) -> None:
    for pair in PAIRS:
        first, second = (
            gzip.decompress((testbed / f"parallel/{pair}/testbed.{pair}.{short}.gz").read_bytes()).decode().splitlines()
            for short in pair.split("-")
        )
        assert len(first) == len(second) == 6000
        assert min(len(line) for line in first) < 25
        assert all(digits(a) == digits(b) for a, b in zip(first, second, strict=True))


def test_treebanks_are_conllu_with_ten_columns_running_numbers_and_one_root(testbed: Path) -> None:
    files = sorted(testbed.glob("ud/UD_*-Testbed/*_testbed-ud-*.conllu"))
    assert len(files) == len(LANGUAGES) + 2
    ranges = 0
    for file in files:
        for block in file.read_text(encoding="utf-8").strip().split("\n\n"):
            comments = [line for line in block.splitlines() if line.startswith("# ")]
            rows = [line.split("\t") for line in block.splitlines() if not line.startswith("#")]
            assert comments[0].startswith("# sent_id = ") and comments[1].startswith("# text = ")
            assert {len(row) for row in rows} == {10}
            words = [row for row in rows if "-" not in row[0]]
            ranges += len(rows) - len(words)
            assert [row[0] for row in words] == [str(number) for number in range(1, len(words) + 1)]
            assert [row[6] for row in words].count("0") == 1
            assert comments[1].removeprefix("# text = ") == running_text(rows)
    assert ranges > 20


def running_text(rows: list[list[str]]) -> str:
    """The text that CoNLL-U's own rules give for the rows: ranges hide their words, SpaceAfter=No glues."""
    text, hidden = "", 0
    for row in rows:
        if "-" in row[0]:
            hidden = int(row[0].split("-")[1])
        elif int(row[0]) <= hidden:
            continue
        text += row[1] + ("" if row[9] == "SpaceAfter=No" else " ")
    return text.strip()


def test_topic_files_have_the_sizes_and_columns_of_sib_and_the_same_ids_everywhere(testbed: Path) -> None:
    ids: dict[str, set[tuple[tuple[str, str], ...]]] = {}
    for code in LANGUAGES:
        for split, count in (("train", 701), ("dev", 99), ("test", 204)):
            file = testbed / f"sib200/data/annotated/{find(code).flores}/{split}.tsv"
            with file.open(encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
            assert len(rows) == count and set(rows[0]) == {"index_id", "category", "text"}
            ids.setdefault(split, set()).add(tuple((row["index_id"], row["category"]) for row in rows))
    assert all(len(versions) == 1 for versions in ids.values())


def test_flores_is_many_way_with_one_line_of_metadata_each(testbed: Path) -> None:
    counts = {
        len((testbed / f"flores200_dataset/devtest/{find(code).flores}.devtest").read_text("utf-8").splitlines())
        for code in LANGUAGES
    }
    metadata = (testbed / "flores200_dataset/metadata_devtest.tsv").read_text("utf-8").splitlines()
    assert counts == {1012} and len(metadata) == 1013


def test_dictionaries_pair_every_language_with_english_in_two_tokens_a_line(testbed: Path) -> None:
    for code in LANGUAGES:
        if code != "eng":
            short = find(code).short
            there = [line.split() for line in (testbed / f"muse/en-{short}.txt").read_text("utf-8").splitlines()]
            back = [line.split() for line in (testbed / f"muse/{short}-en.txt").read_text("utf-8").splitlines()]
            assert {len(entry) for entry in there} == {2}
            assert back == [entry[::-1] for entry in there]


def test_every_language_has_monolingual_text(testbed: Path) -> None:
    for code in LANGUAGES:
        text = lzma.decompress((testbed / f"mono/{find(code).short}.txt.xz").read_bytes()).decode()
        assert len(text.splitlines()) >= 4_000
        assert (" " in text.splitlines()[1]) == LANGUAGES[code].spaces


def test_description_says_testbed_and_states_the_relatedness(testbed: Path) -> None:
    description = json.loads((testbed / "TESTBED.json").read_text("utf-8"))
    assert description["testbed"] is True
    assert (description["version"], description["seed"]) == (VERSION, SEED)
    assert set(description["languages"]) == set(LANGUAGES)
    related = description["relatedness"]
    assert len(related) == 14 * 13 / 2
    assert related["rus-bul"] > related["deu-eng"] > related["kaz-rus"] > 0.05 > related["jpn-heb"]
    assert "constructed" in (testbed / "README.txt").read_text("utf-8")


def test_no_two_parts_share_an_abstract_sentence_and_unseen_things_are_only_in_tests() -> None:
    corpus = build_corpus(list(LANGUAGES), SEED)
    training = [*corpus.topics["train"], *corpus.topics["dev"]]
    training += [s for (_, split), part in corpus.treebanks.items() if split != "test" for s in part]
    testing = [*corpus.topics["test"], *corpus.treebanks["eng", "test"]]
    paragraphs = [paragraph for part in corpus.mono.values() for paragraph in part]
    assert all(len({sentence.topic for sentence in paragraph}) == 1 for paragraph in paragraphs)
    free = [s for part in (*corpus.parallel.values(), *paragraphs) for s in part]
    everything = [*training, *corpus.flores, *corpus.topics["test"], *free]
    everything += [s for (_, split), part in corpus.treebanks.items() if split == "test" for s in part]
    assert len(set(everything)) == len(everything)

    unseen = unseen_concepts(SEED)
    assert len(unseen) > 15
    assert not any(unseen.intersection(sentence_concepts(sentence)) for sentence in training)
    assert sum(bool(unseen.intersection(sentence_concepts(sentence))) for sentence in testing) > len(testing) / 20
    assert unseen <= {concept for sentence in free for concept in sentence_concepts(sentence)}

    unseen_combination = CombinationFilter(SEED).is_unseen
    in_training, in_tests = (
        [unseen_combination(clause.verb, clause.object.head) for s in part for clause in s.clauses if clause.object]
        for part in (training, testing)
    )
    assert not any(in_training) and any(in_tests)


def test_embedded_testbed_is_written_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written = []

    def write_marker(output: Path) -> Path:
        output.mkdir(parents=True)
        (output / "TESTBED.json").write_text("{}")
        written.append(output)
        return output

    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path))
    monkeypatch.setattr("xalign.data.testbed.write.write_testbed", write_marker)
    first = embedded_testbed()
    assert embedded_testbed() == first and f"v{VERSION}" in first.name
    assert written == [first]


def test_a_directory_that_is_no_testbed_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("keep")
    with pytest.raises(UsageError, match="not a testbed"):
        write_testbed(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "keep"
