"""What SECURITY.md says: nothing loaded runs code, nothing is sent, no secret is kept."""

from __future__ import annotations

import ast
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from launching import REPOSITORY
from tiny import tiny_data, tiny_encoder

from xalign.__main__ import run
from xalign.usage_data import DEFAULTS, send_none

SOURCES = sorted(path for part in ("xalign", "benchmarks") for path in (REPOSITORY / part).rglob("*.py"))
STATEMENTS = (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8")
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
ARCHIVES = {"tarfile", "zipfile"}
UNPACKING = "xalign/data/fetching/unpack.py"  # the one place, with tests of hostile archives of its own
SERVERS = {"http.server", "socketserver", "wsgiref.simple_server", "flask", "fastapi", "uvicorn", "gradio"}
CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "pandas.read_pickle",
    "pd.read_pickle", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "shutil.unpack_archive",
}  # fmt: skip
OFF = ("trust_remote_code", "allow_pickle", "shell")
SECRET = "hf_thisTokenMustAppearNowhere"


def faults(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines of a module that could run code from a file, start a shell or a server, or listen to the network."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            for name in names:
                if name in SERVERS or name.partition(".")[0] in PICKLES | ARCHIVES | SERVERS:
                    yield node.lineno, f"imports {name}"
        elif isinstance(node, ast.Constant) and node.value in ("0.0.0.0", "::"):
            yield node.lineno, f"names {node.value}"
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            if called in CALLS:
                yield node.lineno, f"calls {called}"
            if any(name in given and ast.unparse(given[name]) != "False" for name in OFF):
                yield node.lineno, f"{called} switches on one of {OFF}"
            if called.startswith("Auto") and called.endswith("from_pretrained") and "trust_remote_code" not in given:
                yield node.lineno, f"{called} leaves trust_remote_code open"
            if called in ("np.load", "np.save", "numpy.load", "numpy.save") and "allow_pickle" not in given:
                yield node.lineno, f"{called} leaves allow_pickle open"


def test_no_source_file_runs_what_it_reads_or_opens_a_port() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{line}: {why}"
        for path in SOURCES
        for line, why in faults(ast.parse(path.read_text(encoding="utf-8")))
        if str(path.relative_to(REPOSITORY)) != UNPACKING or why.removeprefix("imports ") not in ARCHIVES
    ]
    assert len(SOURCES) > 150 and found == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "from joblib import load", "import tarfile", "import http.server", "torch.load(path)",
        "torch.load(path, weights_only=True)", "yaml.load(text)", "eval(text)", "os.system(text)",
        "subprocess.run(text, shell=True)", "AutoModel.from_pretrained(name)", 'serve(host="0.0.0.0")',
        "AutoModel.from_pretrained(name, trust_remote_code=anything)", "np.load(path)", "np.load(p, allow_pickle=True)",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_is_meant_to_find(line: str) -> None:
    assert list(faults(ast.parse(line)))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def hostile(tmp_path: Path, encoder: Path) -> Path:
    """A copy of a sound model directory, for a test to spoil."""
    return Path(shutil.copytree(encoder, tmp_path / "hostile"))


