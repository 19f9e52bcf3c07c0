"""The Dockerfile against the checkout: it is read here, not built."""

from __future__ import annotations

import json
import re
import shlex
import tomllib

from launching import REPOSITORY

LINES = [
    line.partition(" ")[::2]
    for line in (REPOSITORY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def of(instruction: str) -> list[str]:
    return [rest for name, rest in LINES if name == instruction]


def test_each_line_is_an_instruction() -> None:
    known = {"FROM", "RUN", "WORKDIR", "COPY", "ARG", "ENV", "VOLUME", "USER", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in LINES} <= known


def test_what_is_copied_exists_and_is_let_through() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").split("\n")
    sources = [source for rest in of("COPY") for source in shlex.split(rest)[:-1]]
    assert ignored[1] == "*" and len(sources) >= 7
    assert {line[1:] for line in ignored if line.startswith("!")} == set(sources)
    assert all((REPOSITORY / source).exists() for source in sources)


def test_all_that_the_package_is_built_from_is_copied_before_it_is_installed() -> None:
    order = [rest for name, rest in LINES if name in ("COPY", "RUN")]
    installed = next(i for i, rest in enumerate(order) if '".[' in rest)
    before = " ".join(order[:installed])
    assert all(
        needed in before for needed in ("pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], "xalign")
    )


def test_every_install_takes_the_pinned_versions_of_declared_extras() -> None:
    installs = [shlex.split(rest) for rest in of("RUN") if rest.startswith("pip install")]
    assert len(installs) == 2
    assert all(words[words.index("--constraint") + 1] == "constraints/cpu.txt" for words in installs)
    extras = re.fullmatch(r"\.\[([\w,]+)\]", installs[1][-1])
    assert extras and set(extras[1].split(",")) <= set(PROJECT["optional-dependencies"])
    # The options for another build of torch concern torch alone.
    assert installs[0][-1] == "torch" and "--no-deps" in installs[0]
    assert "$TORCH_OPTIONS" in installs[0] and "$TORCH_OPTIONS" not in installs[1]


def test_the_python_of_the_image_is_one_that_the_package_takes() -> None:
    version = re.fullmatch(r"python:3\.(\d+)-slim", of("FROM")[0])
    assert version and int(version[1]) >= int(PROJECT["requires-python"].removeprefix(">=3."))


def test_the_image_runs_xalign_without_root_and_writes_to_volumes_alone() -> None:
    order = [name for name, _ in LINES]
    assert of("USER") == ["xalign"] and "RUN" not in order[order.index("USER") :]
    [entry] = json.loads(of("ENTRYPOINT")[0])
    assert entry in PROJECT["scripts"] and json.loads(of("VOLUME")[0]) == ["/data", "/runs", "/cache"]
    assert all(value.partition("=")[2].startswith("/cache/") for value in of("ENV")[0].split())
