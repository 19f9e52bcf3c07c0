"""Word aligners: ambiguity, joined dictionaries, files of links, the two matchings, and what is missing."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from tiny import sentence, tiny_encoder

from xalign.data.languages import find
from xalign.data.layout import DataDirectory
from xalign.data.words import SplitSentences, split_at_blanks
from xalign.encoder import Encoder, load_encoder
from xalign.errors import UsageError, XalignError
from xalign.frozen_features import Encoding
from xalign.methods import neural_aligner
from xalign.methods.linked_words import LinkedPairs, one_of_each
from xalign.methods.neural_aligner import NeuralAligner, itermax, mutual_argmax
from xalign.methods.word_aligners import (
    DictionaryAligner,
    LinksFile,
    StatisticalAligner,
    dictionary_aligner,
    parse_links,
    read_links,
    require_eflomal,
)
from xalign.methods.word_pieces import PiecedWords, word_vectors
from xalign.model_source import ModelSource

DE, EN, KK = (find(code) for code in ("deu", "eng", "kaz"))


def split(*texts: str) -> SplitSentences:
    return SplitSentences(texts, [split_at_blanks(text) for text in texts])


def write(folder: Path, name: str, lines: list[str]) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("Das Haus", "the house", [(0, 0), (1, 1)]),
        ("Haus Haus", "house", []),  # which of the two?
        ("Haus", "house house", []),
        ("Haus", "house home", []),  # both are listed
        ("Haus", "home", [(0, 0)]),
        ("Bank Ufer", "bank", []),  # two words are listed with this one
        ("Tisch", "table", []),  # not in the dictionary
        ("", "house", []),
    ],
)
def test_the_dictionary_links_only_what_is_unambiguous_in_the_pair(
    source: str, target: str, expected: list[tuple[int, int]]
) -> None:
    listed = {"das": {"the"}, "haus": {"house", "home"}, "bank": {"bank"}, "ufer": {"bank", "shore"}}
    aligner = DictionaryAligner({word: frozenset(found) for word, found in listed.items()})
    assert aligner.align(split(source), split(target)) == [expected]


def test_a_dictionary_serves_both_directions_and_two_are_joined_through_english(tmp_path: Path) -> None:
    write(tmp_path, "muse/en-de.txt", ["House Haus", "house Heim", "the das"])
    write(tmp_path, "lexicons/en-kk.tsv", ["house\tүй"])
    data = DataDirectory(tmp_path)
    found = {pair: dictionary_aligner(data, pair) for pair in ((EN, DE), (DE, EN), (DE, KK), (KK, DE))}
    aligners = {pair: each[0].translations for pair, each in found.items() if each is not None}
    assert aligners[EN, DE]["house"] == {"haus", "heim"}
    assert aligners[DE, EN]["das"] == {"the"} and aligners[DE, EN]["heim"] == {"house"}
    assert aligners[DE, KK]["heim"] == {"үй"} and aligners[KK, DE]["үй"] == {"haus", "heim"}
    assert "das" not in aligners[DE, KK]
    assert dictionary_aligner(data, (KK, find("jpn"))) is None


def test_words_that_differ_in_case_alone_share_their_translations(tmp_path: Path) -> None:
    write(tmp_path, "muse/de-en.txt", ["Haus house", "haus home"])
    aligner = dictionary_aligner(DataDirectory(tmp_path), (DE, EN))
    assert aligner is not None and aligner[0].translations["haus"] == {"house", "home"}


def test_a_file_of_links_is_found_again_by_the_sentences(tmp_path: Path) -> None:
    path = write(tmp_path, "links", ["0-0 1-1", "", "1-0"])
    aligner = LinksFile(path, [("a b", "x y"), ("c", "z"), ("a b", "x")])
    assert aligner.align(split("a b", "c", "a b", "new"), split("x", "z", "x y", "w")) == [
        [(1, 0)], [], [(0, 0), (1, 1)], [],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["0-0"], r"links: 1 lines for 2 sentence pairs"),
        (["0-0", "0:0"], r"links:2: 0:0 is not a link"),
        (["0-0", "0--1"], r"links:2: 0--1 is not a link"),
        (["0-2", "0-0"], r"links:1: 0-2 names a word that is not there: the sentences have 1 and 2 words"),
    ],
)
def test_a_file_of_links_that_does_not_fit_is_refused_with_its_line(
    lines: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(XalignError, match=message):
        read_links(write(tmp_path, "links", lines), [(1, 2), (1, 1)])


def test_links_are_read_in_any_order_and_once() -> None:
    assert parse_links("2-1 0-0 2-1") == [(0, 0), (2, 1)] and parse_links("") == []


def test_the_statistical_aligner_finds_the_words_of_a_made_up_language() -> None:
    pytest.importorskip("eflomal")
    numbers = range(150)
    german, english = (split(*(" ".join(sentence(code, i)[0]) for i in numbers), "") for code in ("deu", "eng"))
    found = StatisticalAligner().align(german, english)
    assert found[-1] == []  # an empty sentence is no obstacle
    right = sum(i == j for links in found for i, j in links)  # the languages share their word order
    words = sum(map(len, english.spans))
    assert right > 0.9 * sum(map(len, found)) and right > 0.8 * words


def test_without_eflomal_the_refusal_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "eflomal", None)
    importlib.invalidate_caches()
    with pytest.raises(UsageError, match="pip install eflomal"):
        require_eflomal()


def naive_mutual(similarity: np.ndarray) -> set[tuple[int, int]]:
    rows, columns = similarity.shape
    return {
        (i, j) for i in range(rows) for j in range(columns)
        if similarity[i, j] == similarity[i].max() and similarity[i, j] == similarity[:, j].max()
        and np.isfinite(similarity[i, j])
    }  # fmt: skip


def links(matching: torch.Tensor) -> set[tuple[int, int]]:
    return {(int(i), int(j)) for i, j in matching.nonzero().tolist()}


@pytest.mark.parametrize("shape", [(5, 7), (7, 5), (1, 3), (2, 2)])
def test_both_matchings_equal_a_naive_count(shape: tuple[int, int]) -> None:
    for seed in range(10):
        similarity = np.random.default_rng(seed).random(shape)
        first = naive_mutual(similarity)
        assert links(mutual_argmax(torch.from_numpy(similarity))) == first
        rows, columns = {i for i, _ in first}, {j for _, j in first}
        expected = set(first)
        if len(rows) < shape[0] and len(columns) < shape[1]:
            weighted = similarity.copy()
            for i in range(shape[0]):
                for j in range(shape[1]):
                    linked = (i in rows) + (j in columns)
                    weighted[i, j] = -np.inf if linked == 2 else similarity[i, j] * (0.9 if linked else 1)
            expected |= naive_mutual(weighted)
        assert links(itermax(torch.from_numpy(similarity))) == expected


def test_a_matching_of_nothing_is_empty() -> None:
    assert links(mutual_argmax(torch.empty(0, 3))) == set() and links(itermax(torch.empty(0, 3))) == set()


def test_the_neural_aligner_takes_nearest_words_of_the_encoder_s_own_states(tmp_path: Path) -> None:
    encoder = load_encoder(ModelSource("tiny", tiny_encoder(tmp_path / "encoder")))
    texts = [" ".join(sentence("eng", i)[0]) for i in range(3)]
    aligner = NeuralAligner(
        encoder, layer=2, matching="argmax", max_length=32, encoding=Encoding(2, torch.device("cpu"))
    )
    for found, spans in zip(aligner.align(split(*texts), split(*texts)), split(*texts).spans, strict=True):
        assert {(i, i) for i in range(len(spans))} <= set(found)  # each word is its own translation
    german = [" ".join(sentence("deu", i)[0]) for i in range(3)]
    found = aligner.align(split(*texts), split(*german))
    for links_, first, second in zip(found, texts, german, strict=True):
        vectors = []
        for text in (first, second):  # one word is one piece here
            ids = torch.tensor([encoder.tokenizer(text).input_ids])
            vectors.append(encoder.base(ids, output_hidden_states=True).hidden_states[2][0, 1:-1].detach().double())
        assert set(links_) == naive_mutual(1 - cdist(*vectors, "cosine"))


def test_the_neural_aligner_holds_a_chunk_of_the_corpus_and_links_it_as_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load_encoder(ModelSource("tiny", tiny_encoder(tmp_path / "encoder")))
    aligner = NeuralAligner(
        encoder, layer=2, matching="argmax", max_length=32, encoding=Encoding(4, torch.device("cpu"))
    )
    sides = [split(*(" ".join(sentence(code, i)[0]) for i in range(5))) for code in ("deu", "eng")]
    whole = aligner.align(*sides)
    held: list[int] = []

    def counted(encoder: Encoder, sentences: list[PiecedWords], *arguments: Any) -> list[torch.Tensor]:
        held.append(len(sentences))
        return word_vectors(encoder, sentences, *arguments)

    monkeypatch.setattr(neural_aligner, "CHUNK", 2, raising=False)
    monkeypatch.setattr(neural_aligner, "word_vectors", counted)
    assert aligner.align(*sides) == whole and any(whole)
    assert held == [2, 2, 2, 2, 1, 1]


def test_words_that_are_spelt_alike_are_left_out_on_demand() -> None:
    pairs = LinkedPairs(split("Berlin ist"), split("is berlin"), [[(0, 1), (1, 0)]])
    assert pairs.without_identical().links == [[(1, 0)]] and pairs.words == 2
    assert len(LinkedPairs(split("a", "b"), split("x", "y"), [[], [(0, 0)]]).linked()) == 1


def test_measured_words_occur_once_on_either_side() -> None:
    first, second = split("a b a", "A c", "d"), split("x y x", "z y", "w")
    pairs = LinkedPairs(first, second, [[(0, 0), (1, 1), (2, 2)], [(0, 0), (1, 1)], [(0, 0)]])
    for seed in range(5):
        kept = one_of_each(pairs, 10, seed)
        found = [
            (kept.source.words(n)[i].lower(), kept.target.words(n)[j].lower())
            for n, each in enumerate(kept.links)
            for i, j in each
        ]
        for side in zip(*found, strict=True):
            assert len(set(side)) == len(side)
        assert ("d", "w") in found
    assert one_of_each(pairs, 2, 0).words == 2
