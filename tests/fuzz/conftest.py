"""How long the fuzz tests look, and the sound things that they spoil.

Two profiles of hypothesis: ``quick`` (the default: the same few examples every time) and ``full``, for which
``HYPOTHESIS_PROFILE=full`` stands in the environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from tiny import tiny_data, tiny_encoder

ALLOWED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
COMMON = {"deadline": None, "database": None, "suppress_health_check": ALLOWED}
settings.register_profile("quick", derandomize=True, max_examples=25, phases=[Phase.explicit, Phase.generate], **COMMON)
settings.register_profile("full", max_examples=400, print_blob=True, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(scope="session")
def sound_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def sound_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def alone(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder, no network, and tracebacks where one would reach a user as a line about a fault."""
    folder = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("XALIGN_TRACEBACK", "1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield folder
    assert not list(folder.iterdir()), "something was left in the working folder"
