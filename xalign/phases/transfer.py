"""Phase III: zero-shot transfer. A model fine-tuned on English is tested in other languages.

    xalign transfer --model runs/finetune/pos/linear/de-en/S1W0M1 --languages deu,kaz --output runs/pos-transfer

Each encoder reads each language once: all heads that sit on it, and both pieces of a word that may carry its tag, are
judged from the same pass. Source: Veitsman, Liu & Schütze 2026, §4.3.
"""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xalign.config import ALL_LANGUAGES, TransferConfig
from xalign.data.languages import Language, find
from xalign.data.layout import DataDirectory
from xalign.encoder import Encoder, load_encoder
from xalign.engine import launch
from xalign.errors import UsageError
from xalign.frozen_features import Encoding
from xalign.metrics import compute
from xalign.naming import encoder_name, languages_name, runs_directory, transfer_name, with_method
from xalign.pair_batches import Layout
from xalign.phases.inputs import describe_inputs, open_data
from xalign.phases.transfer_mapping import Fitted, Mapping, prepare_mapping
from xalign.runs import Run, RunResult, completed, open_run, run_key
from xalign.storage import write_text
from xalign.tasks import Task, make_task
from xalign.tasks.examples import Examples, capped, joined
from xalign.tasks.finetuned import PROBE, Finetuned, read_finetuned
from xalign.tasks.objective import Reader
from xalign.tasks.predict import predict
from xalign.tracking import following

Values = dict[str, dict[str, Any]]  # language → seed → value


def transfer(config: TransferConfig) -> RunResult:
    """Test every seed of a fine-tuned model in every language.

    Returns:
        the run; its ``result.json`` holds scores by language and seed, ``outcomes.jsonl`` a line for each sentence.

    Raises:
        UsageError: a launch with several processes, a language without test data, or an option that does not fit;
            before anything is encoded.
        XalignError: the fine-tuned model is not complete, damaged or stale.
    """
    if launch.world_size() > 1:
        raise UsageError("transfer is a single process: run it without accelerate launch (grid does)")
    config = launch.with_precision(config)
    model = read_finetuned(Path(config.model))
    head = model.description
    task = make_task(head["task"], label_on=head["label_on"] or "first", pooling=head["pooling"] or "mean")
    data = open_data(config.data)
    languages, missing = choose_languages(config, data, task)
    files = {language: task.file(data, language, "test") for language in languages}
    loaded = {language: task.load(path) for language, path in files.items()}
    mapping = prepare_mapping(config, model, data, task, loaded)
    inputs = dataclasses.replace(
        describe_inputs(data, [*files.values(), *(mapping.texts.files if mapping else [])], None),
        weights=model.digest,
        upstream=[{"path": str(model.directory), "key": model.record["key"]}],
    )
    if not config.overwrite and (done := completed(Path(config.output), run_key("transfer", config, inputs))):
        return done
    sentences = {language.code: capped(part, config.max_sentences) for language, part in loaded.items()}
    lineage = model.record["lineage"]
    if mapping is not None:
        lineage = with_method(lineage, mapping.name)
    # A name and place of its own: tables over the chosen languages and those over all are not of the same runs.
    named = languages_name if config.languages == ALL_LANGUAGES else transfer_name
    name = named(lineage["task"], lineage["mode"], encoder_name(lineage))
    with open_run(config, "transfer", name, lineage, inputs) as run:
        runs = runs_directory(run.directory, name)
        with following(run, runs=runs, tracking=config.tracking, log_checkpoints=config.log_checkpoints):
            run.write("environment.json", launch.environment(None, config.precision))
            if missing and not config.quiet:
                print(f"without test data for {task.name}, left out: {', '.join(missing)}")
            return _evaluate(run, config, model, task, sentences, missing, mapping)


def choose_languages(config: TransferConfig, data: DataDirectory, task: Task) -> tuple[list[Language], list[str]]:
    """The languages to test, and the codes of those left out.

    The default list means: those of the paper's languages that the data has for this task; ``all``: every language
    that it has. Any other list is meant as it stands.

    Raises:
        UsageError: an unknown language, one named twice, or one without test data.
    """
    if config.languages == ALL_LANGUAGES:
        return _all_languages(data, task), []
    if set(ALL_LANGUAGES) & set(config.languages):
        raise UsageError(f"languages={','.join(config.languages)}: 'all' stands alone, in place of a list")
    wanted = [find(code) for code in config.languages]
    if len(set(wanted)) < len(wanted) or not wanted:
        raise UsageError(f"languages={','.join(config.languages) or 'none'}: name each language once, at least one")
    there = task.languages(data)
    missing = [language for language in wanted if language not in there]
    by_default = next(field.default for field in dataclasses.fields(config) if field.name == "languages")
    if missing and (config.languages != by_default or len(missing) == len(wanted)):
        names = ", ".join(f"{language.code} ({language.name})" for language in missing)
        have = " ".join(language.code for language in there) or "nothing"
        raise UsageError(f"{data.path}: no {task.name} test data for {names}; there is: {have}")
    return [language for language in wanted if language in there], [language.code for language in missing]


