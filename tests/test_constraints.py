"""The pinned versions fit what pyproject.toml asks for, and nothing that is needed is left open."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import torch
from launching import REPOSITORY
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FILE = REPOSITORY / "constraints" / "cpu.txt"
LINES = [line for line in FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
PINNED = {canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in LINES}
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = [
    requirement
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for requirement in map(Requirement, group)
    if requirement.name != "xalign"
]


def test_each_line_pins_one_package_to_one_version() -> None:
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line) for line in LINES)
    assert len(PINNED) == len(LINES) > 100


@pytest.mark.parametrize("requirement", DECLARED, ids=str)
def test_each_declared_package_is_pinned_within_its_range(requirement: Requirement) -> None:
    assert requirement.specifier.contains(PINNED[canonicalize_name(requirement.name)], prereleases=True)


def test_what_a_pinned_package_needs_is_pinned_too() -> None:
    missing = []
    for name, version in PINNED.items():
        try:
            installed = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        # The needs of another version or build than the pinned one say nothing: torch for GPUs needs NVIDIA's packages.
        if installed.version.partition("+")[0] == version and not (name == "torch" and torch.version.cuda):
            for need in map(Requirement, installed.requires or ()):
                if need.marker is None or need.marker.evaluate({"extra": ""}):
                    pinned = PINNED.get(canonicalize_name(need.name))
                    if pinned is None or not need.specifier.contains(pinned, prereleases=True):
                        missing.append(f"{name} needs {need}, pinned is {pinned}")
    assert missing == []


def test_make_installs_with_constraints_only_where_asked() -> None:
    def commands(*words: str) -> str:
        made = ["make", "--dry-run", "--always-make", "venv", *words]
        return subprocess.run(made, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout

    assert '--constraint "constraints/cpu.txt"' in commands("CONSTRAINTS=constraints/cpu.txt")
    assert "--constraint" not in commands()


def test_audit_says_what_to_install_where_its_tool_is_missing(tmp_path: Path) -> None:
    for name in ("sh", "make"):
        found = next(Path(folder) / name for folder in ("/usr/bin", "/bin") if (Path(folder) / name).exists())
        (tmp_path / name).symlink_to(found)
    done = subprocess.run(
        ["make", "audit", "SHELL=/bin/sh", f"VENV={tmp_path / 'none'}"],
        cwd=REPOSITORY, env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0 and "pip install pip-audit" in done.stdout
