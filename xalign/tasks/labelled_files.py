"""Where a task's files are, unless it overrides this: ``DATA/<name>/<language>/<split>.tsv``."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from xalign.data.languages import Language
from xalign.data.layout import DataDirectory
from xalign.errors import UsageError


class LabelledFiles:
    """The files of a task that has a folder of its own in the data directory."""

    name: ClassVar[str]

    def languages(self, data: DataDirectory) -> list[Language]:
        """The languages with a test set."""
        return data.labelled_languages(self.name, "test")

    def file(self, data: DataDirectory, language: Language, split: str, treebank: str | None = None) -> Path:
        """The file of a language and split (train, dev or test).

        Raises:
            UsageError: there is none, or a treebank was named.
        """
        if treebank is not None:
            raise UsageError(f"treebank={treebank} concerns the task pos; {self.name} has files of its own")
        return data.labelled(self.name, language, split)
