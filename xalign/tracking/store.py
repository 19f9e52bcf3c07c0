"""The MLflow store of a runs directory: where it lies, how it is opened, and how it spells values.

By default everything stays below the runs directory: ``mlflow.db`` and, as artifact location, ``mlartifacts/``.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xalign.errors import XalignError
from xalign.runs import ARTIFACTS
from xalign.storage import locked
from xalign.tracking import view

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT = "xalign"
METRICS_PER_CALL, PARAMETERS_PER_CALL = 1000, 100  # MLflow refuses more
LONGEST_PARAMETER = 6000  # characters
# MLflow reads these when it is first imported, and its server inherits them: it does not report on the tables it makes,
# and gives up on an unreachable server in seconds, because the end of a training waits for it.
ENVIRONMENT = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}
for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)


def default_store(runs: Path) -> str:
    """MLflow's own variable where it is set, else the SQLite store of a runs directory, as an absolute address."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{runs.resolve() / 'mlflow.db'}"


def without_password(text: str) -> str:
    """Text with its addresses as they may be shown: without the user and password that stand before an @."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)


def artifact_location(runs: Path) -> str:
    """Where the artifacts of a runs directory lie, as an absolute address."""
    return (runs.resolve() / ARTIFACTS).as_uri()


def open_store(runs: Path, store: str | None = None, experiment: str = EXPERIMENT) -> tuple[MlflowClient, str]:
    """A client of the store (default: that of `runs`) and the id of the experiment, which is made if missing.

    Raises:
        XalignError: the store cannot be reached or read.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    address = store or default_store(runs)
    own_server = address.startswith(("http://", "https://"))
    try:
        runs.mkdir(parents=True, exist_ok=True)
        # Two processes that make the tables of one new database at the same time break it.
        with locked(runs / ".mlflow.lock", wait=True):
            client = MlflowClient(tracking_uri=address)
            if found := client.get_experiment_by_name(experiment):
                return client, found.experiment_id
            location = None if own_server else artifact_location(runs)
            return client, client.create_experiment(experiment, artifact_location=location, tags=view.TAGS)
    except (MlflowException, OSError) as error:
        raise XalignError(f"MLflow store {without_password(address)}: {one_line(error)}; check --store") from None


def flatten(value: Any, separator: str, prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one level, keys joined by `separator`; ``_`` for what MLflow's names may not hold."""
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        name = re.sub(r"[^\w .:/-]", "_", str(key), flags=re.ASCII)
        flat |= flatten(inner, separator, f"{prefix}{separator}{name}" if prefix else name)
    return flat


def numbers(record: dict[str, Any]) -> dict[str, float]:
    """The numbers of a nested record as MLflow metrics: ``accuracy/deu/15``. Text, lists, truth values are left out."""
    flat = flatten(record, "/")
    return {name: float(v) for name, v in flat.items() if isinstance(v, int | float) and not isinstance(v, bool)}


def log_parameters(client: MlflowClient, run_id: str, config: dict[str, Any]) -> None:
    """Log a nested configuration as parameters: ``align.steps``."""
    from mlflow.entities import Param

    flat = flatten(config, ".")
    parameters = [Param(name, as_text(value)[:LONGEST_PARAMETER]) for name, value in flat.items()]
    for start in range(0, len(parameters), PARAMETERS_PER_CALL):
        client.log_batch(run_id, params=parameters[start : start + PARAMETERS_PER_CALL])


def log_numbers(client: MlflowClient, run_id: str, record: dict[str, Any], timestamp: int, step: int) -> None:
    """Log the numbers of a nested record as metrics of one step; `timestamp` in milliseconds."""
    from mlflow.entities import Metric

    metrics = [Metric(name, value, timestamp, step) for name, value in numbers(record).items()]
    for start in range(0, len(metrics), METRICS_PER_CALL):
        client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_CALL])


def as_text(value: Any) -> str:
    """A parameter or a tag as MLflow keeps it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def one_line(error: BaseException) -> str:
    """The first 200 characters of an error's text, on one line and without passwords; its type where it has none."""
    return without_password(" ".join(str(error).split()))[:200] or type(error).__name__
