"""Words keep their tags on the right piece, whatever the tokenizer does to them and however long the sentence is."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import sentence, tiny_encoder, word, words

from xalign.data.treebank import UPOS, TaggedSentence
from xalign.encoder import Encoder, load_encoder
from xalign.model_source import find_model
from xalign.pair_batches import Layout
from xalign.tasks.examples import NOWHERE, Examples
from xalign.tasks.pos import PosTask


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_encoder(find_model(str(tiny_encoder(tmp_path_factory.mktemp("encoder"), layers=1, width=8))))


def examples(encoder: Encoder, *sentences: TaggedSentence, max_length: int = 64) -> Examples:
    layout = Layout.of(encoder.tokenizer, encoder.special_ids.tolist(), "xlm-roberta", max_length, max_length)
    return PosTask().examples(sentences, encoder, layout)


def tagged(forms: list[str], tags: list[str] | None = None, name: str = "s") -> TaggedSentence:
    return TaggedSentence(name, forms, tags or ["NOUN"] * len(forms))


def piece_at(found: Examples, encoder: Encoder, unit: int, position: str = "first") -> str:
    ids = found.inputs[found.unit_inputs[unit]]
    return encoder.tokenizer.convert_ids_to_tokens(int(ids[found.positions[position][unit]]))


@pytest.mark.parametrize("language", ["eng", "kaz"])
def test_inputs_and_word_starts_are_those_of_a_tokenizer_given_split_words(encoder: Encoder, language: str) -> None:
    forms = [*sentence(language, 3)[0], "12.0", "unseen", "a b", words(language)[0]]
    found = examples(encoder, tagged(forms))
    reference = encoder.tokenizer(forms, is_split_into_words=True)
    assert found.inputs[0].tolist() == reference["input_ids"]
    starts = [reference.word_ids().index(number) for number in range(len(forms))]
    assert found.positions["first"].tolist() == starts


def test_labels_are_the_tags_of_the_words(encoder: Encoder) -> None:
    forms, tags = sentence("eng", 4)
    found = examples(encoder, tagged(forms, tags))
    assert [UPOS[label] for label in found.labels] == tags


def test_first_nonblank_skips_the_bare_word_mark(encoder: Encoder) -> None:
    split, whole = word("kaz", "DET", 0), word("kaz", "DET", 1)
    found = examples(encoder, tagged([split, whole]))
    assert [piece_at(found, encoder, unit) for unit in (0, 1)] == ["▁", f"▁{whole}"]
    assert [piece_at(found, encoder, unit, "first-nonblank") for unit in (0, 1)] == [split, f"▁{whole}"]


def test_a_word_without_pieces_has_no_position_but_counts(encoder: Encoder) -> None:
    found = examples(encoder, tagged(["bemod", "</s>", "tamin"]), tagged(["tamin"], name="t"))
    assert (found.positions["first"] == NOWHERE).tolist() == [False, True, False, False]
    assert found.per_sentence(np.ones(4)).tolist() == [3, 1]
    assert [piece_at(found, encoder, unit) for unit in (0, 2, 3)] == ["▁bemod", "▁tamin", "▁tamin"]


@pytest.mark.parametrize("max_length", [4, 5, 7, 64])
def test_long_sentences_become_windows_that_hold_every_word_once(encoder: Encoder, max_length: int) -> None:
    forms = sentence("kaz", 1)[0] + sentence("kaz", 2)[0]
    found = examples(encoder, tagged(forms), max_length=max_length)
    assert len(found.labels) == len(forms) and len(found) == 1
    assert all(len(ids) <= max_length for ids in found.inputs)
    assert [piece_at(found, encoder, unit, "first-nonblank").lstrip("▁") for unit in range(len(forms))] == forms
    whole = examples(encoder, tagged(forms)).inputs[0][1:-1]
    assert np.concatenate([ids[1:-1] for ids in found.inputs]).tolist() == whole.tolist()
    assert (np.diff(found.unit_inputs) >= 0).all()


def test_a_word_longer_than_a_window_is_cut(encoder: Encoder) -> None:
    found = examples(encoder, tagged(["bemod", "zzzzzzzzzzzzzz", "tamin"]), max_length=6)
    assert [piece_at(found, encoder, unit) for unit in range(3)] == ["▁bemod", "▁", "▁tamin"]
    assert [len(ids) for ids in found.inputs] == [3, 6, 3]


def test_windows_belong_to_their_sentences(encoder: Encoder) -> None:
    parts = [tagged(sentence("eng", number)[0], name=str(number)) for number in range(5)]
    found = examples(encoder, *parts, max_length=5)
    for index, part in enumerate(parts):
        units = range(found.unit_starts[index], found.unit_starts[index + 1])
        assert [piece_at(found, encoder, unit).lstrip("▁") for unit in units] == part.words
        owned = set(range(found.input_starts[index], found.input_starts[index + 1]))
        assert {int(found.unit_inputs[unit]) for unit in units} == owned
    assert found.lengths.sum() == sum(map(len, found.inputs))
