"""What might predict transfer, one value for each unit: a model in one target language, in one task and mode.

A predictor is read on the pair English–target, as a change against the unaligned encoder wherever it is a property of
the encoder, or on the model's own alignment pair, where it is the same for all targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from xalign.config.analyses import LAYERS, MAIN_LAYER
from xalign.data.languages import parse_pair
from xalign.hidden_states import resolve_layer
from xalign.report.analyses import Analysis, Line
from xalign.report.averages import BASE_MODEL, Model, Values, by_model, changes, language_pair
from xalign.report.estimates import ENGLISH, Block

RETRIEVAL_PREDICTORS = ("mean_cosine", "separation", "recall_at_1", "nn_weak", "nn_strong", "margin", "auc", "xsim")
GRADIENT_COLUMNS = {
    "gradient_cosine_raw": "cosine",
    "gradient_cosine": "cosine_corrected",
    "magnitude_similarity": "magnitude_similarity",
}
MAIN_GROUP = "shared"


@dataclass(frozen=True)
class Unit:
    """One aligned model in one target language: its change in accuracy against the base, and what may predict it.

    `drop` is Gaschi's transfer loss: (accuracy in the target − accuracy in English) / accuracy in English.
    """

    task: str
    mode: str
    model: Model
    language: str
    change: float
    drop: float
    predictors: Mapping[str, float]


def make_units(
    blocks: Iterable[Block],
    retrieval: list[Analysis],
    distances: list[Analysis],
    gradients: list[Analysis],
) -> list[Unit]:
    """All units of all blocks; English is no target. A predictor without a run or a value is absent from its unit."""
    blocks = list(blocks)
    models = {(cell.pair, cell.loss) for block in blocks for cell in block.cells if cell.aligned}
    by_language = [*retrieval_predictors(retrieval), *distance_predictors(distances)]
    units = []
    for block in blocks:
        task_gradients = gradient_predictors(gradients, block.task)
        english = block.languages.index(ENGLISH) if ENGLISH in block.languages else None
        for cell, measured in block.cells.items():
            model = (cell.pair, cell.loss)
            if model not in models or block.base is None:
                continue
            accuracy, before = measured.observed.mean(axis=(0, 1)), block.base.observed.mean(axis=(0, 1))
            for column, language in enumerate(block.languages):
                if language == ENGLISH:
                    continue
                found = {
                    name: value
                    for name, read in (*by_language, *task_gradients)
                    if (value := read(model, language)) is not None
                }
                top = accuracy[english] if english is not None else 0.0
                drop = float((accuracy[column] - top) / top) if top > 0 else float("nan")
                change = float(accuracy[column] - before[column])
                units.append(Unit(block.task, block.mode, model, language, change, drop, found))
    return units


Predictor = tuple[str, Callable[[Model, str], float | None]]


def retrieval_predictors(records: list[Analysis]) -> list[Predictor]:
    """Changes of the retrieval measures at the main layer, between English and the target, and on the model's pair."""
    if not records:
        return []
    layer = resolve_layer(MAIN_LAYER, records[0].depth)
    found: list[Predictor] = []
    for column in RETRIEVAL_PREDICTORS:
        values = changes(by_model(lines_at(records, "retrieval", layer), column))
        found.append((column, _with_english(values)))
        if column == "recall_at_1":
            found.append(("recall_at_1_on_own_pair", _on_own_pair(values)))
    return found


def distance_predictors(records: list[Analysis]) -> list[Predictor]:
    """Changes of the distance of translated sentences at each layer, raw and normalised."""
    own = [record for record in records if record.task is None]
    if not own:
        return []
    found: list[Predictor] = []
    for share in LAYERS:
        layer = resolve_layer(share, own[0].depth)
        for column in ("distance", "normalised"):
            values = changes(by_model(lines_at(own, "distances", layer, level="sentence"), column))
            name = column if share == MAIN_LAYER else f"{column}_layer_{layer}"
            found.append((name, _with_english(values)))
    return found


def lines_at(
    records: Iterable[Analysis], file: str, layer: int, *, level: str | None = None
) -> list[tuple[Model, list[Line]]]:
    """For each run its model and its lines at one layer, and of one level (``sentence``, ``word``) if given."""
    return [
        (
            (record.pair, record.loss),
            [line for line in record.lines[file] if line["layer"] == layer and level in (None, line.get("level"))],
        )
        for record in records
    ]


def gradient_predictors(records: list[Analysis], task: str) -> list[Predictor]:
    """Cosines of gradients: of the task with the alignment objective, and of the target's task loss with English's."""
    of_task = {(record.pair, record.loss): record for record in records if record.task == task}

    def with_alignment(column: str) -> Callable[[Model, str], float | None]:
        def read(model: Model, language: str) -> float | None:
            for line in of_task[model].lines["gradients"] if model in of_task else ():
                if line["view"] == "task-alignment" and line["group"] == MAIN_GROUP and line["second"] == model[1]:
                    value: float | None = line[column]
                    return value
            return None

        return read

    def with_english(model: Model, language: str) -> float | None:
        for line in of_task[model].lines["gradients"] if model in of_task else ():
            names = {line["first"], line["second"]}
            if line["view"] == "task-language" and line["group"] == MAIN_GROUP and names == {ENGLISH, language}:
                value: float | None = line["cosine_corrected"]
                return value
        return None

    def lookahead(model: Model, language: str) -> float | None:
        for line in of_task[model].lines.get("lookahead", ()) if model in of_task else ():
            if line["language"] == language and line["loss"] == model[1]:
                value: float | None = line["change"]
                return value
        return None

    found: list[Predictor] = [(name, with_alignment(column)) for name, column in GRADIENT_COLUMNS.items()]
    return [*found, ("language_gradient_cosine", with_english), ("lookahead", lookahead)]


def _with_english(values: Mapping[Model, Values]) -> Callable[[Model, str], float | None]:
    return lambda model, language: values.get(model, {}).get(language_pair(language, ENGLISH))


def _on_own_pair(values: Mapping[Model, Values]) -> Callable[[Model, str], float | None]:
    def read(model: Model, language: str) -> float | None:
        if model == BASE_MODEL:
            return None
        first, second = parse_pair(model[0])
        return values.get(model, {}).get(language_pair(first.code, second.code))

    return read
