"""From what a user asks for to the files to download: which ones, from where, and what they must contain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from xalign.data.fetching import arrange, publisher_pairs
from xalign.data.fetching import catalogue as c
from xalign.data.fetching.record import EVERYTHING
from xalign.data.fetching.unpack import Place
from xalign.data.languages import Language, all_languages, find, parse_pair
from xalign.data.treebank import PREFERRED_TREEBANKS
from xalign.errors import UsageError

UD_SPLITS = ("train", "dev", "test")
SIB_SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Wanted:
    """One file to download.

    Attributes:
        url: the publisher's address; empty if the publisher is known not to have it.
        label: for people: data set and part.
        selection: what is taken from it, or `*` for all of it.
        place: where the members of the archive go; a path below the data directory if it is no archive.
        required: paths that must be there afterwards; one that ends with `/` is a folder that holds something.
        sha256: of the download, if known.
        optional: whether the publisher may lack it: a treebank need not have all splits.
    """

    source: c.Source
    url: str
    label: str
    selection: tuple[str, ...]
    place: Place | str
    required: tuple[str, ...]
    sha256: str = ""
    optional: bool = False


def plan(
    what: Sequence[str],
    *,
    pairs: Sequence[str] = (),
    languages: Sequence[Language] = (),
    treebanks: Sequence[str] = (),
    release: str = c.UD_DEFAULT,
) -> list[Wanted]:
    """The files to download for data sets by name.

    Raises:
        UsageError: an unknown data set, pair, treebank or release; a choice that is missing or that nothing uses; two
            corpora for one pair.
    """
    if not what:
        raise UsageError(f"name what to fetch: {', '.join([*c.SOURCES, c.PARALLEL])}")
    for pair in pairs:
        parse_pair(pair)
    names = [name.lower() for name in what]
    unknown = [name for name in names if name != c.PARALLEL]
    sources = [c.find_source(name) for name in unknown]
    _refuse_unused(names, sources, pairs=pairs, languages=languages, treebanks=treebanks)
    wanted: list[Wanted] = []
    for name in dict.fromkeys(names):
        if name in ("opus100", "multiccaligned", c.PARALLEL):
            _require(name, pairs, "--pairs de-en,en-kk")
            wanted += [_parallel(name, pair) for pair in pairs]
        elif name == "ud":
            wanted.append(_ud_release(_treebanks(languages, treebanks), release))
        elif name == "ud-treebanks":
            _require(name, [*languages, *treebanks], "--languages deu,kaz or --treebanks German-GSD")
            wanted += chain(*(_ud_files(treebank, release) for treebank in _treebanks(languages, treebanks)))
        elif name == "sib200":
            chosen = languages or all_languages()
            wanted += [_sib(language, split) for language in chosen for split in SIB_SPLITS]
        elif name == "flores200":
            wanted.append(_flores(languages))
        else:
            _require(name, [*pairs, *languages], "--pairs en-de or --languages deu,kor")
            wanted += _with_english(languages) if languages else [_muse(*parse_pair(pair)) for pair in pairs]
    _refuse_two_corpora(wanted)
    return wanted


def _refuse_unused(names: Sequence[str], sources: Sequence[c.Source], **given: Sequence[object]) -> None:
    used = {option for source in sources for option in source.chosen_by} | (
        {"pairs"} & {"pairs"} if c.PARALLEL in names else set()
    )
    for option, values in given.items():
        if values and option not in used:
            raise UsageError(f"--{option} says nothing about {', '.join(names)}; leave it out")


def _require(name: str, chosen: Sequence[object], example: str) -> None:
    if not chosen:
        raise UsageError(f"{name}: say which, for example {example}")


def _refuse_two_corpora(wanted: Sequence[Wanted]) -> None:
    folders: dict[str, str] = {}
    for one in wanted:
        for path in one.required:
            folder = path.rpartition("/")[0]
            if folder.startswith("parallel/") and folders.setdefault(folder, one.url) != one.url:
                raise UsageError(f"{folder} would hold two corpora; fetch one, or each into a --data of its own")


def _parallel(name: str, pair: str) -> Wanted:
    """The corpus of a pair, under the pair's name at OPUS."""
    # A pair with a test set only is no training corpus: it is taken where it was asked for by the corpus's name.
    tests = publisher_pairs.OPUS_100_ZERO_SHOT
    opus = _same_pair(pair, (*publisher_pairs.OPUS_100, *(tests if name == "opus100" else ())))
    if name == "opus100" and opus is None:
        raise UsageError(f"OPUS-100 has no {pair}: its pairs have English; without English, fetch multiccaligned")
    if name != "multiccaligned" and opus is not None:
        zero_shot = opus in tests
        source, split = c.SOURCES["opus100"], "test" if zero_shot else "train"
        required = tuple(f"parallel/{opus}/opus.{opus}-{split}.{code}" for code in opus.split("-"))
        url = c.OPUS_100_ZERO_SHOT if zero_shot else c.OPUS_100.format(pair=opus)
        return Wanted(source, url, f"OPUS-100 {opus}", (opus,), arrange.opus_100(opus), required)
    codes = [_at_opus(language, pair) for language in parse_pair(pair)]
    there = "-".join(sorted(codes))
    required = tuple(f"parallel/{there}/MultiCCAligned.{there}.{code}" for code in there.split("-"))
    url = c.MULTI_CC_ALIGNED.format(pair=there)
    place = arrange.multi_cc_aligned(there)
    return Wanted(c.SOURCES["multiccaligned"], url, f"MultiCCAligned {there}", (there,), place, required)


