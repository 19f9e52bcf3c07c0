"""What predicts transfer: correlations with every predictor, the hypotheses, and the verdict on every claim.

Correlations stay within a task and mode; pooling over them would correlate tasks, not models. Claims are judged by the
rules of `claims.yaml`, which stand before the runs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from xalign.analysis.correlations import Correlation, correlate, language_permutation_p_value, mean_correlation
from xalign.analysis.proximity import MEASURES
from xalign.data.flores import load_flores
from xalign.data.languages import find
from xalign.errors import UsageError, XalignError
from xalign.model_source import find_model
from xalign.phases.inputs import open_data
from xalign.report.analyses import Analyses, Analysis, collect_analyses
from xalign.report.analyses import select_step as select_analyses
from xalign.report.claims import decide, read_claims
from xalign.report.consistency import require_comparable, select_step
from xalign.report.estimates import make_blocks
from xalign.report.evidence import Evidence, estimate
from xalign.report.evidence.languages import changes_by_language, proximities
from xalign.report.layout import block_name, titled
from xalign.report.predictors import Unit, make_units
from xalign.report.records import TransferRecord, collect_transfers
from xalign.report.render import Report, Table, Value

HYPOTHESES = ("HI", "HII")
PREDICTOR_COLUMNS = (
    *("task", "mode", "outcome", "predictor", "rho", "low", "high", "p_value"),
    *("without_pair_low", "without_pair_high", "units"),
)
CLAIM_COLUMNS = ("id", "claim", "source", "estimate", "low", "high", "expected", "threshold", "verdict", "over")
PROXIMITY_COLUMNS = ("task", "mode", "to", "measure", "mean_rho", "p_value", "models", "languages")
OUTCOMES = {"change": "change in accuracy", "drop": "transfer loss against English"}
DRAWS = 500


def predict(runs: Path, *, step: int | None = None, hypothesis: str | None = None, draws: int = DRAWS) -> Report:
    """Correlate predictors with transfer, and judge the claims.

    Args:
        runs: directory that holds the runs, at any depth; analyses that were not run are left out and named.
        step: alignment step of the encoders; None is the last one found.
        hypothesis: ``HI`` or ``HII``: only the claims and tables about it.
        draws: bootstrap samples, and permutations.

    Raises:
        UsageError: an unknown hypothesis, no transfer runs, a step that no run has.
        XalignError: runs that are broken, stale or not comparable.
    """
    if hypothesis is not None and hypothesis not in HYPOTHESES:
        raise UsageError(f"--hypothesis {hypothesis} is unknown: choose from {', '.join(HYPOTHESES)}")
    evidence, missing = gather(runs, step, draws)
    encoder = next(iter(evidence.blocks[0].cells.values())).records[0]

    def under(table: Table, text: str) -> Table:
        return dataclasses.replace(table, title=titled(text, encoder.encoder, encoder.testbed))

    verdicts = claims_table(evidence, hypothesis)
    correlations, near = predictor_data(evidence.units, draws), proximity_data(evidence, draws)
    tables = [under(shown_claims(verdicts), "Claims and verdicts")]
    if hypothesis is None:
        tables += [
            under(shown_predictors(correlations, task, mode, outcome),
                   f"What predicts the {OUTCOMES[outcome]}: {block_name(task, mode)}")
            for outcome in OUTCOMES
            for task, mode in dict.fromkeys((unit.task, unit.mode) for unit in evidence.units)
        ]  # fmt: skip
    if hypothesis in (None, "HI"):
        tables.append(under(near, "HI: do targets near to the alignment or the fine-tuning languages gain more?"))
    notes = tuple(f"No {phase} runs: what rests on them is left out." for phase in missing)
    notes += (
        "Spearman's ρ over units (aligned model × target language without English), within a task and mode; interval: "
        "95 %, bootstrap over languages; p: permutation within alignment pairs; then the range of ρ without one pair.",
        "Verdicts follow rules written before the runs (xalign/report/claims.yaml): the whole interval has to "
        "lie on one side of the threshold; 'orthogonal' is an interval inside ±0.1.",
    )
    tables.append(Table("Notes", (), (), notes))
    name = "predict" if hypothesis is None else f"predict-{hypothesis}"
    data = {f"{name}-claims": verdicts, f"{name}-proximity": near}
    if hypothesis is None:
        data[name] = correlations
    return Report(name, tuple(tables), data)


def gather(runs: Path, step: int | None, draws: int = DRAWS) -> tuple[Evidence, list[str]]:
    """Everything below `runs` that claims may rest on, and the phases without a complete run."""
    transfers, _ = select_step(collect_transfers(runs), step)
    require_comparable(transfers.complete)
    if not transfers.complete:
        raise UsageError(f"{runs}: no complete transfer run; make them with 'xalign grid run table1 --runs {runs}'")
    found: dict[str, list[Analysis]] = {}
    for phase in ("retrieve", "distances", "gradients"):
        try:
            found[phase] = select_analyses(collect_analyses(runs, phase), step)[0]
        except UsageError:
            found[phase] = select_analyses(Analyses(), None)[0]
    blocks = tuple(make_blocks(transfers.complete, draws=draws))
    units = make_units(blocks, found["retrieve"], found["distances"], found["gradients"])
    testbed = testbed_of(transfers.complete[0])
    subwords = subwords_of(found["retrieve"])
    evidence = Evidence(
        blocks, tuple(units), found["retrieve"], found["distances"], found["gradients"], testbed, subwords
    )
    return evidence, [phase for phase, records in found.items() if not records]


def testbed_of(record: TransferRecord) -> Path | None:
    """The testbed that a run was tested on; None for real data, and where it is gone."""
    if not record.testbed:
        return None
    try:
        return open_data(record.chain.runs[0]["config"]["data"]).path
    except UsageError:
        return None


def subwords_of(retrieval: list[Analysis]) -> dict[str, set[int]]:
    """The subword ids of each language's FLORES sentences; empty where the base's model or the data are gone."""
    base = next((record for record in retrieval if not record.aligned), None)
    if base is None:
        return {}
    from xalign.encoder import load_encoder  # with torch: seconds that no other table needs

    config = base.chain.runs[0]["config"]
    try:
        tokenizer = load_encoder(find_model(config["model"])).tokenizer
        data = open_data(config["data"])
        codes = {line[side] for line in base.lines["retrieval"] for side in ("source", "target")}
        texts = {code: load_flores(data.flores(find(code), "devtest")) for code in sorted(codes)}
    except XalignError:
        return {}
    return {code: {i for ids in tokenizer(lines, add_special_tokens=False)["input_ids"] for i in ids}
            for code, lines in texts.items()}  # fmt: skip


def claims_table(evidence: Evidence, hypothesis: str | None = None) -> Table:
    """One line a claim: its effect, the rule, and the verdict."""
    rows: list[tuple[Value, ...]] = []
    for claim in read_claims():
        if hypothesis is not None and not claim.id.startswith(f"{hypothesis}-"):
            continue
        effect = estimate(claim, evidence)
        numbers = (None, None, None) if effect is None else (effect.estimate, effect.low, effect.high)
        verdict, over = decide(claim, effect), None if effect is None else effect.over
        rows.append((claim.id, claim.claim, claim.source, *numbers, claim.expected, claim.threshold, verdict, over))
    return Table("Claims and verdicts", CLAIM_COLUMNS, tuple(rows))


def shown_claims(data: Table) -> Table:
    """The verdicts for people: claim, effect with interval, rule, verdict."""
    rows = [
        (row[1], None if row[3] is None else f"{row[3]:+.3f} [{row[4]:+.3f}, {row[5]:+.3f}]",
         f"{row[6]} {'±' * (row[6] == 'inside')}{row[7]:g}", row[8])
        for row in data.rows
    ]  # fmt: skip
    return Table(data.title, ("claim", "effect", "expected", "verdict"), tuple(rows))


def predictor_data(units: Sequence[Unit], draws: int = DRAWS) -> Table:
    """One line for each predictor, outcome, task and mode."""
    rows: list[tuple[Value, ...]] = []
    names = list(dict.fromkeys(name for unit in units for name in unit.predictors))
    for task, mode in dict.fromkeys((unit.task, unit.mode) for unit in units):
        for outcome in OUTCOMES:
            for name in names:
                found = correlation([u for u in units if (u.task, u.mode) == (task, mode)], name, outcome, draws)
                if found is not None:
                    limits = (found.without_pair_low, found.without_pair_high)
                    numbers = (found.rho, found.low, found.high, found.p_value)
                    rows.append((task, mode, outcome, name, *numbers, *limits, found.units))
    return Table("Predictors of transfer", PREDICTOR_COLUMNS, tuple(rows))


def correlation(units: Sequence[Unit], predictor: str, outcome: str, draws: int = DRAWS) -> Correlation | None:
    """A predictor's correlation with an outcome over the units that have both."""
    present = [u for u in units if predictor in u.predictors and math.isfinite(getattr(u, outcome))]
    return correlate(
        [u.predictors[predictor] for u in present], [getattr(u, outcome) for u in present],
        pairs=[u.model[0] for u in present], languages=[u.language for u in present], draws=draws,
    )  # fmt: skip


