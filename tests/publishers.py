"""A loopback server with small archives in the publishers' own layouts, at their own addresses."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping

from loopback import Site

from xalign.data.fetching import catalogue as c

LINES = {
    "de": ["Guten Tag.", "Wie geht es?", "Danke."],
    "en": ["Good day.", "How are you?", "Thanks."],
    "kk": ["Сәлем.", "Қалай?", "Рахмет."],
    "ja": ["こんにちは。", "元気ですか。", "ありがとう。"],
    "fr": ["Bonjour.", "Comment ?", "Merci."],
}
FLORES = {"deu_Latn": "Satz", "eng_Latn": "Sentence", "kaz_Cyrl": "Сөйлем"}
TREEBANKS = {
    "German-GSD": ("de_gsd", ("train", "dev", "test")),
    "Kazakh-KTB": ("kk_ktb", ("train", "test")),
    "English-EWT": ("en_ewt", ("train", "dev", "test")),
    "French-GSD": ("fr_gsd", ("test",)),
}


def text(code: str) -> bytes:
    return ("\n".join(LINES[code]) + "\n").encode()


def conllu(treebank: str, split: str) -> bytes:
    lines = [f"# sent_id = {split}-1", f"# text = {treebank} {split}"]
    lines += [f"{n}\t{w}\t_\tNOUN\t_\t_\t0\troot\t_\t_" for n, w in ((1, treebank), (2, split))]
    return ("\n".join(lines) + "\n\n").encode()


def topics(code: str, split: str) -> bytes:
    first = {"train": 1, "dev": 3, "test": 5}[split]
    rows = [f"{n}\t{topic}\t{code} {split} {n}" for n, topic in enumerate(("sports", "health"), start=first)]
    return ("\n".join(["index_id\tcategory\ttext", *rows]) + "\n").encode()


def tar_gz(files: Mapping[str, bytes]) -> bytes:
    """As `tar czf x.tar.gz ./folder` makes it, folders included."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        folders = dict.fromkeys(name.rpartition("/")[0] for name in files if "/" in name)
        for folder in folders:
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_of(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def opus_100(pair: str, kind: str = "supervised", splits: tuple[str, ...] = ("train", "dev", "test")) -> bytes:
    folder = f"opus-100-corpus/v1.0/{kind}/{pair}"
    names = {f"{folder}/opus.{pair}-{split}.{code}": text(code) for split in splits for code in pair.split("-")}
    return tar_gz(names | {f"{folder}/README": b"about"})


def multi_cc_aligned(pair: str) -> bytes:
    sides = {f"MultiCCAligned.{pair}.{code}": text(code) for code in pair.split("-")}
    return zip_of(sides | {"README": b"about", "LICENSE": b"terms", f"MultiCCAligned.{pair}.xml": b"<links/>"})


def ud_release(release: str) -> bytes:
    files = {}
    for name, (prefix, splits) in TREEBANKS.items():
        folder = f"ud-treebanks-v{release}/UD_{name}"
        files |= {f"{folder}/{prefix}-ud-{split}.conllu": conllu(name, split) for split in splits}
        files |= {f"{folder}/{file}": b"x\n" for file in ("LICENSE.txt", "README.md", "stats.xml")}
        files |= {f"{folder}/{prefix}-ud-test.txt": b"raw text\n"}
    return tar_gz(files)


def flores_200() -> bytes:
    folder = "./flores200_dataset"
    files = {f"{folder}/README": b"about\n"}
    for split, count in (("dev", 3), ("devtest", 4)):
        lines = {code: "".join(f"{word} {split} {n}.\n" for n in range(count)) for code, word in FLORES.items()}
        files |= {f"{folder}/{split}/{code}.{split}": content.encode() for code, content in lines.items()}
        rows = "".join(f"https://example.org/{n}\twikinews\tx\tno\tno\n" for n in range(count))
        files[f"{folder}/metadata_{split}.tsv"] = f"URL\tdomain\ttopic\thas_image\thas_hyperlink\n{rows}".encode()
    return tar_gz(files)


def publish(site: Site, release: str = c.UD_DEFAULT) -> None:
    """Put everything on the server, at the addresses of the catalogue."""
    site.add(c.OPUS_100.format(pair="de-en"), opus_100("de-en"))
    site.add(c.OPUS_100_ZERO_SHOT, opus_100("de-fr", "zero-shot", ("test",)))
    site.add(c.MULTI_CC_ALIGNED.format(pair="ja-kk"), multi_cc_aligned("ja-kk"))
    site.add(c.UD_RELEASE.format(handle=c.UD_RELEASES[release].handle, release=release), ud_release(release))
    for name, (prefix, splits) in TREEBANKS.items():
        files = {f"{prefix}-ud-{split}.conllu": conllu(name, split) for split in splits} | {"LICENSE.txt": b"x\n"}
        for file, content in files.items():
            site.add(c.UD_FILE.format(name=name, release=release, file=file), content)
    for code in FLORES:
        for split in ("train", "dev", "test"):
            site.add(c.SIB_200.format(code=code, split=split), topics(code, split))
    site.add(c.FLORES_200, flores_200())
    for pair in ("en-de", "de-en"):
        site.add(c.MUSE.format(pair=pair), b"house haus\ndog hund\n")
