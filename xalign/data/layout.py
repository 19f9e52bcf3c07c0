"""Where things stand in a data directory, which keeps the file layouts of the publishers.

    parallel/<pair>/<corpus>.<pair>.<language>[.gz]           Moses, as OPUS serves it; or <corpus>.tsv[.gz]
    ud/UD_<Language>-<Name>/<xx>_<name>-ud-<split>.conllu     Universal Dependencies
    sib200/data/annotated/<code>/<split>.tsv                  SIB-200
    flores200_dataset/<split>/<code>.<split>                  FLORES-200; metadata_<split>.tsv beside the splits
    muse/<source>-<target>.txt, lexicons/<source>-<target>.tsv    bilingual dictionaries
    mono/<language>.txt[.gz|.xz]                              one segment a line
    <task>/<language>/<split>.tsv                             tasks that packages add, see `xalign.data.labelled`

A method returns a file that exists, or raises one line that says what was looked for and what is there instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from xalign.data.corpus_files import files_of, is_table, language_named, listed, moses_corpora, only_corpus
from xalign.data.languages import Language, find, parse_pair
from xalign.data.treebank import PREFERRED_TREEBANKS
from xalign.errors import UsageError

TREEBANK_SPLITS = ("train", "dev", "test")
TOPIC_SPLITS = ("train", "dev", "test")
FLORES_SPLITS = ("dev", "devtest")
LABELLED_SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class DataDirectory:
    """A folder of corpora.

    Raises:
        UsageError: `path` is not a folder.
    """

    path: Path

    def __post_init__(self) -> None:
        if not self.path.is_dir():
            raise UsageError(f"{self.path}: no such folder; give the data directory with --data")

    @property
    def testbed(self) -> bool:
        """Whether the languages are constructed: such a directory carries a `TESTBED.json`."""
        return (self.path / "TESTBED.json").is_file()

    def pair_files(self, pair: str) -> tuple[Path, Path] | Path:
        """The Moses files (source, target) of a pair, or its TSV file, whose columns follow its folder's name.

        The folder may name the languages in either order and with any of their codes.

        Raises:
            UsageError: an unknown language, or no folder, no complete corpus or several corpora for the pair.
        """
        source, target = parse_pair(pair)
        folder = self._pair_folder(pair)
        names = [path.name for path in files_of(folder)]
        moses = moses_corpora(folder, source, target)
        complete = {stem: sides for stem, sides in moses.items() if len(sides) == 2}
        if complete:
            sides = complete[only_corpus(folder, complete)]
            return sides[source], sides[target]
        tables = {name.removesuffix(".gz"): folder / name for name in sorted(names, reverse=True) if is_table(name)}
        if tables:
            return tables[only_corpus(folder, tables)]
        wanted = f"*.{source.short or source.code} and *.{target.short or target.code} of one corpus (or *.tsv)"
        raise UsageError(f"{folder}: no {wanted}, plain or .gz; there is: {listed(names)}")

    def treebank(self, language: Language, split: str, name: str | None = None) -> Path:
        """The CoNLL-U file of a language: of the treebank `name`, else the preferred one, else the only one.

        Raises:
            UsageError: an unknown split, no treebank with this split, or several and none of them preferred.
        """
        _check_split(split, TREEBANK_SPLITS, "UD")
        if name is not None:
            return self._named_treebank(name.removeprefix("UD_"), split)
        treebanks = self.treebanks(split)
        found = treebanks.get(language, {})
        preferred = PREFERRED_TREEBANKS.get(language.code)
        if preferred in found:
            return found[preferred]
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            raise UsageError(f"{self.path / 'ud'}: {language.name} has several treebanks; name one: {listed(found)}")
        wanted = self.path / "ud" / "UD_*" / f"{language.short or language.code}_*-ud-{split}.conllu"
        there = listed(sorted(other.code for other in treebanks))
        raise UsageError(f"{wanted}: no such file (UD {split} for {language.name}); there is: {there}")

    def topics(self, language: Language, split: str) -> Path:
        """The SIB-200 file of a language.

        Raises:
            UsageError: an unknown split, or no such file.
        """
        _check_split(split, TOPIC_SPLITS, "SIB-200")
        path = self._topic_folder / language.flores / f"{split}.tsv"
        return _existing(path, f"SIB-200 {split} for {language.name}", [x.code for x in self.topic_languages(split)])

    def flores(self, language: Language, split: str) -> Path:
        """The FLORES-200 file of a language.

        Raises:
            UsageError: an unknown split, or no such file.
        """
        _check_split(split, FLORES_SPLITS, "FLORES-200")
        path = self.path / "flores200_dataset" / split / f"{language.flores}.{split}"
        return _existing(path, f"FLORES-200 {split} for {language.name}", [x.stem for x in files_of(path.parent)])

    def flores_metadata(self, split: str) -> Path:
        """The file that tells where the lines of FLORES-200 come from.

        Raises:
            UsageError: an unknown split, or no such file.
        """
        _check_split(split, FLORES_SPLITS, "FLORES-200")
        path = self.path / "flores200_dataset" / f"metadata_{split}.tsv"
        return _existing(path, f"origins of FLORES-200 {split}", [x.name for x in files_of(path.parent)])

    def flores_languages(self, split: str) -> list[Language]:
        """The languages that have a FLORES-200 file of this split, by code."""
        _check_split(split, FLORES_SPLITS, "FLORES-200")
        found = {language_named(path.stem) for path in files_of(self.path / "flores200_dataset" / split)}
        return sorted((language for language in found if language), key=lambda language: language.code)

    def dictionaries(self) -> dict[tuple[Language, Language], Path]:
        """Bilingual dictionaries by (source, target); where MUSE and another lexicon have a pair, MUSE's."""
        found: dict[tuple[Language, Language], Path] = {}
        for path in [*sorted((self.path / "lexicons").glob("*-*.tsv")), *sorted((self.path / "muse").glob("*-*.txt"))]:
            source, target = (language_named(code) for code in path.stem.split("-", 1))
            if source and target and source != target:
                found[source, target] = path
        return found

    def mono(self, language: Language) -> Path:
        """The monolingual text of a language: `.txt`, `.txt.gz` or `.txt.xz`, under any of its codes.

        Raises:
            UsageError: no such file.
        """
        folder = self.path / "mono"
        codes = [code for code in (language.short, language.code, language.flores) if code]
        for code in codes:
            for suffix in (".txt", ".txt.gz", ".txt.xz"):
                if (path := folder / f"{code}{suffix}").is_file():
                    return path
        path = folder / f"{codes[0]}.txt[.gz|.xz]"
        return _existing(path, f"monolingual text for {language.name}", [x.name for x in files_of(folder)])

    def available_pairs(self) -> list[str]:
        """The pairs that have a folder with files, as their folders name them."""
        return sorted(name for name in self._pair_folders() if files_of(self.path / "parallel" / name))

    def treebank_languages(self, split: str) -> list[Language]:
        """The languages that have a treebank with this split, by code."""
        _check_split(split, TREEBANK_SPLITS, "UD")
        return sorted(self.treebanks(split), key=lambda language: language.code)

    def topic_languages(self, split: str) -> list[Language]:
        """The languages that have a SIB-200 file of this split, by code."""
        _check_split(split, TOPIC_SPLITS, "SIB-200")
        found = {language_named(path.parent.name) for path in self._topic_folder.glob(f"*/{split}.tsv")}
        return sorted((language for language in found if language), key=lambda language: language.code)

    def labelled(self, task: str, language: Language, split: str) -> Path:
        """The file of a language for a task that a package adds; its folder has any of the language's codes.

        Raises:
            UsageError: an unknown split, or no such file.
        """
        _check_split(split, LABELLED_SPLITS, task)
        codes = [code for code in (language.code, language.short, language.flores) if code]
        for code in codes:
            if (path := self.path / task / code / f"{split}.tsv").is_file():
                return path
        path = self.path / task / codes[0] / f"{split}.tsv"
        there = [other.code for other in self.labelled_languages(task, split)]
        return _existing(path, f"{task} {split} for {language.name}", there)

    def labelled_languages(self, task: str, split: str) -> list[Language]:
        """The languages that have a file of this split for a task that a package adds, by code."""
        found = {language_named(path.parent.name) for path in (self.path / task).glob(f"*/{split}.tsv")}
        return sorted((language for language in found if language), key=lambda language: language.code)

    @property
    def _topic_folder(self) -> Path:
        return self.path / "sib200" / "data" / "annotated"

    def _pair_folders(self) -> dict[str, tuple[Language, Language]]:
        """Folder name -> its languages, in the folder's order."""
        folders: dict[str, tuple[Language, Language]] = {}
        for path in sorted((self.path / "parallel").glob("*-*")):
            first, second = (language_named(code) for code in path.name.split("-", 1))
            if path.is_dir() and first and second:
                folders[path.name] = (first, second)
        return folders

    def _pair_folder(self, pair: str) -> Path:
        languages = parse_pair(pair)
        matching = [name for name, found in self._pair_folders().items() if set(found) == set(languages)]
        if not matching:
            there = listed(self.available_pairs())
            raise UsageError(f"{self.path / 'parallel'}: no folder for the pair {pair!r}; there is: {there}")
        folders = self._pair_folders()
        return self.path / "parallel" / min(matching, key=lambda name: (name != pair, folders[name] != languages, name))

    def treebanks(self, split: str) -> dict[Language, dict[str, Path]]:
        """Language -> treebank name -> file. A file's prefix is its language, unless its treebank is another's own."""
        owners = {name: find(code) for code, name in PREFERRED_TREEBANKS.items()}
        found: dict[Language, dict[str, Path]] = defaultdict(dict)
        for path in sorted((self.path / "ud").glob(f"UD_*/*_*-ud-{split}.conllu")):
            name = path.parent.name.removeprefix("UD_")
            language = owners.get(name) or language_named(path.name.partition("_")[0])
            if language:
                found[language][name] = path
        return dict(found)

    def _named_treebank(self, name: str, split: str) -> Path:
        folder = self.path / "ud" / f"UD_{name}"
        matching = sorted(folder.glob(f"*-ud-{split}.conllu"))
        if matching:
            return matching[0]
        if folder.is_dir():
            there = listed(path.name for path in files_of(folder))
        else:
            there = listed(path.name for path in sorted((self.path / "ud").glob("UD_*")))
        raise UsageError(f"{folder}/*-ud-{split}.conllu: no such file; there is: {there}")


def _check_split(split: str, known: tuple[str, ...], corpus: str) -> None:
    if split not in known:
        raise UsageError(f"unknown split {split!r}; {corpus} has {', '.join(known)}")


def _existing(path: Path, what: str, there: Iterable[str]) -> Path:
    if not path.is_file():
        raise UsageError(f"{path}: no such file ({what}); there is: {listed(there)}")
    return path
