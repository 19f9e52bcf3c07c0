"""Files of any content are read or refused by name; sound ones come back as they were written."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzzing import VALUES, damaged, damaged_json, looking, reads_or_refuses
from hypothesis import given
from hypothesis import strategies as st
from synthetic import write_transfer

from xalign.config import AlignConfig, build
from xalign.config.presets import read_preset
from xalign.data.dictionaries import load_dictionary
from xalign.data.flores import load_flores, load_metadata
from xalign.data.layout import DataDirectory
from xalign.data.lines import read_lines
from xalign.data.parallel import load_pairs, read_pairs
from xalign.data.topics import TOPICS, load_topics
from xalign.data.treebank import UPOS, load_treebank
from xalign.engine import checkpoint
from xalign.methods.word_aligners import read_links
from xalign.storage import digest_file

PACKED: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}
LINKED = [(3, 4), (2, 2), (5, 1)]
LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0\ufeff"), max_size=20)
FIELD = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters='"\ufeff#'), min_size=1, max_size=8
)

ROWS = ("# sent_id = a", *(row + "\t_" * 6 for row in ("1\tthe\t_\tDET", "2-3\tdogs\t_\t_", "2\tdog\t_\tNOUN")), "", "")
TREEBANK = "\n".join(ROWS).encode()
READERS: dict[str, tuple[bytes, Callable[[Path], Any]]] = {
    "lines": ("eins\nzwei 三\n".encode(), read_lines),
    "treebank": (TREEBANK, load_treebank),
    "topics": (b'index_id\tcategory\ttext\n1\thealth\tone\n2\tsports\t"a ""b"""\n', load_topics),
    "flores": ("eins\nzwei 三\n".encode(), load_flores),
    "origins": (b"URL\tdomain\nhttp://a\tnews\nhttp://b\tbooks\n", load_metadata),
    "dictionary": (b"haus house\nhund\tdog\tx\n", load_dictionary),
    "links": (b"0-0 1-2\n\n4-0\n", lambda path: read_links(path, LINKED)),
    "preset": (b"align: {steps: 3, max_pairs: {en-kk: 5}}\nfinetune:\n  seeds: [1]\n", lambda p: read_preset(str(p))),
}  # fmt: skip


@pytest.mark.parametrize("kind", READERS)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    sound, read = READERS[kind]
    suffix = data.draw(st.sampled_from(["", ".gz", ".xz"])) if kind != "preset" else ""
    content = PACKED[suffix](data.draw(damaged(sound)))
    path = tmp_path / f"file{suffix}"
    path.write_bytes(data.draw(damaged(content)) if suffix else content)
    reads_or_refuses(lambda: read(path), path)


@pytest.mark.parametrize("layout", ["moses", "table"])
@given(data=st.data())
def test_a_damaged_parallel_corpus_is_read_or_refused(layout: str, data: st.DataObject, tmp_path: Path) -> None:
    folder = tmp_path / "parallel" / "de-en"
    folder.mkdir(parents=True, exist_ok=True)
    if layout == "moses":
        (folder / "c.en").write_bytes(b"one\ntwo\nthree\n")
        (folder / "c.de").write_bytes(data.draw(damaged(b"eins\nzwei\ndrei\n")))
    else:
        (folder / "c.tsv").write_bytes(data.draw(damaged(b"eins\tone\nzwei\ttwo\n")))
    corpus = reads_or_refuses(lambda: load_pairs(DataDirectory(tmp_path), "de-en", held_out=0), folder)
    if corpus is not None:
        assert corpus.counts.kept == len(corpus.train) > 0
        assert all(corpus.train.source) and all(corpus.train.target)


