"""Names on disk: which files of a folder are which side of which corpus."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from xalign.data.languages import Language, find
from xalign.errors import UsageError


def language_named(code: str) -> Language | None:
    """The language of a name on disk, which need not be a language at all."""
    try:
        return find(code)
    except UsageError:
        return None


def files_of(folder: Path) -> list[Path]:
    """The files of a folder by name; none if it does not exist."""
    return sorted(path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))


def is_table(name: str) -> bool:
    """Whether a file name is that of tab-separated values."""
    return name.removesuffix(".gz").endswith(".tsv")


def moses_corpora(folder: Path, *languages: Language) -> dict[str, dict[Language, Path]]:
    """Corpus (file name without language) -> its side in each language; a plain file goes before its `.gz`."""
    corpora: dict[str, dict[Language, Path]] = defaultdict(dict)
    for path in sorted(files_of(folder), key=lambda path: (path.suffix == ".gz", path.name)):
        corpus, _, code = path.name.removesuffix(".gz").rpartition(".")
        language = language_named(code)
        if corpus and language in languages:
            corpora[corpus].setdefault(language, path)
    return dict(corpora)


def only_corpus(folder: Path, names: Iterable[str]) -> str:
    """The one corpus of a folder; of a corpus that was released in splits, its training part.

    Raises:
        UsageError: there are several.
    """
    corpora = list(names)
    if len(corpora) > 1:
        corpora = [name for name in corpora if name.removesuffix(".tsv").endswith("train")] or corpora
    if len(corpora) > 1:
        raise UsageError(f"{folder}: several corpora; leave one in the folder: {listed(corpora)}")
    return corpora[0]


def listed(names: Iterable[str], most: int = 20) -> str:
    """Names in one line, cut after `most`; "nothing" for none."""
    items = list(names)
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return (" ".join(items[:most]) or "nothing") + more
