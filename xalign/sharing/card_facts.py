"""What a model card says of an encoder, read from the records of the run that left it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xalign.data.languages import find, parse_pair
from xalign.data.licences import Terms, recorded_terms
from xalign.errors import UsageError, XalignError
from xalign.model_source import EMBEDDED, KNOWN_LICENCES, ModelSource, is_hub_name
from xalign.reading import EXPORT_RECORD, reading_of, reading_of_run
from xalign.references import Reference, cite
from xalign.sharing.card_command import repeating_command
from xalign.sharing.card_metrics import Metric, run_metrics
from xalign.storage import read_json

CITED_DATA = {"sib200/": "sib200", "ud/": "ud", "flores200_dataset/": "flores200", "muse/": "muse"}
EPOCH = re.compile(r"epochs/seed(\d+)-epoch(\d+)/encoder")


@dataclass(frozen=True)
class CardFacts:
    """What is known of an encoder; `rows` are further facts as (name, value), in the order of the card."""

    title: str
    base: str
    base_model: str | None = None
    licence: str | None = None
    languages: tuple[str, ...] = ()
    testbed: bool = False
    phase: str | None = None
    loss: str | None = None
    rows: tuple[tuple[str, str], ...] = ()
    layer: str | None = None
    pooling: str = "mean"
    depth: int | None = None
    data: tuple[tuple[str, str, str | None], ...] = ()
    metrics: tuple[Metric, ...] = ()
    references: tuple[Reference, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    command: str | None = None
    key: str | None = None


def facts_of_run(
    run: Path, encoder: str = "encoder", result: Mapping[str, Any] | None = None, files: Path | None = None
) -> CardFacts:
    """The facts of one encoder of a run.

    Args:
        run: the run's directory; its ``run.json`` must be there.
        encoder: the encoder's path in it: ``encoder``, ``encoder-step3000``, ``encoder-seed15``,
            ``epochs/seed15-epoch2/encoder``.
        result: what ``result.json`` says or will say; None if the run is not complete.
        files: where the encoder's files are, if not yet there.
    """
    record = read_json(run / "run.json")
    config, lineage = record["config"], record["lineage"]
    step = int(encoder.removeprefix("encoder-step")) if encoder.startswith("encoder-step") else None
    if encoder.startswith("epochs/"):
        result = None  # it tells of the last epoch
    reading = reading_of_run(record)
    data = record["inputs"]["data"]
    terms = recorded_terms(Path(config["data"]), data) if config.get("data") else {}
    origin, base_model, licence = _base(record)
    environment = _optional(run / "environment.json")
    return CardFacts(
        title=record["name"] + ("" if encoder == "encoder" else f" ({encoder})"),
        base=origin,
        base_model=base_model,
        licence=licence,
        languages=() if record["testbed"] else _languages(record),
        testbed=bool(record["testbed"]),
        phase=record["phase"],
        loss=lineage.get("loss"),
        rows=tuple(_rows(record, environment, encoder, step)),
        layer=reading.layer if reading is not None else None,
        pooling=reading.pooling if reading is not None else "mean",
        depth=_depth(files or run / encoder),
        data=tuple((file, digest, terms[file].licence if file in terms else None) for file, digest in data.items()),
        metrics=tuple(run_metrics(run, config, result if step is None else None, step, encoder)),
        references=tuple(_references(record, terms)),
        versions=record.get("versions", {}),
        commit=(record.get("git") or {}).get("commit"),
        command=repeating_command(record),
        key=record["key"],
    )


def facts_of_model(source: ModelSource) -> CardFacts:
    """The facts of an encoder that no run of ours left: its name, its licence if known, how it is read."""
    reading = reading_of(source)
    base_model = source.name if is_hub_name(source.name) else None
    return CardFacts(
        title=source.name,
        base=source.name,
        base_model=base_model,
        testbed=source.name == EMBEDDED,
        rows=(("digest", f"`{source.digest}`"),),
        licence=KNOWN_LICENCES.get(source.name) or declared_licence(source.directory),
        layer=reading.layer,
        pooling=reading.pooling,
        depth=_depth(source.directory),
        references=tuple(cite(["xalign"])),
    )


def declared_licence(directory: Path) -> str | None:
    """The licence in the metadata of a model's README, if it has one."""
    try:
        lines = (directory / "README.md").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    if not lines or lines[0] != "---" or "---" not in lines[1:]:
        return None
    import yaml

    try:
        said = yaml.safe_load("\n".join(lines[1 : lines.index("---", 1)]))
    except yaml.YAMLError:
        return None
    licence = said.get("license") if isinstance(said, dict) else None
    return licence if isinstance(licence, str) else None


