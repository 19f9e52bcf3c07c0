"""What `from xalign import …` gives."""

from __future__ import annotations

import subprocess
import sys

import pytest

import xalign


@pytest.mark.parametrize("name", xalign.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert callable(getattr(xalign, name))


def test_importing_the_package_imports_no_heavy_library() -> None:
    code = "import sys, xalign; print([m for m in ('torch', 'mlflow', 'datasets', 'evaluate') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_importing_the_phases_does_not_import_the_optional_libraries() -> None:
    code = (
        "import sys, xalign.phases.align\n"
        "print([m for m in ('deepspeed', 'mlflow', 'datasets', 'evaluate', 'sklearn', 'pandas') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
