"""Stored features are what the encoder says of each unit alone, in the order of the units."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import sentence, tiny_encoder

from xalign.data.topics import TopicSentence
from xalign.data.treebank import TaggedSentence
from xalign.encoder import Encoder, load_encoder
from xalign.frozen_features import Encoding, frozen_features
from xalign.model_source import find_model
from xalign.pair_batches import Layout
from xalign.tasks.examples import Examples
from xalign.tasks.objective import Reader
from xalign.tasks.pos import PosTask
from xalign.tasks.predict import NO_LABEL, predict, predict_stored
from xalign.tasks.topic import TopicTask

ENCODING = Encoding(3, torch.device("cpu"))
WORDS = [TaggedSentence(str(n), *sentence("kaz", n)) for n in range(6)] + [
    TaggedSentence("x", ["</s>", "bemod"], ["X", "NOUN"])
]
TEXTS = [TopicSentence(str(n), "travel", " ".join(sentence("eng", n)[0])) for n in range(7)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_encoder(find_model(str(tiny_encoder(tmp_path_factory.mktemp("encoder"), layers=2, width=8))))


def pos_examples(encoder: Encoder, max_length: int = 7) -> Examples:
    layout = Layout.of(encoder.tokenizer, encoder.special_ids.tolist(), "xlm-roberta", max_length, max_length)
    return PosTask().examples(WORDS, encoder, layout)


def states(encoder: Encoder, ids: np.ndarray) -> torch.Tensor:
    """Last hidden states of one input alone: (L, d)."""
    with torch.no_grad():
        return encoder.base.eval()(input_ids=torch.from_numpy(ids)[None]).last_hidden_state[0]


@pytest.mark.parametrize("position", ["first", "first-nonblank"])
def test_a_words_vector_is_the_state_of_its_piece(encoder: Encoder, position: str) -> None:
    examples = pos_examples(encoder)
    features = frozen_features(Reader(encoder, frozen=True), examples, position, ENCODING)
    assert features.dtype == torch.float32 and not features.requires_grad
    for unit, place in enumerate(examples.positions[position]):
        if place < 0:
            assert not features[unit].any()
        else:
            expected = states(encoder, examples.inputs[examples.unit_inputs[unit]])[place]
            torch.testing.assert_close(features[unit], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_sentences_vector_is_the_pooled_one(encoder: Encoder, pooling: str) -> None:
    layout = Layout.of(encoder.tokenizer, encoder.special_ids.tolist(), "xlm-roberta", 32, 32)
    examples = TopicTask(pooling).examples(TEXTS, encoder, layout)
    features = frozen_features(Reader(encoder, pooling=pooling, frozen=True), examples, None, ENCODING)
    for vector, ids in zip(features, examples.inputs, strict=True):
        hidden = states(encoder, ids)
        expected = hidden[1:-1].mean(dim=0) if pooling == "mean" else hidden[0]
        torch.testing.assert_close(vector, expected, rtol=1e-5, atol=1e-5)


def test_predictions_from_stored_features_are_those_of_the_encoder(encoder: Encoder) -> None:
    examples, reader = pos_examples(encoder), Reader(encoder, frozen=True)
    draw = torch.Generator().manual_seed(0)
    weights, biases = torch.randn(2, 17, 8, generator=draw), torch.randn(2, 17, generator=draw)
    found = predict(reader, examples, weights, biases, ("first", "first-nonblank"), ENCODING)
    assert found.shape == (2, 2, len(examples.labels))
    for index, position in enumerate(("first", "first-nonblank")):
        features = frozen_features(reader, examples, position, ENCODING)
        assert (found[index] == predict_stored(features, examples, weights, biases, position)).all()
        expected = (features @ weights[1].T + biases[1]).argmax(dim=-1).numpy()
        present = examples.positions[position] >= 0
        assert (found[index, 1][present] == expected[present]).all()
        assert (found[index][:, ~present] == NO_LABEL).all() and not present.all()
    assert (found[0] != found[1]).any()


def test_a_frozen_reader_has_no_dropout_and_no_gradients(encoder: Encoder) -> None:
    reader = Reader(encoder, frozen=True)
    reader.train()
    assert not any(module.training for module in reader.modules())
    assert not any(parameter.requires_grad for parameter in reader.parameters())


def test_the_precision_is_that_of_the_run(encoder: Encoder) -> None:
    examples, reader = pos_examples(encoder), Reader(encoder, frozen=True)
    exact = frozen_features(reader, examples, "first", ENCODING)
    rounded = frozen_features(reader, examples, "first", Encoding(3, torch.device("cpu"), "bf16"))
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(exact, rounded, rtol=0.1, atol=0.1)