def aligning(data: Path, model: Path, output: Path) -> list[str]:
    words = ["align", "--pair", "de-en", "--loss", "S1W0M1", "--preset", "smoke", "--quiet"]
    return [*words, "--data", str(data), "--model", str(model), "--output", str(output)]


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[type[Path.touch], tuple[Path]]:  # type: ignore[valid-type]
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.ckpt", "pytorch_model.pt"])
def test_a_model_of_pickles_is_refused_and_they_stay_closed(
    name: str, hostile: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (hostile / "model.safetensors").unlink()
    (hostile / name).write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    assert run([*aligning(data, hostile, tmp_path / "run"), "--tracking", "none"]) == 1
    assert "weights cannot be loaded" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("known", [True, False], ids=["known-architecture", "own-architecture"])
def test_code_beside_a_model_does_not_run(
    known: bool, hostile: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked whether to run code"))
    marker = tmp_path / "ran"
    (hostile / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass A: pass\n")
    config = json.loads((hostile / "config.json").read_text())
    config["auto_map"] = {name: "evil.A" for name in ("AutoConfig", "AutoModel", "AutoModelForMaskedLM")}
    if not known:
        config["model_type"] = "evil"
    (hostile / "config.json").write_text(json.dumps(config))
    tokenizer = json.loads((hostile / "tokenizer_config.json").read_text())
    tokenizer["auto_map"] = {"AutoTokenizer": ["evil.A", "evil.A"]}
    (hostile / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    code = run([*aligning(data, hostile, tmp_path / "run"), "--tracking", "none"])
    plan = ["grid", "plan", "align", "--preset", "smoke", "--model", str(hostile), "--data", str(data)]
    run([*plan, "--runs", str(tmp_path / "runs")])
    assert (code == 0) == known
    assert not marker.exists()


def test_a_python_tag_in_a_preset_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preset = tmp_path / "preset.yaml"
    preset.write_text(f"align:\n  steps: !!python/object/apply:os.mkdir ['{tmp_path / 'ran'}']\n")
    words = ["align", "--pair", "de-en", "--preset", str(preset), "--output", str(tmp_path / "run")]
    assert run(words) == 2
    assert capsys.readouterr().err.startswith(f"xalign: {preset}:2: not valid YAML")
    assert not (tmp_path / "ran").exists() and not (tmp_path / "run").exists()


def test_a_hub_download_takes_no_format_that_can_hold_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from xalign import model_source

    asked: dict[str, object] = {}

    def download(name: str, **options: object) -> str:
        asked.update(options)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr(model_source, "hub_reachable", lambda: True)
    model_source.find_model("some/encoder")
    assert asked["allow_patterns"] == ["*.json", "*.safetensors", "*.txt", "*.model"]


# Runs a command with every name lookup and every connection of this process refused and written down.
GUARDED = """
import json, sys
attempts = []
def guard(event, arguments):
    if event == "socket.bind" and arguments[1][:2] in (("::1", 0), ("127.0.0.1", 0)):
        return  # a library asks whether this machine has that protocol
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind"):
        attempts.append([event, repr(arguments)])
        raise OSError("no network in this test")
sys.addaudithook(guard)
from xalign.__main__ import run
code = run(sys.argv[2:])
from huggingface_hub import constants
from mlflow.telemetry.utils import is_telemetry_disabled
reports_off = [constants.HF_HUB_DISABLE_TELEMETRY, is_telemetry_disabled()]
open(sys.argv[1], "w").write(json.dumps({"code": code, "attempts": attempts, "reports_off": reports_off}))
"""


@pytest.fixture(scope="module")
def guarded(data: Path, encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, object]]:
    """An alignment with tracking on, a token in its environment and no network: folder, words, what it tried."""
    folder = tmp_path_factory.mktemp("guarded")
    plain = {name: value for name, value in os.environ.items() if name not in {*DEFAULTS, "MLFLOW_TRACKING_URI"}}
    secrets = {"HF_TOKEN": SECRET, "HUGGING_FACE_HUB_TOKEN": SECRET, "MLFLOW_TRACKING_TOKEN": SECRET}
    words = [*aligning(data, encoder, folder / "runs" / "align"), "--log-checkpoints", "final", "--tracking", "mlflow"]
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, str(folder / "told.json"), *words],
        env={**plain, **secrets}, cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, done.stdout + done.stderr, json.loads((folder / "told.json").read_text())


def test_an_alignment_with_tracking_attempts_no_connection(guarded: tuple[Path, str, dict[str, object]]) -> None:
    folder, words, told = guarded
    assert (told["code"], told["attempts"]) == (0, []), words
    assert list(folder.rglob("mlflow.db")) and "tracking" not in words


def test_a_token_in_the_environment_is_neither_written_nor_printed(
    guarded: tuple[Path, str, dict[str, object]],
) -> None:
    folder, words, _ = guarded
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 8 and SECRET not in words
    assert [str(path) for path in files if SECRET.encode() in path.read_bytes()] == []


def test_a_password_in_a_tracking_address_is_left_out_of_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "unknown://me:sesame@example.org/x")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    assert run(["mlflow", "sync", "--runs", str(tmp_path)]) == 1
    run(["doctor", "--runs", str(tmp_path)])
    told = "".join(capsys.readouterr())
    assert "unknown://example.org/x" in told and "sesame" not in told


def test_usage_reports_are_off_by_default(guarded: tuple[Path, str, dict[str, object]]) -> None:
    assert guarded[2]["reports_off"] == [True, True]
    assert all(f"`{name}`" in STATEMENTS for name in DEFAULTS)


def test_what_the_user_says_about_usage_reports_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DO_NOT_TRACK", "false")
    send_none()
    assert [os.environ[name] for name in DEFAULTS] == ["true", "true", "false"]


def test_launch_files_for_several_machines_do_not_write_the_environment_to_a_file() -> None:
    files = {path.name: path.read_text() for path in (REPOSITORY / "accelerate_configs").glob("*.yaml")}
    assert files and all(
        "deepspeed_multinode_launcher: standard" in text or "num_machines: 1" in text or "distributed_type: M" in text
        for text in files.values()
    )
    assert ".deepspeed_env" in (REPOSITORY / ".gitignore").read_text().split()


def test_the_files_that_the_statements_name_exist() -> None:
    named = {word.strip("`") for word in STATEMENTS.split("`")[1::2] if word.startswith(("tests/", "constraints/"))}
    assert named and all((REPOSITORY / name).is_file() for name in named)
