"""Checking data: damage is named by file and line, test sentences are counted, what is asked for is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from xalign.data.checking.check import Asked, check, gaps, missing
from xalign.data.checking.corpora import Checked
from xalign.data.languages import find
from xalign.data.layout import DataDirectory
from xalign.errors import UsageError

GERMAN, KAZAKH = find("deu"), find("kaz")
LONG = "Ein Satz, der lang genug ist, um kein Zufall zu sein."
TREEBANK = "# sent_id = {id}\n# text = {text}\n1\t{text}\t_\tX\t_\t_\t0\troot\t_\t_\n\n"


def treebank(*texts: str) -> str:
    return "".join(TREEBANK.format(id=number, text=text) for number, text in enumerate(texts))


def topics(*rows: tuple[int, str]) -> str:
    return "index_id\tcategory\ttext\n" + "".join(f"{number}\tsports\t{text}\n" for number, text in rows)


FILES = {
    "parallel/de-en/c.de-en.de": "eins\nzwei\n\nzwei\ngleich\n",
    "parallel/de-en/c.de-en.en": "one\ntwo\nthree\ntwo\ngleich\n",
    "ud/UD_German-GSD/de_gsd-ud-train.conllu": treebank("Übung", "Übung", "mehr"),
    "ud/UD_German-GSD/de_gsd-ud-test.conllu": treebank("Probe"),
    "sib200/data/annotated/deu_Latn/train.tsv": topics((1, "a"), (2, "b")),
    "sib200/data/annotated/deu_Latn/test.tsv": topics((3, "c")),
    "flores200_dataset/devtest/deu_Latn.devtest": "x\ny\n",
    "flores200_dataset/devtest/eng_Latn.devtest": "x\ny\n",
    "flores200_dataset/metadata_devtest.tsv": "URL\tdomain\nu\td\nu\td\n",
    "muse/en-de.txt": "one eins\none eins\ntwo zwei\n",
    "mono/de.txt": "eins\n\neins\nzwei\n",
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., DataDirectory]:
    """A data directory of small sound files, some of which are replaced, or removed by None."""

    def call(**changed: str | bytes | None) -> DataDirectory:
        for name, content in {**FILES, **changed}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is not None:
                path.write_bytes(content.encode() if isinstance(content, str) else content)
        return DataDirectory(tmp_path)

    return call


def found(data: DataDirectory, asked: Asked | None = None) -> dict[str, Checked]:
    return {f"{each.kind} {each.what}": each for each in check(data, asked)}


def test_sound_data_is_counted_and_nothing_is_said_about_it(write: Callable[..., DataDirectory]) -> None:
    items = found(write())
    assert {name: each.counts for name, each in items.items()} == {
        "parallel de-en": {"pairs": 5, "empty": 1, "duplicate": 1, "usable": 3, "untranslated": 1},
        "ud de_gsd-ud-train.conllu": {"sentences": 3, "words": 3, "duplicate": 1},
        "ud de_gsd-ud-test.conllu": {"sentences": 1, "words": 1, "duplicate": 0},
        "sib200 train": {"languages": 1, "sentences in each": 2},
        "sib200 test": {"languages": 1, "sentences in each": 1},
        "flores200 devtest": {"languages": 2, "lines in each": 2},
        "muse muse/en-de.txt": {"words": 2, "pairs": 3, "duplicate": 1},
        "mono de.txt": {"lines": 4, "empty": 1, "duplicate": 1},
    }
    assert {each.state for each in items.values()} == {"ok"}


@pytest.mark.parametrize(
    ("name", "content", "what", "said"),
    [
        ("parallel/de-en/c.de-en.de", b"a\nb\n\xff\n\nc\n", "parallel de-en", r"c\.de-en\.de:3: not UTF-8"),
        ("parallel/de-en/c.de-en.de", "eins\n", "parallel de-en", "has 1 lines, .* has 5"),
        ("parallel/de-en/c.de-en.de", b"", "parallel de-en", "is empty"),
        ("ud/UD_German-GSD/de_gsd-ud-test.conllu", "1\tx\n", "ud de_gsd-ud-test.conllu", "conllu:1: 2 tab"),
        ("sib200/data/annotated/deu_Latn/test.tsv", topics((3, "")), "sib200 test", "tsv:2: the text is empty"),
        ("sib200/data/annotated/deu_Latn/test.tsv", topics((2, "c")), "sib200 train", "1 ids are in the test set"),
        ("flores200_dataset/devtest/deu_Latn.devtest", "x\n\n", "flores200 devtest", "deu_Latn.devtest:2: an empty"),
        ("flores200_dataset/metadata_devtest.tsv", "URL\tdomain\nu\td\n", "flores200 devtest", "1 origins for 2"),
        ("muse/en-de.txt", "one\n", "muse muse/en-de.txt", r"en-de\.txt:1: not a word and its"),
        ("mono/de.txt", b"a\n\xe9\n", "mono de.txt", r"de\.txt:2: not UTF-8"),
        ("mono/de.txt.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\3", None, ""),
    ],
)
def test_damage_is_told_where_it_is(
    write: Callable[..., DataDirectory], name: str, content: str | bytes, what: str | None, said: str
) -> None:
    items = found(write(**{name: content}))
    broken = {key: each.broken for key, each in items.items() if each.broken}
    assert list(broken) == ([what] if what else [])
    if what:
        assert re.search(said, broken[what][0]), broken


def test_flores_files_with_other_line_counts_than_most_are_broken(write: Callable[..., DataDirectory]) -> None:
    lines = {f"flores200_dataset/devtest/{code}.devtest": "x\ny\n" for code in ("fra_Latn", "spa_Latn")}
    items = found(write(**lines, **{"flores200_dataset/devtest/deu_Latn.devtest": "x\n"}))
    [line] = items["flores200 devtest"].broken
    assert line.endswith("deu_Latn.devtest: 1 lines where most languages have 2")


@pytest.mark.parametrize(
    ("source", "content", "name"),
    [
        ("flores200_dataset/devtest/deu_Latn.devtest", f"x\n{LONG}\n", "FLORES-200 devtest"),
        ("sib200/data/annotated/deu_Latn/test.tsv", topics((3, LONG)), "SIB-200 test"),
        ("ud/UD_German-GSD/de_gsd-ud-test.conllu", treebank(LONG), "UD test"),
    ],
)
def test_test_sentences_in_training_text_are_counted_whatever_their_spacing(
    write: Callable[..., DataDirectory], source: str, content: str, name: str
) -> None:
    loose = LONG.replace(" ", "  ").replace("z", "ｚ")  # a full-width letter is the same one
    data = write(
        **{source: content},
        **{
            "parallel/de-en/c.de-en.de": f"{loose}\n" * 2,
            "parallel/de-en/c.de-en.en": "one\ntwo\n",
            "mono/de.txt": f"{loose}\nzwei\n",
            "sib200/data/annotated/deu_Latn/train.tsv": topics((1, LONG)),
            "ud/UD_German-GSD/de_gsd-ud-train.conllu": treebank(loose),
        },
    )
    items = found(data)
    [line] = items["parallel de-en"].notes
    assert line.startswith(f"2 lines are deu sentences of {name}, 2 of them of 20 characters or more, such as ")
    assert items["mono de.txt"].notes[0].startswith(f"1 lines are deu sentences of {name}")
    assert items["ud de_gsd-ud-train.conllu"].notes[0].startswith(f"1 lines are deu sentences of {name}")
    assert bool(items["sib200 train"].notes) == (name == "SIB-200 test")


def test_only_what_is_asked_for_is_read(write: Callable[..., DataDirectory]) -> None:
    data = write(**{"mono/de.txt": b"\xff"})
    assert set(found(data, Asked(pairs=("en-de",)))) == {"parallel en-de"}
    asked = Asked(kinds=("ud",), languages=(KAZAKH,))
    assert found(data, asked) == {} and len(missing(data, asked)) == 1
    assert {name.split()[0] for name in found(data, Asked(languages=(GERMAN,)))} == {"ud", "sib200", "flores200"}


def test_what_is_asked_for_and_not_there_is_missing_one_line_each(write: Callable[..., DataDirectory]) -> None:
    data = write()
    assert missing(data, Asked()) == [] == missing(data, Asked(("muse",), ("de-en",), (GERMAN,)))
    lines = missing(data, Asked(kinds=("ud", "muse", "mono"), pairs=("de-kk",), languages=(KAZAKH,)))
    assert len(lines) == 4 and all(str(data.path) in line and "\n" not in line for line in lines)
    assert [line.partition(": ")[0] for line in missing(data, Asked(languages=(GERMAN,), splits=("dev",)))] == [
        str(data.path / "ud/UD_*/de_*-ud-dev.conllu"),
        str(data.path / "sib200/data/annotated/deu_Latn/dev.tsv"),
        str(data.path / "flores200_dataset/dev/deu_Latn.dev"),
    ]
    assert missing(DataDirectory(data.path / "muse"), Asked(kinds=("ud",))) == [f"{data.path / 'muse'}: no ud"]


def test_languages_of_the_corpora_that_lack_a_test_are_named(write: Callable[..., DataDirectory]) -> None:
    assert gaps(write()) == [
        "deu (German) has no FLORES-200 dev",
        "eng (English) has no UD test, SIB-200 train, SIB-200 test, FLORES-200 dev",
    ]


@pytest.mark.parametrize("wrong", [{"kinds": ("opus",)}, {"splits": ("tests",)}, {"pairs": ("de",)}])
def test_asking_for_something_unknown_is_a_usage_error(wrong: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(UsageError):
        Asked(**wrong)  # type: ignore[arg-type]
