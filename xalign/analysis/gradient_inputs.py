"""What a gradient analysis reads, found and checked before anything is written: objective, heads, languages, files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xalign.config import AlignConfig, FinetuneConfig, GradientsConfig
from xalign.data.flores import load_flores
from xalign.data.languages import Language, find
from xalign.data.layout import DataDirectory
from xalign.data.parallel import PairCorpus, load_pairs
from xalign.errors import UsageError, XalignError
from xalign.model_source import ModelSource
from xalign.runs import require_complete
from xalign.storage import read_json
from xalign.tasks import Task, make_task
from xalign.tasks.examples import capped
from xalign.tasks.finetuned import PROBE, Finetuned, Head, read_finetuned

ENGLISH = "eng"
RECIPE = (
    "max_length", "temperature", "layer", "pooling", "negatives", "word_negatives", "detach_lookup", "mlm_input",
    "mlm_probability", "share_forward", "held_out", "bucket_batches",
)  # fmt: skip


@dataclass(frozen=True)
class GradientInputs:
    """Everything that the views read.

    Attributes:
        recipe: the alignment objective, as the model's own alignment run recorded it.
        heads_run: the run of the heads, or None where they are to be trained.
        train, dev: English labelled sentences, sorted by id.
        test: the same by language.
        flores: sentences by language.
        missing: for the view, languages left out because the data has nothing for them.
        files: all data files.
    """

    source: ModelSource
    recipe: AlignConfig
    task: Task
    heads_run: Finetuned | None
    corpus: PairCorpus
    train: list[Any]
    dev: list[Any]
    test: dict[str, list[Any]]
    flores: dict[str, list[str]]
    missing: dict[str, list[str]]
    files: list[Path]

    @property
    def heads(self) -> list[Head]:
        """The heads of the run that was given, one for each seed; the converged probe is none of them."""
        run = self.heads_run
        return [head for name, head in run.heads.items() if name != PROBE] if run is not None else []


def read_inputs(
    config: GradientsConfig, source: ModelSource, data: DataDirectory, recipe: AlignConfig | None = None
) -> GradientInputs:
    """Find and read all of it.

    Args:
        recipe: the alignment objective, where it is not the model's own.

    Raises:
        UsageError: an unaligned model without pair or loss, heads of another task or encoder, a language without data.
        XalignError: a file that is broken, or a run of heads that is not complete.
    """
    recipe = recipe or alignment_recipe(config, source)
    run = read_heads(config, source) if config.heads is not None else None
    trained = run.record["config"] if run is not None else _linear_defaults(config)
    task = make_task(config.task, label_on=trained["label_on"], pooling=trained["pooling"])
    train, dev = (task.file(data, find(trained["language"]), split, trained["treebank"]) for split in ("train", "dev"))
    wanted = _wanted(config)
    tested, no_test = _available(config, wanted, lambda language: task.file(data, language, "test"))
    translated, no_flores = _available(config, wanted, lambda language: data.flores(language, "devtest"))
    if config.protocol == "along-finetuning":
        tested, translated = {}, {}
    corpus = load_pairs(
        data, recipe.pair, max_pairs=recipe.max_pairs, held_out=recipe.held_out, shared_with=recipe.shared_with
    )
    return GradientInputs(
        source, recipe, task, run, corpus,
        train=_by_id(capped(task.load(train), trained["max_sentences"])),
        dev=_by_id(task.load(dev)),
        test={code: _by_id(task.load(path)) for code, path in tested.items()},
        flores=_load_flores(translated),
        missing={"task-language": no_test, "mlm-language": no_flores},
        files=[train, dev, *tested.values(), *translated.values(), *corpus.files],
    )  # fmt: skip


def alignment_recipe(config: GradientsConfig, source: ModelSource) -> AlignConfig:
    """The alignment objective: pair and loss as given or as the model's own, the rest as its alignment run had it.

    Raises:
        UsageError: the model was not aligned, and pair or loss is not given.
    """
    pair, loss = config.pair or source.lineage.get("pair"), config.loss or source.lineage.get("loss")
    lacking = [f"--{name}" for name, value in (("pair", pair), ("loss", loss)) if not value]
    if lacking or pair is None or loss is None:
        raise UsageError(
            f"{source.name}: not aligned, so there is no objective of its own: give {' and '.join(lacking)}, "
            f"for example --pair de-en --loss S1W0M1"
        )
    options: dict[str, Any] = {}
    if source.upstream is not None:
        record = read_json(Path(source.upstream["path"]) / "run.json")
        if record["phase"] == "align":
            options = {name: record["config"][name] for name in RECIPE if name in record["config"]}
            if pair == source.lineage["pair"]:
                options["max_pairs"] = record["config"].get("max_pairs")
                options["shared_with"] = tuple(record["config"].get("shared_with", ()))
    if "M1" not in loss:
        options["share_forward"] = False
    return AlignConfig(pair=pair, loss=loss, output=config.output, **options)


def read_heads(config: GradientsConfig, source: ModelSource) -> Finetuned:
    """The run that ``--heads`` names, held against the task and the encoder.

    Raises:
        UsageError: no linear fine-tuning run of this task and encoder.
        XalignError: it is not complete, or damaged.
    """
    run = Path(config.heads or "")
    if not run.exists():
        raise UsageError(f"{run}: no such directory; --heads takes a run of 'xalign finetune --mode linear'")
    record = require_complete(run)
    if record["phase"] != "finetune" or record["config"]["mode"] != "linear":
        raise UsageError(
            f"{run}: not heads on a frozen encoder; --heads takes a run of 'xalign finetune --mode linear'"
        )
    if record["config"]["task"] != config.task:
        raise UsageError(f"{run}: heads for {record['config']['task']}, not for {config.task}; choose the other run")
    if record["inputs"]["weights"] != source.digest:
        raise UsageError(
            f"{run}: heads of another encoder than {source.directory}; train them on this one, or leave --heads out"
        )
    return read_finetuned(run)


def _linear_defaults(config: GradientsConfig) -> dict[str, Any]:
    """The options of `xalign.phases.gradients.train_heads` that decide which data the heads see, and how."""
    defaults = FinetuneConfig(task=config.task, mode="linear", output=config.output, max_sentences=config.max_sentences)
    return dataclasses.asdict(defaults)


def _by_id(sentences: list[Any]) -> list[Any]:
    """Sentences in one order for all languages, so that blocks hold translations of each other where there are any."""
    return sorted(sentences, key=lambda sentence: str(sentence.id))


def _wanted(config: GradientsConfig) -> list[Language]:
    wanted = [find(code) for code in config.languages]
    if len(set(wanted)) < len(wanted) or not wanted:
        raise UsageError(f"languages={','.join(config.languages) or 'none'}: name each language once, at least one")
    return wanted


def _available(
    config: GradientsConfig, wanted: list[Language], locate: Callable[[Language], Path]
) -> tuple[dict[str, Path], list[str]]:
    """Files by language, and the languages without one; only the default list may have such."""
    default = next(field.default for field in dataclasses.fields(config) if field.name == "languages")
    found: dict[str, Path] = {}
    missing: list[str] = []
    for language in wanted:
        try:
            found[language.code] = locate(language)
        except UsageError:
            if config.languages != default:
                raise
            missing.append(language.code)
    return found, missing


def _load_flores(files: dict[str, Path]) -> dict[str, list[str]]:
    texts = {code: load_flores(path) for code, path in files.items()}
    first = next(iter(texts), None)
    for code, sentences in texts.items():
        if first is not None and len(sentences) != len(texts[first]):
            raise XalignError(
                f"{files[code]}: {len(sentences)} lines where {files[first]} has {len(texts[first])}: "
                f"line n of one must translate line n of the other; restore both files"
            )
    return texts
