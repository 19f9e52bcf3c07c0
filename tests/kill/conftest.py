"""One process that forks for all files of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kill.forking import Forks
from launching import environment


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Starts commands without importing anything anew; their cache is their own."""
    forks = Forks(environment() | {"XALIGN_CACHE": str(tmp_path_factory.mktemp("cache"))})
    yield forks
    forks.close()
