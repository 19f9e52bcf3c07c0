"""Vectors of all hidden states: the right layer, the right tokens, one pass, and a store that repairs itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import sentence, tiny_encoder
from transformers import (
    BertConfig,
    BertForMaskedLM,
    CamembertConfig,
    CamembertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
)

from xalign.analysis.vectors import Vectorizer, open_vectors
from xalign.encoder import Encoder, load_encoder
from xalign.errors import XalignError
from xalign.frozen_features import Encoding
from xalign.hidden_states import STACKS, content_mask, hidden_state, pool
from xalign.model_source import find_model

TEXTS = [" ".join(sentence("deu", number)[0]) for number in range(11)] + ["д", "rare words , 1 2 3"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_encoder(find_model(str(tiny_encoder(tmp_path_factory.mktemp("vectors") / "encoder"))))


def vectorizer(encoder: Encoder, batch_size: int = 4, **options: object) -> Vectorizer:
    return dataclasses.replace(Vectorizer(encoder, Encoding(batch_size, torch.device("cpu"))), **options)


def test_layer_k_is_the_output_of_k_layers_applied_by_hand(encoder: Encoder) -> None:
    """Fails if `hidden_states` is counted from 1, or without the embedding output."""
    vectors = vectorizer(encoder).compute(TEXTS)
    assert vectors.shape == (encoder.depth + 1, len(TEXTS), encoder.width) and vectors.dtype == np.float32
    base = encoder.base.eval()
    for index, text in enumerate(TEXTS):
        ids = encoder.tokenizer(text, return_tensors="pt").input_ids
        with torch.no_grad():
            states = base.embeddings(input_ids=ids)
            for layer in range(encoder.depth + 1):
                if layer > 0:
                    out = base.encoder.layer[layer - 1](states)
                    states = out if isinstance(out, torch.Tensor) else out[0]
                expected = states[0, 1:-1].mean(dim=0).numpy()  # without <s> and </s>
                np.testing.assert_allclose(vectors[layer, index], expected, rtol=1e-4, atol=1e-5)


ARCHITECTURES = {
    "roberta": (RobertaConfig, RobertaForMaskedLM),
    "camembert": (CamembertConfig, CamembertForMaskedLM),
    "bert": (BertConfig, BertForMaskedLM),
    "electra": (ElectraConfig, ElectraForMaskedLM),
    "distilbert": (DistilBertConfig, DistilBertForMaskedLM),
}


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_post_norm_architecture_gives_the_states_of_a_cut_stack(name: str, encoder: Encoder) -> None:
    assert set(ARCHITECTURES) | {"xlm-roberta"} == set(STACKS)
    config_class, model_class = ARCHITECTURES[name]
    sizes = {"vocab_size": len(encoder.tokenizer), "hidden_size": 16, "num_attention_heads": 2, "pad_token_id": 1}
    if name == "distilbert":
        config = config_class(
            vocab_size=sizes["vocab_size"], dim=16, n_layers=3, n_heads=2, hidden_dim=32, pad_token_id=1
        )
    else:
        config = config_class(**sizes, num_hidden_layers=3, intermediate_size=32, embedding_size=16)
    model = model_class(config).eval()
    other = dataclasses.replace(encoder, model=model)
    vectors = vectorizer(other).compute(TEXTS)
    ids = encoder.tokenizer(TEXTS[3], return_tensors="pt").input_ids
    for layer in range(4):
        with torch.no_grad():
            states = hidden_state(other.base, ids, torch.ones_like(ids), layer)
        expected = pool(states, content_mask(ids, encoder.special_ids))[0].numpy()
        np.testing.assert_allclose(vectors[layer, 3], expected, rtol=1e-4, atol=1e-5)


def test_chosen_layers_and_cls_pooling(encoder: Encoder) -> None:
    everything = vectorizer(encoder, pooling="cls").compute(TEXTS)
    np.testing.assert_array_equal(vectorizer(encoder, pooling="cls").compute(TEXTS, [2, 0]), everything[[2, 0]])
    ids = encoder.tokenizer(TEXTS[0], return_tensors="pt").input_ids
    with torch.no_grad():
        first = encoder.base.eval()(input_ids=ids).last_hidden_state[0, 0]
    np.testing.assert_allclose(everything[-1, 0], first.numpy(), rtol=1e-4, atol=1e-5)


def test_vectors_do_not_depend_on_what_is_encoded_with_them(encoder: Encoder) -> None:
    alone = vectorizer(encoder, batch_size=1).compute(TEXTS)
    for size in (3, 64):
        np.testing.assert_allclose(vectorizer(encoder, batch_size=size).compute(TEXTS), alone, rtol=1e-4, atol=1e-5)


def test_each_text_is_encoded_once_and_then_never_again(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    forward = type(encoder.base).forward

    def counted(self: torch.nn.Module, *args: object, **inputs: object) -> object:
        rows.append(len(inputs["input_ids"]))  # type: ignore[arg-type]
        return forward(self, *args, **inputs)

    monkeypatch.setattr(type(encoder.base), "forward", counted)
    vectors = vectorizer(encoder)
    first = open_vectors(vectors.keep(TEXTS))
    assert sum(rows) == len(TEXTS) and isinstance(first, np.memmap)
    np.testing.assert_array_equal(open_vectors(vectors.keep(TEXTS)), first)
    assert sum(rows) == len(TEXTS)


def test_length_pooling_and_texts_have_files_of_their_own(encoder: Encoder) -> None:
    one = vectorizer(encoder)
    others = [
        dataclasses.replace(one, max_length=8).keep(TEXTS),
        dataclasses.replace(one, pooling="cls").keep(TEXTS),
        one.keep(TEXTS[1:]),
        one.keep(TEXTS[::-1]),
    ]
    assert len({one.keep(TEXTS), *others}) == 5
    assert dataclasses.replace(one, max_length=5000).keep(TEXTS) == dataclasses.replace(one, max_length=64).keep(TEXTS)


@pytest.mark.parametrize("damage", ["cut", "flipped", "unsealed"])
def test_a_damaged_file_is_made_again(encoder: Encoder, damage: str) -> None:
    vectors = vectorizer(encoder)
    path = vectors.keep(TEXTS)
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[:-7])
    elif damage == "flipped":
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    else:
        path.with_suffix(".json").write_text("half")
    assert vectors.keep(TEXTS).read_bytes() == whole


def test_forgetting_removes_the_vectors_of_these_weights_alone(encoder: Encoder, tmp_path: Path) -> None:
    other = load_encoder(find_model(str(tiny_encoder(tmp_path / "other", seed=5))))
    here, there = vectorizer(encoder), vectorizer(other)
    kept = here.keep(TEXTS), there.keep(TEXTS)
    assert kept[0].parent != kept[1].parent
    there.forget()
    assert kept[0].exists() and not kept[1].exists()


def test_long_texts_are_cut_to_what_the_encoder_has_positions_for(encoder: Encoder) -> None:
    long = " ".join(TEXTS * 4)
    assert np.isfinite(vectorizer(encoder).compute([long])).all()


def test_damaged_weights_are_named_and_nothing_is_stored(tmp_path: Path) -> None:
    encoder = load_encoder(find_model(str(tiny_encoder(tmp_path / "encoder", layers=2, width=8))))
    with torch.no_grad():
        encoder.base.encoder.layer[1].output.dense.bias[0] = torch.inf
    vectors = vectorizer(encoder)
    with pytest.raises(XalignError, match=rf"{tmp_path / 'encoder'}: its hidden states hold NaN or infinity"):
        vectors.keep(TEXTS)
    assert not list(vectors.folder.glob("*.npy"))


def test_a_cache_that_cannot_be_written_is_one_line(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path))
    (tmp_path / "vectors").write_text("a file where the folder should be")
    with pytest.raises(XalignError, match=r"vectors.*; set XALIGN_CACHE to a folder with room"):
        vectorizer(encoder).keep(TEXTS)
