"""Effects that claims are about, each estimated from the runs with a 95 % interval.

An estimator is named in `claims.yaml` with its arguments. It returns None where runs are missing, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xalign.report.claims import Claim, Effect
from xalign.report.evidence import accuracy, encoders, languages
from xalign.report.evidence.sources import Evidence

__all__ = ["ESTIMATORS", "Evidence", "estimate"]

ESTIMATORS: Mapping[str, Callable[..., Effect | None]] = {
    function.__name__: function
    for function in (
        accuracy.accuracy_change,
        accuracy.loss_difference,
        accuracy.main_effect,
        accuracy.mode_difference,
        encoders.cosine_change,
        encoders.group_difference,
        encoders.distance_change,
        encoders.distance_difference,
        encoders.gradient_cosine,
        encoders.gradient_by_english,
        languages.predictor_correlation,
        languages.predictor_difference,
        languages.proximity_correlation,
        languages.script_by_task,
    )
}


def estimate(claim: Claim, evidence: Evidence) -> Effect | None:
    """The effect that a claim is about, or None where runs that it needs are missing."""
    return ESTIMATORS[claim.estimator](evidence, **claim.arguments)