def _all_languages(data: DataDirectory, task: Task) -> list[Language]:
    there = task.languages(data)
    if not there:
        raise UsageError(f"{data.path}: no {task.name} test data in any language")
    return there


def _evaluate(
    run: Run,
    config: TransferConfig,
    model: Finetuned,
    task: Task,
    sentences: dict[str, list[Any]],
    missing: list[str],
    mapping: Mapping | None,
) -> RunResult:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoding = Encoding(config.batch_size, device, config.precision)
    values: dict[str, Values] = defaultdict(lambda: defaultdict(dict))
    outcomes: dict[str, list[str]] = {}
    examples: dict[str, Examples] = {}
    parameters = 0
    for source, heads in model.encoders:
        encoder = load_encoder(source)
        if not examples:  # the encoders of all seeds share one tokenizer
            examples = {
                code: task.examples(part, encoder, _layout(encoder, config.max_length))
                for code, part in sentences.items()
            }
        reader = Reader(encoder, pooling=model.description["pooling"] or "mean", frozen=True).to(encoding.device)
        weights, biases = (
            torch.stack([getattr(model.heads[name], part) for name in heads]) for part in ("weight", "bias")
        )
        fitted = mapping.fit(encoder, task, reader, encoding, length=config.max_length) if mapping else None
        parameters = sum(each.parameters for each in fitted.maps.values()) if fitted else 0
        predictions = _predict(reader, examples, weights, biases, task, encoding, fitted)
        for code, found in predictions.items():
            tested = examples[code]
            for row, name in enumerate(heads):
                by_position = dict(zip(task.positions, found[:, row], strict=True))
                _score(values, task, code, name, by_position, tested)
                outcomes.setdefault(name, []).extend(_outcomes(code, name, by_position[task.position], tested))
            if not config.quiet and config.languages != ALL_LANGUAGES:
                print("  ".join([code, *(f"{name} {values['accuracy'][code][name]:.3f}" for name in heads)]))
    probe = outcomes.pop(PROBE, None)
    write_text(run.directory / "outcomes.jsonl", "".join(line for lines in outcomes.values() for line in lines))
    if probe is not None:
        write_text(run.directory / "outcomes-probe.jsonl", "".join(probe))
    result = _result(values) | {"missing_languages": missing}
    if mapping is not None:
        result |= {"parameters": parameters, "translations": mapping.texts.translations}
    return run.finish(result)


def _predict(
    reader: Reader,
    examples: dict[str, Examples],
    weights: torch.Tensor,
    biases: torch.Tensor,
    task: Task,
    encoding: Encoding,
    fitted: Fitted | None,
) -> dict[str, np.ndarray]:
    """By language, what `xalign.tasks.predict.predict` gives."""
    if fitted is None:
        # All languages in one stream: batches are full, and of similar length, whatever the language.
        every = predict(reader, joined(list(examples.values())), weights, biases, task.positions, encoding)
        ends = np.cumsum([len(tested.labels) for tested in examples.values()])
        return dict(zip(examples, np.split(every, ends[:-1], axis=2), strict=True))
    found = {}
    for code, tested in examples.items():
        with fitted.applied(reader, code):
            found[code] = predict(reader, tested, weights, biases, task.positions, encoding)
    return found


def _layout(encoder: Encoder, max_length: int) -> Layout:
    length = encoder.effective_length(max_length)
    return Layout.of(encoder.tokenizer, encoder.special_ids.tolist(), encoder.model.config.model_type, length, length)


def _score(
    values: dict[str, Values],
    task: Task,
    code: str,
    head: str,
    found: dict[str | None, np.ndarray],
    tested: Examples,
) -> None:
    """Add one head's scores in one language; a position other than the trained one gets an accuracy of its own."""
    for position, predictions in found.items():
        scores = compute(predictions, tested.labels)
        if position == task.position:
            values["accuracy"][code][head] = scores["accuracy"]
            values["macro_f1"][code][head] = scores["macro_f1"]
        elif position is not None:
            values[f"accuracy_{position.replace('-', '_')}"][code][head] = scores["accuracy"]


def _outcomes(code: str, head: str, predictions: np.ndarray, tested: Examples) -> list[str]:
    correct = tested.per_sentence(predictions == tested.labels)
    totals = np.diff(tested.unit_starts)
    seed = head if head == PROBE else int(head)
    return [
        json.dumps({"language": code, "seed": seed, "sentence_id": sentence, "correct": hits, "total": total}) + "\n"
        for sentence, hits, total in zip(tested.ids, correct.tolist(), totals.tolist(), strict=True)
    ]


def _result(values: dict[str, Values]) -> dict[str, Any]:
    """Scores by name, language and seed; the probe's accuracy apart, because it has no seed."""
    result: dict[str, Any] = {
        measure: {code: {head: value for head, value in heads.items() if head != PROBE} for code, heads in by.items()}
        for measure, by in values.items()
    }
    if any(PROBE in heads for heads in values["accuracy"].values()):
        result["probe_accuracy"] = {code: heads[PROBE] for code, heads in values["accuracy"].items()}
    return result
