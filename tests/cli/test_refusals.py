"""Bad input gets one line that says what, where and what to do, the right exit code, and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import tiny_data, tiny_encoder

from xalign.__main__ import run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def refuse(
    data: Path, encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Run a command that must be refused; give its one line."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def call(code: int, *arguments: object, output: object = tmp_path / "run", kept: bool = False) -> str:
        words = [*map(str, arguments), "--output", str(output)]
        assert run(words) == code
        errors = capsys.readouterr().err
        assert errors.startswith("xalign: ") and errors.count("\n") == 1, errors
        if not kept:
            assert not Path(str(output)).exists()
        return errors

    return call


def aligning(data: Path, encoder: Path, *more: object) -> list[object]:
    base = ["align", "--pair", "de-en", "--preset", "smoke", "--tracking", "none", "--quiet"]
    return [*base, "--data", data, "--model", encoder, *more]


def test_an_unknown_option_names_the_nearest(refuse: Callable[..., str], data: Path, encoder: Path) -> None:
    assert "--paiir" in refuse(2, "align", "--paiir", "de-en")
    assert "did you mean steps?" in refuse(2, *aligning(data, encoder, "--set", "stepz=3"))
    assert "key=value" in refuse(2, *aligning(data, encoder, "--set", "steps"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--loss", "S2W0M0"), "S1W1M1"),
        (("--steps", "0"), "steps=0"),
        (("--learning-rate", "-1"), "learning_rate=-1.0"),
        (("--set", "temperature=0"), "temperature=0.0"),
        (("--set", "pooling=max"), "mean, cls"),
        (("--set", "layer=9"), "layers 1 to 3"),
        (("--set", "layer=two"), "2/3"),
        (("--set", "max_length=many"), "max_length"),
        (("--loss", "S0W1M0", "--set", "word_negatives=100000"), "word_negatives"),
        (("--batch-size", "9", "--accumulation", "2"), "accumulation=2"),
        (("--precision", "fp16"), "GPU"),
        (("--preset", "papper"), "paper"),
        (("--tracking", "wandb"), "mlflow, none"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_value_that_does_not_fit_is_named_with_what_would(
    refuse: Callable[..., str], data: Path, encoder: Path, options: tuple[str, ...], said: str
) -> None:
    assert said in refuse(2, *aligning(data, encoder, *options))


def test_an_unknown_pair_lists_those_that_have_files(refuse: Callable[..., str], data: Path, encoder: Path) -> None:
    message = refuse(2, "align", "--pair", "de-ja", "--data", data, "--model", encoder)
    assert "de-ja" in message and "de-en" in message
    assert "xx" in refuse(2, "align", "--pair", "de-xx", "--data", data, "--model", encoder)


def test_unknown_tasks_modes_and_languages_are_refused(refuse: Callable[..., str], data: Path, encoder: Path) -> None:
    common = ["--data", data, "--model", encoder]
    assert "pos, topic" in refuse(2, "finetune", "--task", "ner", *common)
    assert "full, linear" in refuse(2, "finetune", "--task", "pos", "--mode", "half", *common)
    assert "klingon" in refuse(2, "pretrain", "--languages", "klingon", "--data", data)


def test_a_missing_folder_is_named(refuse: Callable[..., str], encoder: Path, data: Path, tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in refuse(2, *aligning(tmp_path / "nowhere", encoder))
    assert str(tmp_path / "no-model") in refuse(2, *aligning(data, tmp_path / "no-model"))


def test_unequal_line_counts_name_both_files_and_counts(
    refuse: Callable[..., str], data: Path, encoder: Path, tmp_path: Path
) -> None:
    shutil.copytree(data, tmp_path / "data")
    german = tmp_path / "data" / "parallel" / "de-en" / "tiny.de-en.de"
    german.write_text(german.read_text() + "noch eine\n")
    message = refuse(1, *aligning(tmp_path / "data", encoder))
    assert "tiny.de-en.de" in message and "tiny.de-en.en" in message and "161" in message and "160" in message


def test_a_malformed_treebank_line_is_named_by_file_and_line(
    refuse: Callable[..., str], data: Path, encoder: Path, tmp_path: Path
) -> None:
    shutil.copytree(data, tmp_path / "data")
    path = next((tmp_path / "data" / "ud" / "UD_English-EWT").glob("*-train.conllu"))
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace("\t", " ")
    path.write_text("\n".join(lines) + "\n\n")
    message = refuse(1, "finetune", "--task", "pos", "--data", tmp_path / "data", "--model", encoder)
    assert f"{path}:2: " in message


def test_a_model_without_tokenizer_or_head_is_refused(
    refuse: Callable[..., str], data: Path, encoder: Path, tmp_path: Path
) -> None:
    from transformers import AutoModel

    bare = tmp_path / "bare"
    shutil.copytree(encoder, bare)
    (bare / "tokenizer.json").unlink()
    assert "no tokenizer" in refuse(2, *aligning(data, bare))
    headless = tmp_path / "headless"
    shutil.copytree(encoder, headless)
    AutoModel.from_pretrained(encoder).save_pretrained(headless)
    assert "masked-LM head" in refuse(2, *aligning(data, headless, "--loss", "S1W0M1"))
    assert run([*map(str, aligning(data, headless, "--loss", "S1W0M0")), "--output", str(tmp_path / "fine")]) == 0


def test_a_hub_name_without_a_network_is_refused_with_advice(refuse: Callable[..., str], data: Path) -> None:
    message = refuse(2, *aligning(data, Path("xlm-roberta-base")))
    assert "xlm-roberta-base" in message and "directory" in message


def test_an_output_that_cannot_be_written_is_refused(
    refuse: Callable[..., str], data: Path, encoder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert "--output" in refuse(2, *aligning(data, encoder), output=tmp_path / "file" / "run", kept=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    assert "no run" in refuse(2, *aligning(data, encoder, "--overwrite"), output=tmp_path / "mine", kept=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


def test_an_unfinished_run_names_resume_and_overwrite(
    refuse: Callable[..., str], data: Path, encoder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    assert run([*map(str, aligning(data, encoder)), "--output", str(output)]) == 0
    (output / "result.json").unlink()
    message = refuse(2, *aligning(data, encoder), output=output, kept=True)
    assert "--resume" in message and "--overwrite" in message
    assert run([*map(str, aligning(data, encoder)), "--output", str(output), "--overwrite"]) == 0
    assert json.loads((output / "result.json").read_text())["resumed_from"] == []


def test_a_loss_that_is_not_finite_stops_with_the_step_and_keeps_the_record(
    refuse: Callable[..., str], data: Path, encoder: Path, tmp_path: Path
) -> None:
    options = ["--loss", "S1W0M1", "--learning-rate", "1e30", "--set", "clip=0", "--set", "warmup=0"]
    message = refuse(1, *aligning(data, encoder, *options), kept=True)
    assert "not finite" in message and "step" in message and "examples" in message
    failed = json.loads((tmp_path / "run" / "failed.json").read_text())
    assert failed["step"] >= 1
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_second_writer_of_the_same_directory_is_refused(
    refuse: Callable[..., str], data: Path, encoder: Path, tmp_path: Path
) -> None:
    from xalign.storage import locked

    output = tmp_path / "run"
    output.mkdir()
    with locked(output / ".lock"):
        assert "another process" in refuse(2, *aligning(data, encoder), output=output, kept=True)


def test_an_interruption_before_the_command_runs_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("typer.main.get_command", interrupted)
    assert run(["doctor"]) == 1
    assert capsys.readouterr().err == "xalign: interrupted; continue with --resume\n"
