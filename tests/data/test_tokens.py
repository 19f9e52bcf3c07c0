"""The token cache: same ids as the tokenizer, computed once, and never stale."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from xalign.data import tokens
from xalign.data.tokens import TokenStore, tokenize_cached
from xalign.errors import UsageError, XalignError

TEXTS = ["the red boat", "", "a boat on the red river was red", "unseen: 世界 words", "river"]


def make_tokenizer(lowercase: bool = False) -> Tokenizer:
    """A small BPE tokenizer with XLM-R's special tokens and template."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase() if lowercase else normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(
        [text for text in TEXTS if text.isascii()],
        trainers.BpeTrainer(special_tokens=special, vocab_size=80, show_progress=False),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The entries written while the test ran."""
    written: list[Path] = []
    write = tokens._write

    def counting(entry: Path, *rest: object) -> None:
        written.append(entry)
        write(entry, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(tokens, "_write", counting)
    return written


def as_lists(store: TokenStore) -> list[list[int]]:
    return [store[index].tolist() for index in range(len(store))]


def test_ids_are_the_tokenizer_s_without_special_tokens() -> None:
    tokenizer = make_tokenizer()
    store = tokenize_cached(TEXTS, tokenizer)
    assert as_lists(store) == [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
    assert store.lengths.tolist() == [len(ids) for ids in as_lists(store)]
    assert store[0].dtype == np.int32
    assert 3 in store[3].tolist(), "unknown pieces stand for text and stay"


def test_texts_are_not_truncated_or_padded_and_the_tokenizer_keeps_its_settings(writes: list[Path]) -> None:
    plain = tokenize_cached(TEXTS, make_tokenizer())
    tokenizer = make_tokenizer()
    tokenizer.enable_truncation(max_length=3)
    tokenizer.enable_padding(length=12)
    before = tokenizer.truncation, tokenizer.padding
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", model_max_length=3)
    fast(["the red boat on the river"], truncation=True, padding="max_length")
    assert as_lists(tokenize_cached(TEXTS, fast)) == as_lists(plain)
    assert as_lists(tokenize_cached(TEXTS, tokenizer)) == as_lists(plain)
    assert (tokenizer.truncation, tokenizer.padding) == before
    assert len(writes) == 1, "truncation and padding are no part of the key"


def test_special_tokens_spelled_out_in_text_are_dropped() -> None:
    tokenizer = make_tokenizer()
    plain, spelled = tokenize_cached(["red boat", "red </s> boat <mask>"], tokenizer)
    assert plain.tolist() == spelled.tolist()


def test_added_tokens_that_are_not_special_stay() -> None:
    tokenizer = make_tokenizer()
    tokenizer.add_tokens([AddedToken("qqq")])
    assert tokenizer.token_to_id("qqq") in tokenize_cached(["red qqq"], tokenizer)[0].tolist()


def test_chunks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = as_lists(tokenize_cached(TEXTS, make_tokenizer()))
    monkeypatch.setattr(tokens, "CHUNK_TEXTS", 2)
    monkeypatch.setattr(tokens, "LAYOUT_VERSION", -1)
    assert as_lists(tokenize_cached(TEXTS, make_tokenizer())) == expected


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_no_texts_and_empty_texts_have_a_store(texts: list[str]) -> None:
    assert as_lists(tokenize_cached(texts, make_tokenizer())) == [[] for _ in texts]


def test_a_store_is_indexed_like_a_list_and_its_ids_cannot_be_changed() -> None:
    store = tokenize_cached(TEXTS, make_tokenizer())
    assert store[-1].tolist() == store[len(TEXTS) - 1].tolist()
    assert [ids.tolist() for ids in store] == [ids.tolist() for ids in store[:]] == as_lists(store)
    assert [ids.tolist() for ids in store[3:0:-2]] == [store[3].tolist(), store[1].tolist()]
    for index in (len(TEXTS), -len(TEXTS) - 1):
        with pytest.raises(IndexError):
            store[index]
    with pytest.raises(ValueError, match="read-only"):
        store[0][0] = 7


def test_the_same_texts_are_tokenized_once(writes: list[Path]) -> None:
    first = tokenize_cached(TEXTS, make_tokenizer())
    second = tokenize_cached(tuple(TEXTS), make_tokenizer())
    assert as_lists(first) == as_lists(second)
    assert len(writes) == 1


def test_other_texts_tokenizers_or_cleaning_make_other_entries(
    writes: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenize_cached(["red boat", "river"], make_tokenizer())
    tokenize_cached(["red boatriver"], make_tokenizer())
    tokenize_cached(["red", "boatriver"], make_tokenizer())
    tokenize_cached(["red boat", "river"], make_tokenizer(lowercase=True))
    monkeypatch.setattr(tokens, "CLEANING_VERSION", -1)
    tokenize_cached(["red boat", "river"], make_tokenizer())
    assert len(set(writes)) == len(writes) == 5


@pytest.mark.parametrize("name", [tokens.IDS, tokens.OFFSETS, tokens.SEAL])
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_a_damaged_entry_is_made_again(writes: list[Path], name: str, damage: str) -> None:
    expected = as_lists(tokenize_cached(TEXTS, make_tokenizer()))
    path = writes[0] / name
    content = path.read_bytes()
    if damage == "remove":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-5])
    else:
        path.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    assert as_lists(tokenize_cached(TEXTS, make_tokenizer())) == expected
    assert len(writes) == 2


def _tokenize_elsewhere(tokenizer_json: str) -> list[list[int]]:
    return as_lists(tokenize_cached(TEXTS, Tokenizer.from_str(tokenizer_json)))


def test_processes_that_start_together_agree_and_leave_one_entry(own_cache: Path) -> None:
    tokenizer = make_tokenizer()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = pool.map(_tokenize_elsewhere, [tokenizer.to_str()] * 4, chunksize=1)
    assert all(result == results[0] for result in results)
    assert len([path for path in (own_cache / "tokens").iterdir() if path.is_dir()]) == 1


def test_a_tokenizer_without_fast_backend_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="object has no fast backend"):
        tokenize_cached(TEXTS, object())


def test_a_cache_that_cannot_be_written_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(XalignError, match="set XALIGN_CACHE"):
        tokenize_cached(TEXTS, make_tokenizer())


def test_xlmr_s_tokenizer_gives_its_known_ids(shared: Path) -> None:
    tokenizer = Tokenizer.from_file(str(shared / "data" / "xlm-roberta-tokenizer" / "tokenizer.json"))
    assert tokenize_cached(["Hello world!"], tokenizer)[0].tolist() == [35378, 8999, 38]
