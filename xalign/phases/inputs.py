"""What the phases read: the data directory or the embedded testbed, and the digests that identify a run's inputs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from xalign.data.layout import DataDirectory
from xalign.model_source import ModelSource
from xalign.runs import Inputs
from xalign.storage import digest_file


def open_data(path: str | None) -> DataDirectory:
    """The data directory at `path`, or the embedded testbed, which is written to the cache at its first use."""
    if path is not None:
        return DataDirectory(Path(path))
    from xalign.data.testbed import embedded_testbed

    return DataDirectory(embedded_testbed())


def describe_inputs(data: DataDirectory, files: Iterable[Path], source: ModelSource | None) -> Inputs:
    """Digest the model and the data files that a run reads."""
    digests = {path.relative_to(data.path).as_posix(): digest_file(path) for path in sorted(set(files))}
    return Inputs(
        weights=source.digest if source is not None else None,
        data=digests,
        upstream=[source.upstream] if source is not None and source.upstream is not None else [],
        testbed=data.testbed,
    )