def _same_pair(pair: str, known: Sequence[str]) -> str | None:
    """How a publisher names a pair: as it is written, or else by its languages, in whatever order."""
    reverse = "-".join(reversed(pair.split("-")))
    if pair in known or reverse in known:
        return pair if pair in known else reverse
    languages = set(parse_pair(pair))
    return next((name for name in known if set(map(_find, name.split("-"))) == languages), None)


def _at_opus(language: Language, pair: str) -> str:
    written = [code for code in pair.split("-") if find(code) == language]
    codes = publisher_pairs.MULTI_CC_ALIGNED_LANGUAGES
    found = next((code for code in (*written, *codes) if code in codes and _find(code) == language), None)
    if found is None:
        hint = "; with English, fetch opus100" if language.code == "eng" else ""
        raise UsageError(f"MultiCCAligned has no {language.name}, so not the pair {pair}{hint}")
    return found


def _find(code: str) -> Language | None:
    """The language of a publisher's code, which may be one that no table has."""
    try:
        return find(code)
    except UsageError:
        return None


def _treebanks(languages: Sequence[Language], treebanks: Sequence[str]) -> list[str]:
    named = [name.removeprefix("UD_") for name in treebanks]
    for language in languages:
        if language.code not in PREFERRED_TREEBANKS:
            raise UsageError(f"which treebank of {language.name}? name it with --treebanks")
        named.append(PREFERRED_TREEBANKS[language.code])
    for name in named:
        if not name.replace("-", "").replace("_", "").isalnum() or "-" not in name:
            raise UsageError(f"treebank {name!r} is not a name such as German-GSD")
    return list(dict.fromkeys(named))


def _release(release: str) -> c.Release:
    try:
        return c.UD_RELEASES[release]
    except KeyError:
        raise UsageError(f"unknown UD release {release!r}; known are {', '.join(c.UD_RELEASES)}") from None


def _ud_release(treebanks: Sequence[str], release: str) -> Wanted:
    known = _release(release)
    url = c.UD_RELEASE.format(handle=known.handle, release=release)
    required = tuple(f"ud/UD_{name}/" for name in treebanks) or ("ud/",)
    selection = tuple(treebanks) or (EVERYTHING,)
    place = arrange.universal_dependencies(frozenset(treebanks))
    return Wanted(c.SOURCES["ud"], url, f"UD {release}", selection, place, required, known.sha256)


def _ud_files(treebank: str, release: str) -> list[Wanted]:
    """The files of one treebank: a test set each has, training data or even a licence file it may lack."""
    _release(release)
    files = [f"{_ud_prefix(treebank)}-ud-{split}.conllu" for split in UD_SPLITS]
    return [
        Wanted(
            c.SOURCES["ud-treebanks"],
            c.UD_FILE.format(name=treebank, release=release, file=file),
            f"UD {treebank} {file}",
            (treebank,),
            (path := f"ud/UD_{treebank}/{file}"),
            (path,),
            optional="-ud-test" not in file,
        )
        for file in (*files, "LICENSE.txt", "README.md")
    ]


def _ud_prefix(treebank: str) -> str:
    """`de_gsd` for `German-GSD`: the language's code, then the treebank's name in lower case."""
    language, _, name = treebank.partition("-")
    known = {preferred.partition("-")[0]: code for code, preferred in PREFERRED_TREEBANKS.items()}
    by_name = {each.name: each.code for each in reversed(all_languages())}
    code = known.get(language) or by_name.get(language.replace("_", " "))
    if code is None:
        raise UsageError(f"treebank {treebank!r}: its files' prefix is not known; fetch ud --treebanks {treebank}")
    found = find(code)
    short = "no" if found.code == "nob" else found.short or found.code
    return f"{'no' if language == 'Norwegian' else short}_{name.lower()}"


def _sib(language: Language, split: str) -> Wanted:
    path = f"sib200/data/annotated/{language.flores}/{split}.tsv"
    url = c.SIB_200.format(code=language.flores, split=split)
    return Wanted(c.SOURCES["sib200"], url, f"SIB-200 {language.flores} {split}", (EVERYTHING,), path, (path,))


def _flores(languages: Sequence[Language]) -> Wanted:
    codes = [language.flores for language in languages]
    required = [f"flores200_dataset/{split}/{code}.{split}" for code in codes for split in ("dev", "devtest")]
    return Wanted(
        c.SOURCES["flores200"], c.FLORES_200, "FLORES-200", tuple(codes) or (EVERYTHING,),
        arrange.flores_200(frozenset(codes)), tuple(required) or ("flores200_dataset/devtest/",), c.FLORES_200_SHA256,
    )  # fmt: skip


def _with_english(languages: Sequence[Language]) -> list[Wanted]:
    """The dictionaries from English to each language. What MUSE lacks is no error: the languages are others' too."""
    english = find("eng")
    return [_muse(english, language, optional=True) for language in languages if language != english]


def _muse(source: Language, target: Language, *, optional: bool = False) -> Wanted:
    known = {parse_pair(name): name for name in publisher_pairs.MUSE}
    pair = known.get((source, target))
    if pair is None and not optional:
        raise UsageError(f"MUSE has no dictionary from {source.name} to {target.name}")
    path = f"muse/{pair}.txt" if pair else ""
    url = c.MUSE.format(pair=pair) if pair else ""
    label = f"MUSE {pair or f'{source.code}-{target.code}'}"
    return Wanted(c.SOURCES["muse"], url, label, (EVERYTHING,), path, (path,), optional=optional)
