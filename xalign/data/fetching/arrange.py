"""From the names in the publishers' archives to the layout that the loaders read.

Each function gives a `Place`: member name → path below the data directory, or None for what is not wanted. The names
are the publishers' own; folders around them may differ from release to release, so only the ends of names are read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

from xalign.data.fetching.unpack import Place
from xalign.storage import sync_directory

UD_KEPT = re.compile(r"[a-z0-9]+_[a-z0-9]+-ud-(?:train|dev|test)\.conllu|LICENSE\.txt|README\.(?:md|txt)")


def opus_100(pair: str) -> Place:
    """`opus-100-corpus/v1.0/supervised/de-en/opus.de-en-train.de` and its like; dev and test are kept beside train."""
    source, target = map(re.escape, pair.split("-"))
    wanted = re.compile(rf".*/{re.escape(pair)}/(opus\.{source}-{target}-(?:train|dev|test)\.(?:{source}|{target}))")
    return lambda name: f"parallel/{pair}/{match[1]}" if (match := wanted.fullmatch(name)) else None


def multi_cc_aligned(pair: str) -> Place:
    """`MultiCCAligned.ja-kk.ja` and `.kk`; the scores and the XML are left out."""
    sides = {f"MultiCCAligned.{pair}.{code}" for code in pair.split("-")}
    return lambda name: f"parallel/{pair}/{name}" if name in sides else None


def universal_dependencies(treebanks: Collection[str]) -> Place:
    """`ud-treebanks-v2.16/UD_German-GSD/de_gsd-ud-train.conllu`, with licence and readme; of all, if none is named."""

    def place(name: str) -> str | None:
        *_, folder, file = ["", *name.split("/")][-3:]
        treebank = folder.removeprefix("UD_")
        if folder == treebank or not UD_KEPT.fullmatch(file) or (treebanks and treebank not in treebanks):
            return None
        return f"ud/{folder}/{file}"

    return place


def flores_200(codes: Collection[str]) -> Place:
    """`flores200_dataset/devtest/deu_Latn.devtest`, both splits, and where the lines come from; of all, if none."""
    wanted = re.compile(r"(?:.*/)?(flores200_dataset/(dev|devtest)/([a-z]{3}_[A-Z][a-z]{3})\.(\w+))")
    beside = re.compile(r"(?:.*/)?(flores200_dataset/(?:metadata_(?:dev|devtest)\.tsv|README))")

    def place(name: str) -> str | None:
        if match := beside.fullmatch(name):
            return match[1]
        match = wanted.fullmatch(name)
        if match is None or match[2] != match[4] or (codes and match[3] not in codes):
            return None
        return match[1]

    return place


def move_in(staging: Path, data: Path, paths: Collection[str]) -> None:
    """Put unpacked files in their places, each by a rename after its bytes are on the disk."""
    folders = set()
    for path in paths:
        with (staging / path).open("rb") as stream:
            os.fsync(stream.fileno())
        (data / path).parent.mkdir(parents=True, exist_ok=True)
        (staging / path).rename(data / path)
        folders.add((data / path).parent)
    for folder in folders:
        sync_directory(folder)
