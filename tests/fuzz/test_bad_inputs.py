"""Bad input by name: each is refused in one line that says what, where and what to do, and leaves nothing behind.

``pytest tests/fuzz/test_bad_inputs.py --collect-only -q`` prints the list.
"""

# ruff: noqa: E501  a case is a line
from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from bad_input import (
    Place,
    Spoil,
    blank,
    folder_instead,
    in_model,
    in_run,
    line,
    packed,
    recoded,
    record,
    removed,
    settings,
    several,
    text,
)
from synthetic import write_transfer

from xalign.__main__ import run

FROM = "--model {model} --data {data} --output {output} --tracking none --quiet"
ALIGN = f"align --pair de-en --preset smoke {FROM}"
POS = f"finetune --task pos --preset smoke {FROM}"
TOPIC = f"finetune --task topic --preset smoke {FROM}"
RETRIEVE = f"retrieve --pairs deu-eng --preset smoke {FROM}"
DISTANCES = f"distances --pairs deu-eng --layers 1 --preset smoke {FROM}"
REALIGN = f"realign --task topic --pair de-en --preset smoke --aligner {{links}} {FROM}"
PRETRAIN = "pretrain --languages deu --data {data} --output {output} --preset smoke --tracking none --quiet"
TRANSFER = "transfer --model {runs}/finetune/pos/full/base --data {data} --output {output} --tracking none --quiet"
OWN = "config show {preset}"
LAUGHS = "a: &a [lol,lol,lol,lol,lol,lol,lol,lol]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 8)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Case:
    """A command that is refused.

    Attributes:
        name: what is wrong.
        spoil: what is done to a sound place first, if anything.
        words: the command, with the place's parts in braces.
        code: 2 if the request is wrong, 1 if what it found is broken.
        said: what the line must say, parts of the place in braces; several fragments are parted by "…".
    """

    name: str
    spoil: Spoil | None
    words: str
    code: int
    said: str


def no_model(place: Place) -> None:
    shutil.rmtree(place.model)


