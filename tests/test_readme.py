"""What README says to type works: each command, in README's order, on a small data directory and encoder."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from forking import Forks
from launching import PLAIN, REPOSITORY, environment, need_compiler
from tiny import tiny_data, tiny_encoder, words

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
LINES = [line for block in re.findall(r"```bash\n(.*?)```", README, re.S) for line in block.splitlines()]
PHASES = (
    "align", "finetune", "transfer", "pretrain", "retrieve", "distances", "gradients", "calibrate", "langalign",
    "realign", "joint", "advise",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with small data and encoder, and the launch files beside it."""
    root = tmp_path_factory.mktemp("readme")
    tiny_data(root / "data")
    (root / "data" / "muse").mkdir()
    for code, short in (("deu", "de"), ("kaz", "kk")):
        entries = zip(words("eng"), words(code), strict=True)
        (root / "data" / "muse" / f"en-{short}.txt").write_text("".join(f"{a} {b}\n" for a, b in entries))
    tiny_encoder(root / "encoder")
    for name in ("accelerate_configs", "ds_configs"):
        (root / name).symlink_to(REPOSITORY / name)
    return root


def words_of(line: str, place: Path) -> list[str]:
    """A README line as words to execute here: small preset, no tracking, CPU ranks in place of GPUs."""
    line = line.replace('"$DATA"', str(place / "data")).replace('"$MODEL"', str(place / "encoder"))
    words = shlex.split(line, comments=True)
    xalign = words.index("xalign")
    phase = words[xalign + 1]
    if phase in PHASES and "--dry-run" not in words:
        words += ["--preset", "smoke", "--tracking", "none"]
    if words[0] == "accelerate":
        words = [word.replace("multi_gpu", "multi_cpu") for word in words]
        return [PLAIN[0], "-m", "accelerate.commands.launch", "--main_process_port", "0", *words[2:]]
    return words


@pytest.mark.parametrize("line", [line for line in LINES if "xalign" in line])
def test_a_command_of_the_readme_runs(line: str, place: Path, forks: Forks) -> None:
    words = words_of(line, place)
    if words[0] == "xalign":
        code = forks.wait(forks.start(words[1:], place, within=place))
        assert code == 0, (place / "said.txt").read_text()
    else:
        if "deepspeed" in line:
            need_compiler()
        done = subprocess.run(words, cwd=place, env=environment(), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_the_python_example_of_the_readme_runs(place: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", README, re.S)[0]
    small = 'steps=2, max_length=32, held_out=20, quiet=True, tracking="none", data="data", output="runs/python"'
    code = code.replace('model="mini"', 'model="encoder"').replace('output="runs/de-en"', small)
    done = subprocess.run([PLAIN[0], "-c", code], cwd=place, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (place / "runs" / "python" / "encoder" / "config.json").is_file()


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make")])
def test_a_make_target_of_the_readme_exists(line: str) -> None:
    words = shlex.split(line, comments=True)
    done = subprocess.run(["make", "-n", *words[1:]], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_files_that_the_readme_names_exist() -> None:
    linked = re.findall(r"\]\((?!http)([^)]+)\)", README) + re.findall(r"`(xalign/[\w/.]+|[A-Z]+\.cff)`", README)
    assert linked and all((REPOSITORY / name).exists() for name in linked)