@pytest.mark.parametrize("suffix", PACKED)
@given(sides=st.lists(st.tuples(LINE, LINE), min_size=1, max_size=5), end=st.sampled_from(["\n", "\r\n"]))
@looking(0.5)
def test_parallel_lines_come_back(suffix: str, sides: list[tuple[str, str]], end: str, tmp_path: Path) -> None:
    folder = tmp_path / "parallel" / "de-en"
    folder.mkdir(parents=True, exist_ok=True)
    if suffix == ".xz":  # a reader of lines, not a layout of pairs
        path = tmp_path / "mono.xz"
        path.write_bytes(lzma.compress("".join(line + end for line, _ in sides).encode()))
        assert read_lines(path) == [line for line, _ in sides]
        return
    for side, language in enumerate(("de", "en")):
        text = "".join(pair[side] + end for pair in sides)
        (folder / f"c.{language}{suffix}").write_bytes(PACKED[suffix](text.encode()))
    assert list(read_pairs(DataDirectory(tmp_path), "de-en")[1]) == sides
    assert list(read_pairs(DataDirectory(tmp_path), "en-de")[1]) == [(b, a) for a, b in sides]


@given(st.lists(st.lists(st.tuples(FIELD, st.sampled_from(UPOS)), min_size=1, max_size=4), min_size=1, max_size=4))
def test_treebanks_come_back(tmp_path: Path, sentences: list[list[tuple[str, str]]]) -> None:
    path = tmp_path / "own.conllu"
    rows = ["\n".join(f"{n}\t{w}\t_\t{t}" + "\t_" * 6 for n, (w, t) in enumerate(s, 1)) for s in sentences]
    path.write_text("\n\n".join(rows) + "\n\n", encoding="utf-8", newline="")
    if len(sentences) > 1 and all(word == "_" for sentence in sentences for word, _ in sentence):
        return  # a release without its text
    assert [list(zip(s.words, s.tags, strict=True)) for s in load_treebank(path)] == sentences


@given(st.lists(st.tuples(st.sampled_from(TOPICS), LINE.map(str.strip).filter(bool)), min_size=1, max_size=4))
def test_topics_come_back(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    path, table = tmp_path / "train.tsv", io.StringIO()
    writer = csv.writer(table, delimiter="\t", lineterminator="\n")
    writer.writerows([["index_id", "category", "text"], *([n, *row] for n, row in enumerate(rows))])
    path.write_text(table.getvalue(), encoding="utf-8", newline="")
    assert [(sentence.topic, sentence.text) for sentence in load_topics(path)] == rows


@given(st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=6), st.sampled_from(["\t", " "]))
def test_dictionaries_come_back(tmp_path: Path, entries: list[tuple[str, str]], between: str) -> None:
    path = tmp_path / "de-en.txt"
    path.write_text("".join(f"{a}{between}{b}\n" for a, b in entries), encoding="utf-8", newline="")
    expected: dict[str, list[str]] = {}
    for a, b in entries:
        expected.setdefault(a, []).append(b)
    assert load_dictionary(path) == expected


@given(st.lists(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=5), min_size=1, max_size=5))
def test_links_come_back(tmp_path: Path, links: list[set[tuple[int, int]]]) -> None:
    path = tmp_path / "links"
    path.write_text("".join(" ".join(f"{i}-{j}" for i, j in line) + "\n" for line in links))
    assert read_links(path, [(6, 6)] * len(links)) == [sorted(line) for line in links]