def pickled_weights(place: Place) -> None:
    (place.model / WEIGHTS).unlink()
    (place.model / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n(S'touch /tmp/owned'\ntR.")


def half_of_the_weights(place: Place) -> None:
    path = place.model / WEIGHTS
    path.write_bytes(path.read_bytes()[:1000])


def other_weights(place: Place) -> None:
    from tiny import tiny_encoder

    tokenizer = (place.model / "tokenizer.json").read_bytes()
    shutil.rmtree(place.model)
    tiny_encoder(place.model, vocab=["der"])
    (place.model / "tokenizer.json").write_bytes(tokenizer)


def headless(place: Place) -> None:
    from transformers import AutoModel

    AutoModel.from_pretrained(place.model).save_pretrained(place.model)


def remote_code(place: Place) -> None:
    """A model type of its own, with code beside it that leaves a file if it is ever run."""
    settings("config.json", model_type="own", auto_map={"AutoConfig": "own.Own"})(place)
    (place.model / "own.py").write_text(f"open({str(place.root / 'ran')!r}, 'w')\n")


def unfinished(place: Place) -> None:
    (place.transfer / "result.json").unlink()


def stale(place: Place) -> None:
    write_transfer(place.runs, "pos", "full", finetune={"epochs": 3})
    made = place.runs / "finetune" / "pos" / "full" / "base" / "run.json"
    made.write_text(made.read_text().replace('"key": "', '"key": "0'))


def another_run(place: Place) -> None:
    shutil.copytree(place.transfer, place.root / "output")


def thesis(place: Place) -> None:
    (place.root / "output").mkdir()
    (place.root / "output" / "thesis.txt").write_text("precious")


def file_as_output(place: Place) -> None:
    (place.root / "output").write_text("precious")


def lost_half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def not_packed(content: bytes) -> bytes:
    return b"these bytes are no archive"


CASES = [
    # Data: folders and files
    Case("data folder missing", None, ALIGN.replace("{data}", "{root}/no"), 2, "{root}/no: no such folder … --data"),
    Case("data folder is a file", text("preset", "x"), ALIGN.replace("{data}", "{preset}"), 2, "own.yaml: no such folder"),
    Case("data folder empty", lambda p: shutil.rmtree(p.data / "parallel"), ALIGN, 2, "no folder for the pair 'de-en'"),
    Case("pair with one side", removed("german"), ALIGN, 2, "no *.de and *.en … tiny.de-en.en"),
    Case("pair side is a folder", folder_instead("german"), ALIGN, 2, "no *.de and *.en"),
    Case("pair side empty", text("german", ""), ALIGN, 1, "{german}: the file is empty"),
    Case("pair sides of unequal length", text("german", "eins\nzwei\n"), ALIGN, 1, "2 lines … 160"),
    Case("pair of blank lines only", several(text("german", "\n\n"), text("english", " \n\n")), ALIGN, 1, "no usable sentence pair among 2 lines"),
    Case("pair in utf-16", recoded("german", "utf-16"), ALIGN, 1, "{german}:1: not UTF-8 (byte 0xff)"),
    Case("pair in utf-16 without mark", recoded("german", "utf-16-le"), ALIGN, 1, "{german}:1: a NUL character"),
    Case("pair in latin-1", recoded("german", "latin-1", "über\n"), ALIGN, 1, "{german}:1: not UTF-8 (byte 0xfc)"),
    Case("pair with a NUL byte", line("german", 7, " ", "\0"), ALIGN, 1, "{german}:7: a NUL character"),
    Case("gzip truncated", packed("german", ".gz", lost_half), ALIGN, 1, "tiny.de-en.de.gz: the compressed file is cut short"),
    Case("gzip that is no gzip", packed("german", ".gz", not_packed), ALIGN, 1, "tiny.de-en.de.gz: not a readable .gz file"),
    Case("xz broken", several(lambda p: (p.data / "mono" / "de.txt").rename(p.data / "mono" / "de.txt.xz")), PRETRAIN, 1, "de.txt.xz: not a readable .xz file"),
    Case("table with three columns", several(removed("german"), lambda p: p.german.with_name("own.tsv").write_text("a\tb\na\tb\tc\n")), ALIGN, 1, "own.tsv:2: 3 tab-separated columns"),
    Case("treebank missing", removed("treebank"), POS, 2, "UD train for English"),
    Case("treebank without tabs", line("treebank", 2, "\t", " "), POS, 1, "{treebank}:2: 1 tab-separated columns"),
    Case("treebank numbers with a gap", line("treebank", 3, "2\t", "5\t"), POS, 1, "{treebank}:3: word number 5 where 2 was due"),
    Case("treebank number of a thousand digits", line("treebank", 3, "2\t", "9" * 5000 + "\t"), POS, 1, "{treebank}:3: word number 9"),
    Case("treebank tag unknown", line("treebank", 2, "\tDET\t", "\tARTICLE\t"), POS, 1, "{treebank}:2: … 'ARTICLE'"),

    Case("treebank of another split only", lambda p: shutil.rmtree(p.data / "ud"), POS, 2, "there is: nothing"),
    Case("topics with an unknown label", line("topics", 2, "\thealth\t", "\tcooking\t"), TOPIC, 1, "{topics}:2: unknown topic 'cooking'"),
    Case("topics without a header", line("topics", 1, "index_id", "id"), TOPIC, 1, "{topics}:1: the header is not"),
    Case("topics with an open quotation mark", line("topics", 3, "\t", '\t"'), TOPIC, 1, "{topics}:3: not a tab-separated line"),
    Case("topics with a repeated id", line("topics", 3, "6001\t", "6000\t"), TOPIC, 1, "{topics}:3: the index_id 6000 occurs twice"),
    Case("flores with an empty line", blank("flores", 4), RETRIEVE, 1, "{flores}:4: an empty line"),
    Case("flores of unequal length", text("flores", "nur eine\n"), RETRIEVE, 1, "deu_Latn.devtest"),
    Case("dictionary with one column", text("dictionary", "haus house\nhund\n"), DISTANCES, 1, "{dictionary}:2: not a word and its translation"),
    Case("links of another corpus", text("links", "0-0\n"), REALIGN, 1, "{links}: 1 lines for 160 sentence pairs"),
    Case("links that are no numbers", text("links", "0-0\n" * 159 + "a-b\n"), REALIGN, 1, "{links}:160: a-b is not a link"),
    Case("links beyond the sentence", text("links", "0-0\n" * 159 + "0-99\n"), REALIGN, 1, "{links}:160: 0-99 names a word that is not there"),
    Case("links file missing", None, REALIGN, 2, "links.txt"),
    # Options
    Case("option unknown", None, f"{ALIGN} --paiir de-en", 2, "--paiir"),
    Case("command unknown", None, "aling --pair de-en", 2, "aling"),
    Case("setting unknown", None, f"{ALIGN} --set stepz=3", 2, "did you mean steps?"),
    Case("setting without value", None, f"{ALIGN} --set steps", 2, "--set steps: write key=value"),
    Case("value left empty by an unset variable", None, ALIGN.replace("--data {data}", "--data="), 2, "--data=: the value is empty; is a variable in it unset?"),
    Case("setting left empty by an unset variable", None, f"{ALIGN} --set data=", 2, "data is empty: is a variable in it unset?"),
    Case("setting of an unknown section", None, f"{ALIGN} --set aling.steps=3", 2, "did you mean align?"),
    Case("number not a number", None, f"{ALIGN} --learning-rate nan", 2, "learning_rate=nan is out of range"),
    Case("number infinite", None, f"{ALIGN} --set clip=1e309", 2, "clip=inf is out of range"),
    Case("number too large", None, f"{ALIGN} --seed 99999999999999999999", 2, "seed=99999999999999999999 is not a valid int of 64 bits"),
    Case("number below its range", None, f"{ALIGN} --steps 0", 2, "steps=0 is out of range: at least 1"),
    Case("pair of one language", None, ALIGN.replace("de-en", "de-de"), 2, "names German twice"),
    Case("pair of an unknown language", None, ALIGN.replace("de-en", "de-tlh"), 2, "unknown language 'tlh'"),
    Case("languages empty", None, f"{TRANSFER} --languages ,", 2, "languages is an empty list"),
    Case("task unknown", None, POS.replace("pos", "ner"), 2, "task=ner is unknown: choose from pos, topic"),
    Case("precision fp16 on a CPU", None, f"{ALIGN} --precision fp16", 2, "GPU"),
    Case("layer beyond the depth", None, f"{ALIGN} --set layer=9", 2, "layers 1 to 3"),
    Case("batch not divisible by accumulation", None, f"{ALIGN} --batch-size 9 --accumulation 2", 2, "accumulation=2"),
    Case("text with control characters", None, f"{ALIGN} --set pair=de\x1b[31m-en", 2, "is not a valid text without control characters"),
    Case("no pair left for training", text("german", "eins\n"), f"{ALIGN}", 1, "1 lines … 160"),
    Case("word pairs beyond the vocabulary", None, f"{ALIGN} --loss S0W1M0 --set word_negatives=100000", 2, "word_negatives"),
    Case("linear LangAlign", None, f"langalign --task topic --pair de-en --preset smoke --set mode=linear {FROM}", 2, "langalign has no option 'mode'"),
    Case("slurm options without slurm", None, "grid run align --runs {root}/none --slurm time=3 --model {model} --data {data}", 2, "--slurm time=3 needs --executor slurm"),
    Case("port that no machine has", None, "mlflow ui --runs {runs} --port 70000", 2, "--port"),
    # Presets
    Case("preset missing", None, "config show {root}/none.yaml", 2, "is neither a file nor one of: demo, paper"),
    Case("preset is a folder", folder_instead("preset"), OWN, 2, "is neither a file nor one of"),
    Case("preset without a name", None, f"{ALIGN} --preset=", 2, "--preset=: the value is empty"),
    Case("preset in utf-16", text("preset", "align: {steps: 3}".encode("utf-16")), OWN, 2, "{preset}:1: not UTF-8"),
    Case("preset that is no YAML", text("preset", "align:\n  steps: [3\n"), OWN, 2, "{preset}:3: not valid YAML"),
    Case("preset with a repeated key", text("preset", "align:\n  steps: 3\n  steps: 4\n"), OWN, 2, "{preset}:3: … 'steps' occurs twice, here and in line 2"),
    Case("preset with Python objects", text("preset", "align: !!python/object/apply:os.getcwd []\n"), OWN, 2, "{preset}:1: not valid YAML (could not determine a constructor"),
    Case("preset that is a list", text("preset", "[align, finetune]\n"), OWN, 2, "{preset}: a preset is a mapping of phases"),
    Case("preset section that is a list", text("preset", "align: [steps, 3]\n"), OWN, 2, "the section align is not a mapping"),
    Case("preset section unknown", text("preset", "aling: {steps: 3}\n"), OWN, 2, "did you mean align?"),
    Case("preset section is a number", text("preset", "1: {steps: 3}\n"), OWN, 2, "unknown section '1'"),
    Case("preset key unknown", text("preset", "align: {stepz: 3}\n"), OWN, 2, "did you mean steps?"),
    Case("preset with a billion laughs", text("preset", f"{LAUGHS}align: {{steps: *i}}\n"), OWN, 2, "more than 20,000 values"),
    Case("preset that contains itself", text("preset", "align: &a {steps: *a}\n"), OWN, 2, "nested more than 50 deep"),
    Case("preset nested a thousand deep", text("preset", "[" * 1000), OWN, 2, "{preset}: nested more than 50 deep"),
    Case("preset with an impossible date", text("preset", "align: {steps: 2026-99-99}\n"), OWN, 2, "{preset}: not valid YAML (month must be in 1..12)"),
    Case("preset value of another type", text("preset", "align: {steps: {pos: many}}\n"), OWN, 2, "{preset}: align: steps='many' is not a valid int"),
    Case("preset mark unknown", text("preset", "align: {steps: {value: 3, mark: guessed}}\n"), OWN, 2, "mark 'guessed' is none of"),
    # Models
    Case("model folder missing", no_model, ALIGN, 2, "{model}: no such directory"),
    Case("model folder is a file", several(no_model, lambda p: p.model.write_text("")), ALIGN, 2, "neither a model (no config.json) nor a run"),
    Case("model without configuration", removed("model", "config.json"), ALIGN, 2, "neither a model (no config.json) nor a run"),
    Case("model from the hub without a network", None, ALIGN.replace("{model}", "xlm-roberta-nowhere"), 2, "the hub cannot be reached … pass its directory"),
    Case("model name that no hub has", None, ALIGN.replace("{model}", "what?"), 2, "neither a directory nor a valid hub name"),
    Case("model without weights", removed("model", WEIGHTS), ALIGN, 1, "its weights cannot be loaded"),
    Case("model with pickled weights only", pickled_weights, ALIGN, 1, "its weights cannot be loaded"),
    Case("model with truncated weights", half_of_the_weights, ALIGN, 1, "its weights cannot be loaded"),
    Case("model configuration is no JSON", in_model("config.json", '{"model_type": '), ALIGN, 2, "config.json: not a model that transformers knows"),
    Case("model configuration is a list", in_model("config.json", "[]"), ALIGN, 2, "config.json: not a model that transformers knows"),
    Case("model configuration with text for a number", settings("config.json", hidden_size="wide"), ALIGN, 2, "config.json: not a model that transformers knows"),
    Case("model architecture unknown", settings("config.json", model_type="oracle"), ALIGN, 2, "oracle"),
    Case("model that brings its own code", remote_code, ALIGN, 2, "config.json: not a model that transformers knows"),
    Case("model of another size than its weights", settings("config.json", hidden_size=32), ALIGN, 1, "{model}: its weights"),
    Case("model without a masked-LM head under loss M", headless, f"{ALIGN} --loss S1W0M1", 2, "masked-LM head"),
    Case("tokenizer missing", removed("model", "tokenizer.json"), ALIGN, 2, "no tokenizer there"),
    Case("tokenizer of another model", other_weights, ALIGN, 2, "entries but the embedding table … not its own"),
    Case("tokenizer that is no JSON", in_model("tokenizer.json", "{"), ALIGN, 2, "its tokenizer cannot be loaded"),
    # Outputs and runs
    Case("output below a file", text("preset", "x"), ALIGN.replace("{output}", "{preset}/run"), 2, "own.yaml/run"),
    Case("output is a file", file_as_output, ALIGN, 2, "--output"),
    Case("output holds something else", thesis, f"{ALIGN} --overwrite", 2, "holds files but no run"),
    Case("output holds another run", another_run, ALIGN, 2, "output"),
    Case("output inside the data", None, ALIGN.replace("{output}", "{data}/run"), 2, "--data"),
    Case("runs folder missing", None, "report table1 --runs {root}/no", 2, "{root}/no: no such directory"),
    Case("runs folder empty", lambda p: shutil.rmtree(p.runs / "transfer") or shutil.rmtree(p.runs / "finetune"), "report table1 --runs {runs}", 2, "no transfer run here"),
    Case("runs folder empty for all reports", lambda p: shutil.rmtree(p.runs / "transfer") or shutil.rmtree(p.runs / "finetune"), "report all --runs {runs}", 2, "no report can be made"),
    Case("report unknown", None, "report table9 --runs {runs}", 2, "report 'table9' is unknown"),
    Case("table 2 from transfer runs", None, "report table2 --runs {runs}", 2, "no complete retrieve run here"),
    Case("result truncated", in_run("result.json", '{"accuracy": {'), "report table1 --runs {runs}", 1, "result.json:1: not valid JSON"),
    Case("result of another shape", in_run("result.json", "[1, 2]"), "runs list --runs {runs}", 1, "result.json: not a record"),
    Case("result that disagrees with outcomes", record("result.json", accuracy={}), "report table1 --runs {runs}", 1, "but result.json says nothing"),
    Case("outcomes missing", lambda p: (p.transfer / "outcomes.jsonl").unlink(), "report table1 --runs {runs}", 1, "outcomes.jsonl: missing beside a result.json"),
    Case("outcomes with a broken line", in_run("outcomes.jsonl", '{"language": "deu"}\n'), "report table1 --runs {runs}", 1, "outcomes.jsonl:1: not a new outcome"),
    Case("outcomes in latin-1", in_run("outcomes.jsonl", b'{"language": "\xfc"}\n'), "report table1 --runs {runs}", 1, "outcomes.jsonl: not UTF-8"),
    Case("run record missing", lambda p: (p.transfer / "run.json").unlink(), "runs show {transfer}", 2, "not a run directory (no run.json)"),
    Case("run record empty", in_run("run.json", ""), "runs show {transfer}", 1, "run.json:1: not valid JSON"),
    Case("run record without its phase", record("run.json", phase=None), "report table1 --runs {runs}", 1, "run.json: lacks phase"),
    Case("run record with an odd ancestry", record("run.json", upstream=[3]), "report table1 --runs {runs}", 1, "an upstream run without path and key"),
    Case("run record without a task", record("run.json", lineage={}), "report table1 --runs {runs}", 1, "damaged records (KeyError: 'task')"),
    Case("run made from one that changed", stale, "report table1 --runs {runs}", 1, "stale"),
    Case("run unfinished as a model", unfinished, "transfer --model {transfer} --data {data} --output {output}", 1, "this run is incomplete"),
    Case("run of another kind as a model", None, "transfer --model {transfer} --data {data} --output {output}", 2, "a transfer run; --model takes"),
    Case("fine-tuned model as an encoder", None, ALIGN.replace("{model}", "{runs}/finetune/pos/full/base"), 2, "a fine-tuned model"),
    Case("prune of something unknown", None, "runs prune everything --runs {runs}", 2, "prune everything: choose from"),
    Case("archive over a folder of one's own", thesis, "runs archive --runs {runs} --output {output}", 2, "exists and is no archive"),
    Case("MLflow store of an unknown kind", None, "mlflow sync --runs {runs} --store oracle://x", 1, "MLflow store oracle://x"),
    Case("MLflow pages of a missing folder", None, "mlflow ui --runs {root}/no", 2, "{root}/no: no such directory"),
]  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, sound_data: Path, sound_model: Path) -> Place:
    """A place that nothing has spoilt."""
    sound = Place(tmp_path_factory.mktemp("sound"))
    shutil.copytree(sound_data, sound.data)
    shutil.copytree(sound_model, sound.model)
    (sound.data / "muse").mkdir()
    sound.dictionary.write_text("haus house\nhund dog\n")
    write_transfer(sound.runs, "pos", "full")
    return sound


@pytest.fixture
def place(tmp_path: Path, sound: Place) -> Place:
    shutil.copytree(sound.root, tmp_path / "place", copy_function=shutil.copyfile)
    return Place(tmp_path / "place")


def listing(place: Place) -> dict[Path, bytes]:
    """Every file of the place; what holds a lock is no trace of work."""
    ignored = (".lock", ".mlflow.lock")
    return {path: path.read_bytes() for path in place.root.rglob("*") if path.is_file() and path.name not in ignored}


def filled(words: str, place: Place) -> str:
    parts = ("root", "data", "model", "runs", "german", "treebank", "topics", "flores", "dictionary", "links")
    known = {part: getattr(place, part) for part in (*parts, "preset", "transfer")}
    return words.format(**known, output=place.root / "output")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_bad_input_is_refused_in_one_line(case: Case, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    if case.spoil is not None:
        case.spoil(place)
    before = listing(place)
    assert run([filled(word, place) for word in case.words.split()]) == case.code
    line = capsys.readouterr().err
    assert line.startswith("xalign: ") and line.count("\n") == 1, line
    at = 0
    for fragment in filled(case.said, place).split(" … "):
        assert fragment in line[at:], line
        at = line.index(fragment, at) + len(fragment)
    assert listing(place) == before
