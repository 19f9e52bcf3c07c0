"""How MLflow's page shows the runs: which columns stand first, in which order, and at which address.

MLflow keeps a view that was shared as a tag of the experiment, and opens it where the address names it. Ours puts what
a run is (pair, loss, task, mode) beside the name, then what it reached, the best transfer on top.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

LOOPBACK = "127.0.0.1"
NAME = "xalign"
AVERAGE = "accuracy/average"
# Column and width in pixels, so that the accuracy is seen without scrolling.
COLUMNS = {
    "attributes.`Run Name`": 260,
    "tags.`pair`": 70,
    "tags.`loss`": 80,
    "tags.`task`": 70,
    "tags.`mode`": 70,
    f"metrics.`{AVERAGE}`": 130,
    "tags.`phase`": 90,
    "tags.`encoder`": 90,
    "metrics.`validation/mean_cosine`": 170,
    "metrics.`seconds`": 90,
}
VIEW = {
    "selectedColumns": [name for name in COLUMNS if not name.startswith("attributes")],
    "columnOrder": list(COLUMNS),
    "columnWidths": COLUMNS,
    "orderByKey": f"metrics.`{AVERAGE}`",
    "orderByAsc": False,
}
# One line: MLflow hides what is longer.
DESCRIPTION = "*accuracy/average*: over seeds and languages but English. Sort by *Created* to see what came of what."
TAGS = {
    # Without this tag MLflow opens the experiment in its view for language-model traces, which hides the charts.
    "mlflow.experimentKind": "custom_model_development",
    f"mlflow.sharedViewState.{NAME}": json.dumps(VIEW),
    "mlflow.note.content": DESCRIPTION,
}


def with_average(result: dict[str, Any]) -> dict[str, Any]:
    """A result with the mean accuracy over seeds and languages, English left out where there are others.

    MLflow has no means over metrics, and a table of runs needs one number of each.
    """
    accuracy = result.get("accuracy")
    by_language = accuracy if isinstance(accuracy, dict) else {}
    means = {
        language: sum(by_seed.values()) / len(by_seed)
        for language, by_seed in by_language.items()
        if isinstance(by_seed, dict) and by_seed and all(isinstance(v, int | float) for v in by_seed.values())
    }
    counted = [mean for language, mean in means.items() if language != "eng"]
    return result | {AVERAGE: round(sum(counted) / len(counted), 4)} if counted else result


def refresh(client: MlflowClient, experiment_id: str) -> None:
    """Give an experiment of an earlier version the view of this one; a description that was edited is kept."""
    present = client.get_experiment(experiment_id).tags
    for name, value in TAGS.items():
        if present.get(name) != value and not (name == "mlflow.note.content" and name in present):
            client.set_experiment_tag(experiment_id, name, value)


def address(port: int, experiment_id: str) -> str:
    """The page with the runs of an experiment, on this machine."""
    question = urlencode({"workflowType": "machine_learning", "viewStateShareKey": NAME})
    return f"http://{LOOPBACK}:{port}/#/experiments/{experiment_id}/runs?{question}"