def _optional(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path))
    except XalignError:
        return {}


def _depth(directory: Path) -> int | None:
    config = _optional(directory / "config.json")
    depth = config.get("num_hidden_layers", config.get("n_layers"))
    return depth if isinstance(depth, int) else None


def _base(record: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    """How the encoder that a run started from is called, its name on the hub, and its licence."""
    if record["phase"] == "pretrain":
        return "none: trained from random weights", None, None
    given, name = str(record["config"]["model"]), str(record["lineage"]["encoder"])
    if record["upstream"]:
        return f"{name}, as the run {record['upstream'][0]['key'][:12]} left it", None, None
    if given == EMBEDDED:
        return "mini, the embedded encoder of xalign", None, KNOWN_LICENCES[EMBEDDED]
    local = Path(given)
    if local.is_dir():
        source = _optional(local / EXPORT_RECORD).get("source")
        run = source.get("run") if isinstance(source, dict) else None
        return f"{name}, exported from the run {str(run)[:12]}" if run else name, None, declared_licence(local)
    return name, given if is_hub_name(given) and given == name else None, KNOWN_LICENCES.get(given)


def _languages(record: Mapping[str, Any]) -> tuple[str, ...]:
    """ISO codes of the languages that a run trained on, as the hub wants them: two letters where there are two."""
    config, pair = record["config"], record["lineage"].get("pair")
    found = []
    try:
        if pair:
            found += list(parse_pair(pair))
        if record["phase"] == "pretrain":
            found += [find(code) for code in config["languages"]]
        if record["phase"] in ("finetune", "joint", "realign"):
            found.append(find(config.get("language", "eng")))
    except UsageError:  # a code that a later table no longer has
        return ()
    return tuple(dict.fromkeys(language.short or language.code[:3] for language in found))


def _rows(
    record: Mapping[str, Any], environment: Mapping[str, Any], encoder: str, step: int | None
) -> Iterator[tuple[str, str]]:
    config, lineage, phase = record["config"], record["lineage"], record["phase"]
    if record["inputs"].get("weights"):
        yield "digest of the base", f"`{record['inputs']['weights']}`"
    if lineage.get("pair"):
        yield "pair", lineage["pair"]
    if lineage.get("method"):
        yield "method", lineage["method"]
    if lineage.get("task"):
        yield "task", lineage["task"]
    epoch = EPOCH.fullmatch(encoder)
    before = "realign_" if phase == "realign" and encoder == "encoder" else ""
    steps = config.get(f"{before}steps")
    if steps is not None:
        yield "steps", f"{step:,} of {steps:,}" if step is not None else f"{steps:,}"
    elif "epochs" in config:
        yield "epochs", f"{epoch[2]} of {config['epochs']}" if epoch else str(config["epochs"])
    yield "batch", f"{config.get(f'{before}batch_size')} {_unit(phase, before)}"
    if "pairs_batch_size" in config:
        yield "pairs beside each batch", str(config["pairs_batch_size"])
    if epoch or encoder.startswith("encoder-seed"):
        yield "seed", epoch[1] if epoch else encoder.removeprefix("encoder-seed")
    elif "seed" in config or before:
        yield "seed", str(config[f"{before}seed"])
    else:
        yield "seeds", ", ".join(map(str, config.get("seeds", ())))
    for name in (f"{before}learning_rate", "temperature", "max_length"):
        if config.get(name) is not None:
            yield name.removeprefix("realign_").replace("_", " "), f"{config[name]:g}"
    processes = environment.get("num_processes", 1)
    stage = f", ZeRO-{environment['zero_stage']}" if environment.get("zero_stage") else ""
    yield "precision", str(config.get("precision", "fp32"))
    yield "processes", f"{processes}{stage}"


def _unit(phase: str, before: str) -> str:
    return "pairs a step" if phase == "align" or before else "sentences a step"


def _references(record: Mapping[str, Any], terms: Mapping[str, Terms]) -> list[Reference]:
    lineage = record["lineage"]
    wanted = ["xalign"]
    if lineage.get("loss"):
        wanted.append("align")
    for method in filter(None, str(lineage.get("method") or "").split("+")):
        wanted.append(method)
    for each in terms.values():
        wanted += each.citation
    for file in record["inputs"]["data"]:
        wanted += [subject for prefix, subject in CITED_DATA.items() if file.startswith(prefix)]
    if str(lineage.get("encoder", "")).split("/")[-1].startswith("xlm-roberta"):
        wanted.append("xlmr")
    known = []
    for name in dict.fromkeys(wanted):
        try:
            cite([name])
        except UsageError:
            continue
        known.append(name)
    return cite(known)
