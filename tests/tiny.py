"""A random XLM-R of a few thousand parameters and a data directory of a few invented sentences, for fast tests.

    from tiny import tiny_data, tiny_encoder

Three languages say the same things with other words. A word tells its tag, and the noun of a sentence its topic, so
that a head on random features has something to learn.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
# (ISO 639-1, FLORES code, UD treebank, onsets, vowels, endings): the sound pattern that makes a language's words.
LANGUAGES = {
    "eng": ("en", "eng_Latn", "English-EWT", "btkmsw", "aeio", "nd"),
    "deu": ("de", "deu_Latn", "German-GSD", "dfgrvz", "aeui", "lt"),
    "kaz": ("kk", "kaz_Cyrl", "Kazakh-KTB", "бдқмсш", "аеио", "нр"),
}
TAGS = ("DET", "ADJ", "NOUN", "VERB", "ADP", "PROPN")
TOPICS = ("geography", "health", "politics", "science/technology", "sports", "travel", "entertainment")
WORDS_PER_TAG = 14  # nouns come in pairs for each topic
TREEBANK_SENTENCES = {"train": 48, "dev": 12, "test": 16}
TOPIC_SENTENCES = {"train": 56, "dev": 14, "test": 21}
PAIRS = 160


def word(language: str, tag: str, index: int) -> str:
    """The invented word for concept `index` (0 to 13) of a tag."""
    _, _, _, onsets, vowels, endings = LANGUAGES[language]
    number = TAGS.index(tag) * WORDS_PER_TAG + index
    first, rest = number % len(onsets), number // len(onsets)
    second, third = rest % len(vowels), rest // len(vowels)
    last = vowels[third % len(vowels)] + endings[third % len(endings)]
    return onsets[first] + vowels[second] + onsets[(first + third) % len(onsets)] + last


def words(language: str) -> list[str]:
    """All words of a language."""
    return [word(language, tag, index) for tag in TAGS for index in range(WORDS_PER_TAG)]


def sentence(language: str, number: int, *, topic: int | None = None) -> tuple[list[str], list[str]]:
    """Sentence `number` in a language, as words and tags; the same number is a translation in all languages."""
    draw = np.random.default_rng(number)
    pattern = ["DET", "ADJ", "NOUN", "VERB", "ADP", "PROPN"][: int(draw.integers(3, 7))]
    if draw.random() < 0.3:
        pattern = ["PROPN", "VERB", *pattern]
    indices = draw.integers(0, WORDS_PER_TAG, size=len(pattern))
    noun = int(draw.integers(0, 2)) + 2 * (topic if topic is not None else int(draw.integers(0, len(TOPICS))))
    chosen = [noun if tag == "NOUN" else int(index) for tag, index in zip(pattern, indices, strict=True)]
    return [word(language, tag, index) for tag, index in zip(pattern, chosen, strict=True)], pattern


def tiny_encoder(
    folder: Path,
    *,
    layers: int = 3,
    width: int = 16,
    positions: int = 64,
    vocab: Iterable[str] | None = None,
    seed: int = 0,
) -> Path:
    """Write a random `XLMRobertaForMaskedLM` and its tokenizer in Hugging Face's layout.

    Args:
        positions: tokens that a sentence may have.
        vocab: whole words of the tokenizer; by default those of `LANGUAGES`. All else falls into letters.

    Returns:
        `folder`.
    """
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

    folder.mkdir(parents=True, exist_ok=True)
    entries = write_tokenizer(folder, vocab)
    config = XLMRobertaConfig(
        vocab_size=entries, hidden_size=width, num_hidden_layers=layers, num_attention_heads=2,
        intermediate_size=2 * width, max_position_embeddings=positions + 2, type_vocab_size=1, initializer_range=0.2,
        pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    before = torch.random.get_rng_state()
    torch.manual_seed(seed)
    XLMRobertaForMaskedLM(config).save_pretrained(folder)
    torch.random.set_rng_state(before)
    return folder


def write_tokenizer(folder: Path, vocab: Iterable[str] | None = None) -> int:
    """Write a unigram tokenizer like XLM-R's; returns how many entries it has."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    if vocab is None:
        # A Kazakh word without its own entry becomes a bare "▁" and the rest, as most Japanese words do with XLM-R's.
        whole = [w for language in LANGUAGES for w in words(language) if language != "kaz"]
        kazakh = words("kaz")
        pieces = [f"▁{w}" for w in (*whole, *(w for i, w in enumerate(kazakh) if i % 3))] + kazakh[::3]
        letters = sorted({c for language in LANGUAGES for c in "".join(words(language))} | set(".,0123456789"))
    else:
        listed = list(vocab)
        pieces, letters = [f"▁{w}" for w in listed], sorted({c for w in listed for c in w})
    scored = [(piece, -5.0) for piece in dict.fromkeys(pieces)] + [("▁", -4.0)] + [(c, -10.0) for c in letters]
    tokenizer = Tokenizer(models.Unigram([(token, 0.0) for token in SPECIAL] + scored, unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
    ).save_pretrained(folder)  # fmt: skip
    return tokenizer.get_vocab_size()


def tiny_data(folder: Path, *, testbed: bool = False) -> Path:
    """Write a data directory in the publishers' layouts: de-en and en-kk pairs, treebanks (test only, but for
    English), topics, FLORES and monolingual text for eng, deu and kaz.

    Returns:
        `folder`.
    """
    for pair in (("deu", "eng"), ("eng", "kaz")):
        _write_pair(folder / "parallel", pair)
    for language, (short, flores, treebank, *_) in LANGUAGES.items():
        for start, split in ((1000, "train"), (2000, "dev"), (3000, "test")):
            if split == "test" or language == "eng":
                name = f"{short}_{treebank.partition('-')[2].lower()}-ud-{split}.conllu"
                _write(folder / "ud" / f"UD_{treebank}" / name, _conllu(language, start, TREEBANK_SENTENCES[split]))
            path = folder / "sib200" / "data" / "annotated" / flores / f"{split}.tsv"
            _write(path, _topics(language, start + 5000, TOPIC_SENTENCES[split]))
        devtest = [" ".join(sentence(language, 9000 + i)[0]) for i in range(40)]
        _write(folder / "flores200_dataset" / "devtest" / f"{flores}.devtest", "\n".join(devtest) + "\n")
        mono = [" ".join(sentence(language, 20000 + i)[0]) for i in range(200)]
        _write(folder / "mono" / f"{short}.txt", "\n".join(mono) + "\n")
    if testbed:
        _write(folder / "TESTBED.json", json.dumps({"seed": 0}))
    return folder


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _write_pair(folder: Path, languages: tuple[str, str]) -> None:
    name = "-".join(LANGUAGES[language][0] for language in languages)
    for language in languages:
        lines = [" ".join(sentence(language, i)[0]) for i in range(PAIRS)]
        _write(folder / name / f"tiny.{name}.{LANGUAGES[language][0]}", "\n".join(lines) + "\n")


def _conllu(language: str, start: int, count: int) -> str:
    blocks = []
    for number in range(start, start + count):
        rows = [f"# sent_id = {language}-{number}"]
        for position, (form, tag) in enumerate(zip(*sentence(language, number), strict=True), start=1):
            rows.append("\t".join([str(position), form, "_", tag, "_", "_", "_", "_", "_", "_"]))
        blocks.append("\n".join(rows) + "\n\n")
    return "".join(blocks)


def _topics(language: str, start: int, count: int) -> str:
    rows = ["index_id\tcategory\ttext"]
    for number in range(start, start + count):
        topic = number % len(TOPICS)
        rows.append(f"{number}\t{TOPICS[topic]}\t{' '.join(sentence(language, number, topic=topic)[0])}")
    return "\n".join(rows) + "\n"
