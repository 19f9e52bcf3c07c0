"""Corpora cut to their common sentences say the same things, at equal size, with the same sentences held out."""

from __future__ import annotations

from pathlib import Path

import pytest

from xalign.data.languages import find
from xalign.data.layout import DataDirectory
from xalign.data.parallel import Pairs, load_pairs
from xalign.data.shared_sentences import common_language, keep_shared
from xalign.errors import UsageError, XalignError


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    """en-kk has Kazakh sentences 0–59, ja-kk 20–79; ja-kk translates some of them twice."""
    write(tmp_path, "en-kk", {"en": [f"e {n}" for n in range(60)], "kk": [f"қ {n}" for n in range(60)]})
    numbers = [*range(20, 80), *range(20, 30)]
    ja = [f"j {n}" for n in range(20, 80)] + [f"other {n}" for n in range(20, 30)]
    write(tmp_path, "ja-kk", {"ja": ja, "kk": [f"қ {n}" for n in numbers]})
    return DataDirectory(tmp_path)


def write(root: Path, pair: str, sides: dict[str, list[str]]) -> None:
    folder = root / "parallel" / pair
    folder.mkdir(parents=True)
    for code, lines in sides.items():
        (folder / f"corpus.{pair}.{code}").write_text("\n".join(lines) + "\n", encoding="utf-8")


def kazakh(pairs: Pairs, first: bool) -> set[str]:
    return set(pairs.source if first else pairs.target)


def test_both_corpora_keep_and_hold_out_the_same_sentences_once_each(data: DataDirectory) -> None:
    first = load_pairs(data, "en-kk", held_out=8, shared_with=["ja-kk"])
    second = load_pairs(data, "ja-kk", held_out=8, shared_with=["en-kk"])
    for part in ("train", "held_out"):
        ours, theirs = getattr(first, part), getattr(second, part)
        assert len(ours) == len(theirs) > 0
        assert kazakh(ours, False) == kazakh(theirs, False)
    assert kazakh(first.train, False) | kazakh(first.held_out, False) == {f"қ {n}" for n in range(20, 60)}
    assert (first.counts.unshared, second.counts.unshared) == (20, 30)
    counts = second.counts
    assert counts.read == counts.empty + counts.duplicate + counts.unshared + counts.held_out + counts.kept
    assert "30 not shared" in counts.summary()


def test_the_order_of_the_languages_in_the_name_changes_nothing(data: DataDirectory) -> None:
    forward = load_pairs(data, "en-kk", held_out=8, shared_with=["ja-kk"]).train
    backward = load_pairs(data, "kk-en", held_out=8, shared_with=["kk-ja"]).train
    assert set(zip(forward.source, forward.target, strict=True)) == set(
        zip(backward.target, backward.source, strict=True)
    )


def test_files_of_the_other_corpora_count_as_inputs(data: DataDirectory) -> None:
    assert len(load_pairs(data, "en-kk", held_out=8, shared_with=["ja-kk"]).files) == 4


def test_of_several_translations_one_is_chosen_by_text_alone() -> None:
    pairs = [("b", "x"), ("a", "x"), ("c", "y")]
    assert keep_shared(pairs, 1, [["x"]], "here") == keep_shared(pairs[::-1], 1, [["x"]], "here") == {"x": ("a", "x")}


def test_pairs_must_share_one_language_and_some_sentence() -> None:
    assert common_language(["en-kk", "ja-kk", "kk-ko"]) == find("kaz")
    with pytest.raises(UsageError, match="no language in common"):
        common_language(["de-en", "ja-kk"])
    with pytest.raises(UsageError, match="both languages in common"):
        common_language(["de-en", "en-de"])
    with pytest.raises(XalignError, match="no sentence in common"):
        keep_shared([("a", "x")], 1, [["y"]], "en-kk, ja-kk")
