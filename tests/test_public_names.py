"""What `from xalign import …` gives."""

from __future__ import annotations

import subprocess
import sys

import pytest

import xalign


@pytest.mark.parametrize("name", xalign.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert callable(getattr(xalign, name))


def imported_by(statement: str, names: tuple[str, ...]) -> list[str]:
    """Which of `names` a fresh interpreter has loaded after `statement`."""
    code = f"import sys; {statement}; print(*[name for name in {names!r} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_importing_the_package_imports_no_heavy_library() -> None:
    assert imported_by("import xalign", ("torch", "transformers", "mlflow", "datasets", "evaluate")) == []


def test_importing_a_phase_does_not_import_what_only_others_need() -> None:
    optional = ("deepspeed", "mlflow", "datasets", "evaluate", "pandas", "rich", "typer", "matplotlib")
    assert imported_by("import xalign.phases.align", optional) == []