def shown_predictors(data: Table, task: str, mode: str, outcome: str) -> Table:
    """The predictors of one block for people, the strongest first."""
    rows = [row for row in data.rows if row[:3] == (task, mode, outcome)]
    rows.sort(key=lambda row: -abs(float(row[4] or 0)))
    shown = [
        (row[3], f"{row[4]:+.2f}", f"[{row[5]:+.2f}, {row[6]:+.2f}]", row[7],
         None if row[8] is None else f"{row[8]:+.2f} … {row[9]:+.2f}", row[10])
        for row in rows
    ]  # fmt: skip
    return Table(data.title, ("predictor", "ρ", "interval", "p", "without a pair", "units"), tuple(shown))


def proximity_data(evidence: Evidence, draws: int = DRAWS) -> Table:
    """HI: for each task, mode and measure of proximity, the mean ρ over models and its p over permuted languages."""
    rows: list[tuple[Value, ...]] = []
    for task, mode in dict.fromkeys((unit.task, unit.mode) for unit in evidence.units):
        models = changes_by_language([u for u in evidence.units if (u.task, u.mode) == (task, mode)])
        for to in ("alignment", "english"):
            for measure in MEASURES:
                found = proximities(evidence, models, to, measure)
                if found is not None:
                    x, y = found
                    p_value = language_permutation_p_value(x, y, draws=draws)
                    rows.append((task, mode, to, measure, float(mean_correlation(x, y)), p_value, len(y), y.shape[1]))
    return Table("HI: proximity and gains", PROXIMITY_COLUMNS, tuple(rows))
