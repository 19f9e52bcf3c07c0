"""The sentences of a task that a configuration wants: which files, code-switched or not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xalign.config import FinetuneConfig
from xalign.config.fields import require_switched_on
from xalign.data.languages import find
from xalign.data.layout import DataDirectory
from xalign.methods.code_switching import code_switcher, method_name
from xalign.naming import with_method
from xalign.tasks import Task
from xalign.tasks.examples import capped


class TaskData:
    """Training and development data of a task in the language of a configuration.

    Attributes:
        files: all that is read, dictionaries too.

    Raises:
        UsageError: no such language, treebank, file or dictionary.
    """

    def __init__(self, config: FinetuneConfig, data: DataDirectory, task: Task) -> None:
        language = find(config.language)
        self._task, self._max_sentences = task, config.max_sentences
        self._sources = [task.file(data, language, split, config.treebank) for split in ("train", "dev")]
        if not config.codeswitch:
            require_switched_on(config, "codeswitch=SHARE", ("codeswitch_seed",))
        self._method = method_name(config.codeswitch, config.codeswitch_languages)
        self._switcher, dictionaries = code_switcher(
            data, language, config.codeswitch, config.codeswitch_languages, config.codeswitch_seed
        )
        self.files: list[Path] = [*self._sources, *dictionaries]

    def load(self) -> list[list[Any]]:
        """The sentences for training and for development; only the former are code-switched.

        Raises:
            XalignError: a broken file, with its line.
        """
        sentences: list[list[Any]] = [list(self._task.load(path)) for path in self._sources]
        if self._switcher is not None:
            sentences[0] = [self._switcher(sentence) for sentence in capped(sentences[0], self._max_sentences)]
        return sentences

    def lineage(self, lineage: Mapping[str, Any]) -> dict[str, Any]:
        """`lineage`, with code-switching where there is some."""
        return with_method(lineage, self._method) if self._switcher is not None else dict(lineage)

    def cost(self) -> dict[str, Any]:
        """What ``result.json`` says of the data; known once they are loaded."""
        return self._switcher.cost() if self._switcher is not None else {}
