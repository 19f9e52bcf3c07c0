"""What a LangAlign run reads: a task's sentences in two languages, and the translations that maps are fitted on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xalign.config import LangalignConfig
from xalign.data.languages import Language, find
from xalign.data.layout import DataDirectory
from xalign.data.parallel import load_pairs
from xalign.errors import UsageError
from xalign.randomness import derive_seed
from xalign.tasks import Task
from xalign.tasks.examples import capped

HELD_OUT = 500  # general translations on which maps are judged


@dataclass(frozen=True)
class Material:
    """What a run reads.

    Attributes:
        english, target: the task's sentences by split; the target's training data only where there are some.
        translations: (English, target) texts that maps are fitted on.
        held_out: (English, target) texts that they are judged on.
        translated: English training sentences in their translation, with their English labels: the same translations
            as in `translations`, in the order of the training data. None where those are no task sentences.
    """

    english: dict[str, list[Any]]
    target: dict[str, list[Any]]
    translations: tuple[list[str], list[str]]
    held_out: tuple[list[str], list[str]]
    translated: list[Any] | None = None


def read(config: LangalignConfig, data: DataDirectory, task: Task, target: Language) -> tuple[list[Path], Material]:
    """The files and sentences of a run.

    Raises:
        UsageError: data that are not there, or too few translations.
    """
    english = {split: task.file(data, find("eng"), split) for split in ("train", "dev", "test")}
    foreign = {"test": task.file(data, target, "test")}
    if target in _trainable(task, data):
        foreign |= {split: task.file(data, target, split) for split in ("train", "dev")}
    files = [*english.values(), *foreign.values()]
    sentences: list[dict[str, list[Any]]] = [{}, {}]
    for side, part in zip(sentences, (english, foreign), strict=True):
        side |= {split: list(task.load(path)) for split, path in part.items()}
    sentences[0]["train"] = list(capped(sentences[0]["train"], config.max_sentences))
    labelled: list[Any] | None = None
    if config.parallel == "in-domain":
        if "train" not in foreign:
            raise UsageError(f"{data.path}: no {task.name} training data in {target.code}: use --parallel general")
        labelled = _translated(sentences[0]["train"], sentences[1]["train"])
        translations, held_out = (_by_id(sentences[0][split], sentences[1][split]) for split in ("train", "dev"))
    else:
        corpus = load_pairs(data, config.pair, max_pairs=None, held_out=HELD_OUT)
        files += corpus.files
        turned = corpus.languages[0].code != "eng"
        sides = [(list(part.source), list(part.target)) for part in (corpus.train, corpus.held_out)]
        translations, held_out = (side[::-1] if turned else side for side in sides)
    draw = np.random.default_rng(derive_seed(config.seed, "translations") % 2**32)
    chosen = draw.permutation(len(translations[0]))[: config.sentences]
    if config.sentences is not None and len(chosen) < config.sentences:
        raise UsageError(f"sentences={config.sentences}: only {len(chosen)} translations are there")
    texts = [translations[0][i] for i in chosen], [translations[1][i] for i in chosen]
    texts = texts[0], exchanged(texts[1], config.noise, draw)
    if labelled is not None:
        by_place = dict(zip(chosen.tolist(), texts[1], strict=True))
        labelled = [replace(labelled[place], text=by_place[place]) for place in sorted(by_place)]
    return files, Material(sentences[0], sentences[1], texts, held_out, labelled)


def _trainable(task: Task, data: DataDirectory) -> list[Language]:
    found = []
    for language in task.languages(data):
        try:
            task.file(data, language, "train")
            task.file(data, language, "dev")
        except UsageError:
            continue
        found.append(language)
    return found


def _by_id(first: list[Any], second: list[Any]) -> tuple[list[str], list[str]]:
    both = _translated(first, second)
    texts = {sentence.id: sentence.text for sentence in first}
    return [texts[sentence.id] for sentence in both], [sentence.text for sentence in both]


def _translated(first: list[Any], second: list[Any]) -> list[Any]:
    """The sentences of `first`, labels included, that `second` has too, with the text that they have there."""
    there = {sentence.id: sentence.text for sentence in second}
    return [replace(sentence, text=there[sentence.id]) for sentence in first if sentence.id in there]


def exchanged(texts: list[str], share: float, draw: np.random.Generator) -> list[str]:
    """`texts` with a share of them moved round among themselves, so that each of those stands where it is wrong."""
    places = draw.permutation(len(texts))[: round(share * len(texts))]
    found = list(texts)
    for place, other in zip(places, np.roll(places, 1), strict=True):
        found[place] = texts[other]
    return found
