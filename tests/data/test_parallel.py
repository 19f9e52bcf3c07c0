"""Sentence pairs: cleaning, holding out, capping, and the account of it."""

from __future__ import annotations

import gzip
import unicodedata
from pathlib import Path

import pytest

from xalign.data.layout import DataDirectory
from xalign.data.parallel import PairCorpus, Pairs, clean, load_pairs
from xalign.errors import UsageError, XalignError


def numbered(size: int) -> tuple[list[str], list[str]]:
    return [f"Satz {n}" for n in range(size)], [f"sentence {n}" for n in range(size)]


def moses(root: Path, source: list[str], target: list[str], pair: str = "de-en") -> DataDirectory:
    folder = root / "parallel" / pair
    folder.mkdir(parents=True, exist_ok=True)
    for code, lines in zip(pair.split("-"), (source, target), strict=True):
        (folder / f"tiny.{pair}.{code}").write_bytes("".join(f"{line}\n" for line in lines).encode())
    return DataDirectory(root)


def both(pairs: Pairs) -> set[tuple[str, str]]:
    return set(zip(pairs.source, pairs.target, strict=True))


def assert_adds_up(corpus: PairCorpus) -> None:
    counts = corpus.counts
    assert counts.read == counts.empty + counts.duplicate + counts.held_out + counts.capped + counts.kept
    assert (counts.kept, counts.held_out) == (len(corpus.train), len(corpus.held_out))
    assert not both(corpus.train) & both(corpus.held_out)


def test_text_becomes_nfc_with_single_blanks() -> None:
    assert clean(" Cafe\u0301\u00a0\u3000auf\u2028\tdem  Markt\r ") == "Café auf dem Markt"
    assert clean("\u200b \ufeff") == ""
    assert clean("ab\u200dc") == "ab\u200dc"
    assert unicodedata.is_normalized("NFC", clean("\u1112\u1161\u11ab"))


def test_empty_and_duplicate_pairs_are_counted_and_dropped(tmp_path: Path) -> None:
    source = ["Ja", "Ja", " Ja ", "Ja", "", "Nein", "\u200b", "Cafe\u0301", "Café"]
    target = ["yes", "yes", "yes", "yeah", "empty", "  ", "hidden", "café", "cafe\u0301"]
    corpus = load_pairs(moses(tmp_path, source, target), "de-en", held_out=0)
    assert both(corpus.train) == {("Ja", "yes"), ("Ja", "yeah"), ("Café", "café")}
    assert (corpus.counts.read, corpus.counts.empty, corpus.counts.duplicate) == (9, 3, 3)
    assert corpus.train.source == ["Ja", "Ja", "Café"]
    assert_adds_up(corpus)


def test_held_out_pairs_are_the_same_whatever_the_cap(tmp_path: Path) -> None:
    data = moses(tmp_path, *numbered(200))
    free = load_pairs(data, "de-en", held_out=40)
    capped = load_pairs(data, "de-en", held_out=40, max_pairs=50)
    tight = load_pairs(data, "de-en", held_out=40, max_pairs=10)
    assert free.held_out == capped.held_out == tight.held_out
    assert (len(free.train), len(capped.train), len(tight.train)) == (160, 50, 10)
    assert both(tight.train) < both(capped.train) < both(free.train)
    assert (capped.counts.capped, capped.counts.kept) == (110, 50)
    for corpus in (free, capped, tight):
        assert_adds_up(corpus)


def test_the_choice_depends_on_text_alone_not_on_order_or_direction(tmp_path: Path) -> None:
    source, target = numbered(100)
    forward = load_pairs(moses(tmp_path / "a", source, target), "de-en", held_out=20, max_pairs=30)
    shuffled = load_pairs(moses(tmp_path / "b", source[::-1], target[::-1]), "de-en", held_out=20, max_pairs=30)
    turned = load_pairs(moses(tmp_path / "c", target, source, "en-de"), "en-de", held_out=20, max_pairs=30)
    assert both(forward.held_out) == both(shuffled.held_out) == {pair[::-1] for pair in both(turned.held_out)}
    assert both(forward.train) == both(shuffled.train) == {pair[::-1] for pair in both(turned.train)}


def test_chosen_pairs_are_spread_over_the_file_and_keep_its_order(tmp_path: Path) -> None:
    corpus = load_pairs(moses(tmp_path, *numbered(1000)), "de-en", held_out=100, max_pairs=300)
    for pairs in (corpus.train, corpus.held_out):
        places = [int(text.split()[1]) for text in pairs.source]
        assert places == sorted(places)
        assert 400 < sum(places) / len(places) < 600