@given(
    content=st.dictionaries(
        st.sampled_from(["align", "grid", "joint", "x"]) | st.text(max_size=3),
        VALUES
        | st.dictionaries(st.sampled_from(["steps", "layer", "seeds", "pairs", "max_pairs"]), VALUES, max_size=3),
        max_size=3,
    )
)
def test_a_preset_of_any_values_is_read_or_refused(content: dict[Any, Any], tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(yaml.safe_dump(content).encode())
    reads_or_refuses(lambda: read_preset(str(path)), path)


@given(
    st.integers(1, 10**6),
    st.floats(0, 1),
    st.sampled_from(["1/3", "2"]),
    st.lists(st.integers(1, 99), min_size=1, max_size=4),
)
def test_presets_come_back(tmp_path: Path, steps: int, warmup: float, layer: str, keep: list[int]) -> None:
    path = tmp_path / "own.yaml"
    values = {"steps": steps, "warmup": warmup, "layer": layer, "keep_steps": keep}
    path.write_text(yaml.safe_dump({"align": values}))
    config = build(AlignConfig, str(path), {"pair": "de-en", "output": "x"})
    assert (config.steps, config.warmup, config.layer, list(config.keep_steps)) == (steps, warmup, layer, keep)


def read_everything(runs: Path, transfer: Path) -> None:
    """Everything that reads the records of a run, one after the other; the first refusal ends it."""
    from xalign.model_source import find_model
    from xalign.report.records import collect_transfers
    from xalign.report.run_browsing import describe, difference, list_runs, removable
    from xalign.runs import completed, require_complete

    list_runs(runs)
    describe(transfer)
    difference(transfer, transfer)
    removable(runs, ["stale", "models"])
    completed(transfer, "key")
    require_complete(transfer)
    find_model(str(transfer / "encoder"))
    collect_transfers(runs)


@pytest.mark.parametrize("name", ["run.json", "result.json", "failed.json", "outcomes.jsonl"])
@given(data=st.data())
def test_records_of_a_run_are_read_or_refused(name: str, data: st.DataObject, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    transfer = write_transfer(
        runs, "pos", "full", "de-en", "S1W0M0", state="failed" if name == "failed.json" else "complete"
    )
    (transfer / "encoder").mkdir(exist_ok=True)
    (transfer / "encoder" / "config.json").write_text("{}")
    path = transfer / name
    first, *rest = path.read_text().split("\n")
    if data.draw(st.booleans()):
        path.write_bytes(data.draw(damaged(path.read_bytes())))
    elif name == "outcomes.jsonl":
        path.write_text("\n".join([json.dumps(data.draw(damaged_json(json.loads(first)))), *rest]))
    else:
        path.write_text(json.dumps(data.draw(damaged_json(json.loads(first)))))
    reads_or_refuses(lambda: read_everything(runs, transfer), runs)


@given(data=st.data())
def test_metrics_are_cut_back_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    from xalign.runs import Run

    lines = [json.dumps({"step": step, "loss": 1.5}) for step in (1, 2, 3)]
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(data.draw(damaged("\n".join([*lines, ""]).encode())))
    before = path.read_bytes()
    (tmp_path / "resumed.json").write_text(json.dumps(data.draw(st.just([1]) | VALUES)))
    try:
        Run(tmp_path, {}, resuming=True, main=True).note_resume(2)
    except Exception as error:
        assert type(error).__name__ == "XalignError" and str(tmp_path) in str(error)
        assert path.read_bytes() == before
        return
    assert all(json.loads(line)["step"] <= 2 for line in path.read_text().splitlines())


@given(data=st.data())
def test_a_damaged_checkpoint_is_passed_over(data: st.DataObject, tmp_path: Path) -> None:
    for step in (10, 20):
        folder = tmp_path / f"step-{step}"
        folder.mkdir(exist_ok=True)
        (folder / "model.safetensors").write_bytes(b"weights")
        files = {"model.safetensors": digest_file(folder / "model.safetensors")}
        state = {"step": step, "groups": [], "scaler": None, "counters": {}, "files": files}
        (folder / "state.json").write_text(json.dumps(state))
    (tmp_path / "step-last").mkdir(exist_ok=True)
    newest = tmp_path / "step-20" / "state.json"
    newest.write_text(json.dumps(data.draw(damaged_json(json.loads(newest.read_text())))))
    found = reads_or_refuses(lambda: checkpoint.latest(tmp_path), tmp_path)
    assert found in (tmp_path / "step-10", tmp_path / "step-20")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@given(data=st.data())
@looking(0.1)
def test_a_model_of_damaged_settings_is_loaded_or_refused(
    name: str, data: st.DataObject, tmp_path: Path, sound_model: Path
) -> None:
    from xalign.encoder import load_encoder
    from xalign.model_source import find_model

    for path in sound_model.iterdir():
        if path.name != name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    sound = (sound_model / name).read_bytes()
    broken = data.draw(damaged(sound) | damaged_json(json.loads(sound)).map(lambda value: json.dumps(value).encode()))
    (tmp_path / name).write_bytes(broken)
    reads_or_refuses(lambda: load_encoder(find_model(str(tmp_path))), tmp_path)
