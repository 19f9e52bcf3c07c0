"""What can be fetched: addresses, licences, what to cite, and where each of these was found stated.

The one place that knows the publishers. An address with a version in it keeps its content; where a digest is known
before the first download it stands here, else the first download's digest is kept in the data directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from xalign.errors import UsageError

OPUS_100 = "https://object.pouta.csc.fi/OPUS-100/v1.0/opus-100-corpus-{pair}-v1.0.tar.gz"
OPUS_100_ZERO_SHOT = OPUS_100.format(pair="zeroshot")
MULTI_CC_ALIGNED = "https://object.pouta.csc.fi/OPUS-MultiCCAligned/v1.1/moses/{pair}.txt.zip"
UD_RELEASE = "https://lindat.mff.cuni.cz/repository/xmlui/bitstream/handle/11234/{handle}/ud-treebanks-v{release}.tgz"
UD_FILE = "https://raw.githubusercontent.com/UniversalDependencies/UD_{name}/r{release}/{file}"
SIB_200 = (
    "https://raw.githubusercontent.com/dadelani/sib-200/593cea88519930f776c1a4a1980b6a35b39dca57/"
    "data/annotated/{code}/{split}.tsv"
)
FLORES_200 = "https://dl.fbaipublicfiles.com/nllb/flores200_dataset.tar.gz"
MUSE = "https://dl.fbaipublicfiles.com/arrival/dictionaries/{pair}.txt"

FLORES_200_SHA256 = "b8b0b76783024b85797e5cc75064eb83fc5288b41e9654dabc7be6ae944011f6"


@dataclass(frozen=True)
class Release:
    """A release of Universal Dependencies: its handle at LINDAT, and its archive's SHA-256, empty if not known."""

    handle: str
    sha256: str = ""


UD_RELEASES: dict[str, Release] = {
    "2.12": Release("1-5150", "24f876d5ad9dbdc639a33a73f02d12ddfe582e8d4e7f5d08978c8a86680d088c"),
    "2.13": Release("1-5287", "d6538ed4c05508be3bb7d9c3448de1062f6f9958c833b93558df300e4b1d3781"),
    "2.14": Release("1-5502", "a710e09f977fc1ca4aeaf200806a75fbbc46d2c0717c70933a94ad78129ee1af"),
    "2.15": Release("1-5787", "24ddd9a7e6a291f3882c13febb4d97accfbc6f51633a867963c19e6004d7df97"),
    "2.16": Release("1-5901", "87710204b6441736a8a9fed779585aa88b6eeafe231fa2ed9282c0cd9e30960b"),
    "2.17": Release("1-6036"),
}
UD_DEFAULT = "2.16"


@dataclass(frozen=True)
class Source:
    """A data set as `xalign data fetch` names it.

    Attributes:
        folder: where it goes in the data directory.
        chosen_by: the options that say which parts of it; the first is needed where `needs_choice`.
        size: of one part or of all, roughly, compressed, for people.
        cite: names that `xalign cite` knows.
        provenance: where the address, the layout and the licence are stated.
    """

    name: str
    what: str
    folder: str
    chosen_by: tuple[str, ...]
    needs_choice: bool
    size: str
    licence: str
    licence_url: str
    homepage: str
    cite: tuple[str, ...]
    provenance: str


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            "opus100", "OPUS-100 v1.0: sentence pairs of English with 99 languages", "parallel", ("pairs",), True,
            "up to 100 MB a pair", "as its parts in OPUS (mixed; research use)", "https://opus.nlpl.eu/OPUS-100",
            "https://opus.nlpl.eu/OPUS-100", ("opus100", "opus"),
            "address and layout: the corpus's page at OPUS; pairs: its scripts; no licence of its own is stated",
        ),
        Source(
            "multiccaligned", "MultiCCAligned v1.1: pairs without English, joined through it", "parallel", ("pairs",),
            True, "some MB to 1 GB a pair", "no claims on the preparation; Common Crawl's terms of use for the text",
            "https://commoncrawl.org/terms-of-use", "https://opus.nlpl.eu/MultiCCAligned-v1.1.php",
            ("multiccaligned", "opus"), "address, languages and terms: the corpus's page at OPUS",
        ),
        Source(
            "ud", "Universal Dependencies: treebanks out of a whole release's archive", "ud",
            ("treebanks", "languages"), False, "about 600 MB",
            "one for each treebank, in its LICENSE.txt", "https://lindat.mff.cuni.cz/repository/xmlui/page/licence-UD-2.16",
            "https://universaldependencies.org", ("ud",),
            "handles: LINDAT; digests: the registry of test corpora of the pyconll project",
        ),
        Source(
            "ud-treebanks", "Universal Dependencies: single treebanks, at a release's tag", "ud",
            ("treebanks", "languages"), True, "a few to 100 MB each", "one for each treebank, in its LICENSE.txt",
            "https://universaldependencies.org/#download", "https://universaldependencies.org", ("ud",),
            "address: the treebanks' own repositories, whose tags are the releases",
        ),
        Source(
            "sib200", "SIB-200: topics of 1,004 sentences in 205 languages", "sib200", ("languages",), False,
            "0.2 MB a language", "Apache-2.0 (annotation), CC BY-SA 4.0 (text)",
            "https://github.com/dadelani/sib-200/blob/main/LICENSE", "https://github.com/dadelani/sib-200", ("sib200",),
            "address, layout and licence: the publishers' repository at one commit",
        ),
        Source(
            "flores200", "FLORES-200: 997 + 1,012 sentences in 204 languages", "flores200_dataset", ("languages",),
            False, "26 MB for all", "CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/",
            "https://github.com/facebookresearch/flores/tree/main/flores200", ("flores200",),
            "address and licence: the publishers' repository; digest: the data set's Croissant description and others",
        ),
        Source(
            "muse", "MUSE: bilingual dictionaries", "muse", ("pairs", "languages"), True, "1 MB to 2 MB a pair",
            "CC BY-NC 4.0", "https://creativecommons.org/licenses/by-nc/4.0/",
            "https://github.com/facebookresearch/MUSE", ("muse",), "address, pairs and licence: the publishers' README",
        ),
    )
}  # fmt: skip
PARALLEL = "parallel"  # whichever corpus has a pair: OPUS-100, else MultiCCAligned


def find_source(name: str) -> Source:
    """The data set of a name.

    Raises:
        UsageError: there is none, with those that there are.
    """
    try:
        return SOURCES[name.lower()]
    except KeyError:
        raise UsageError(f"unknown data set {name!r}; there are {', '.join([*SOURCES, PARALLEL])}") from None


def at_mirror(url: str, mirror: str | None) -> str:
    """Where a mirror has a publisher's file: under its host and path, as `wget -x` saves it.

    Raises:
        UsageError: the mirror is not an http(s) address.
    """
    if mirror is None:
        return url
    if urlsplit(mirror).scheme not in ("http", "https") or not urlsplit(mirror).netloc:
        raise UsageError(f"mirror {mirror!r} is not an address such as https://example.org/mirror")
    parts = urlsplit(url)
    return f"{mirror.rstrip('/')}/{parts.netloc}{parts.path}"