def test_a_small_corpus_holds_out_a_tenth_and_says_so(tmp_path: Path) -> None:
    corpus = load_pairs(moses(tmp_path, *numbered(300)), "de-en")
    assert (corpus.counts.held_out, corpus.counts.held_out_asked, corpus.counts.kept) == (30, 2000, 270)
    assert "30 held out (a tenth: too few pairs for 2,000)" in corpus.counts.summary()
    exactly_half = load_pairs(DataDirectory(tmp_path), "de-en", held_out=150)
    assert exactly_half.counts.held_out == 150
    assert "tenth" not in exactly_half.counts.summary()


def test_source_is_the_language_named_first(tmp_path: Path) -> None:
    data = moses(tmp_path, ["eins"], ["one"])
    corpus = load_pairs(data, "en-de", held_out=0)
    assert (corpus.train.source, corpus.train.target) == (["one"], ["eins"])
    assert [language.code for language in corpus.languages] == ["eng", "deu"]
    assert [path.name for path in corpus.files] == ["tiny.de-en.en", "tiny.de-en.de"]


def test_unequal_line_counts_name_both_files_and_both_counts(tmp_path: Path) -> None:
    data = moses(tmp_path, ["eins", "zwei", "drei"], ["one", "two"])
    with pytest.raises(XalignError, match=r"tiny\.de-en\.de has 3 lines, .*tiny\.de-en\.en has 2"):
        load_pairs(data, "de-en")


def test_separators_inside_a_line_do_not_shift_the_pairs(tmp_path: Path) -> None:
    data = moses(tmp_path, ["eins\u2028noch eins", "zwei\x85", "drei"], ["one\x0cone more", "two", "three"])
    corpus = load_pairs(data, "de-en", held_out=0)
    assert both(corpus.train) == {("eins noch eins", "one one more"), ("zwei", "two"), ("drei", "three")}


def test_a_compressed_side_reads_like_a_plain_one(tmp_path: Path) -> None:
    data = moses(tmp_path, *numbered(30))
    plain = load_pairs(data, "de-en")
    path = tmp_path / "parallel/de-en/tiny.de-en.de"
    Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes().replace(b"\n", b"\r\n")))
    path.unlink()
    assert load_pairs(data, "de-en").train == plain.train


@pytest.mark.parametrize("name", ["t.tsv", "t.tsv.gz"])
def test_table_columns_follow_the_folder_not_the_request(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "parallel" / "de-en"
    folder.mkdir(parents=True)
    content = b'eins\tone\n\nzwei\t"two"\n'
    (folder / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    data = DataDirectory(tmp_path)
    forward = load_pairs(data, "deu-eng", held_out=0)
    assert both(forward.train) == {("eins", "one"), ("zwei", '"two"')}
    assert forward.counts.empty == 1
    assert both(load_pairs(data, "en-de", held_out=0).train) == {("one", "eins"), ('"two"', "zwei")}


def test_a_table_line_with_the_wrong_columns_is_reported_with_file_and_line(tmp_path: Path) -> None:
    folder = tmp_path / "parallel" / "de-en"
    folder.mkdir(parents=True)
    (folder / "t.tsv").write_text("eins\tone\nzwei two\n")
    with pytest.raises(XalignError, match=r"t\.tsv:2: 1 tab-separated columns"):
        load_pairs(DataDirectory(tmp_path), "de-en")


def test_a_corpus_of_empty_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(XalignError, match="no usable sentence pair among 2 lines"):
        load_pairs(moses(tmp_path, ["", "eins"], ["one", ""]), "de-en")


@pytest.mark.parametrize("limits", [{"max_pairs": 0}, {"held_out": -1}])
def test_counts_out_of_range_are_usage_errors(tmp_path: Path, limits: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=next(iter(limits))):
        load_pairs(moses(tmp_path, ["eins"], ["one"]), "de-en", **limits)


def test_real_pairs_are_read_in_full(shared: Path) -> None:
    corpus = load_pairs(DataDirectory(shared / "data"), "de-en", max_pairs=90_000)
    assert corpus.counts.read == 100_000
    assert (corpus.counts.held_out, corpus.counts.kept) == (2_000, 90_000)
    assert_adds_up(corpus)
    assert all(text == clean(text) and text for text in corpus.held_out.source + corpus.held_out.target)
