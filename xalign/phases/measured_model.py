"""What an analysis measures: an encoder, or the encoders that full fine-tuning left behind, one a seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xalign.errors import UsageError
from xalign.model_source import ModelSource, find_model
from xalign.naming import encoder_name
from xalign.runs import require_complete
from xalign.storage import read_json
from xalign.tasks.finetuned import read_finetuned

LINEAGE = dict.fromkeys(("encoder", "pair", "loss", "align_seed", "align_step", "task", "mode"))
ENCODER = "encoder"


@dataclass(frozen=True)
class MeasuredModel:
    """One or several encoders that differ in their seed alone.

    Attributes:
        encoders: by seed; a single one under the name ``encoder`` where nothing was fine-tuned.
        lineage: what earlier phases recorded, with all keys of `LINEAGE`.
        weights: digest that identifies all of them.
        upstream: run directory and key of the run that made them, if one did.
    """

    encoders: dict[str, ModelSource]
    lineage: dict[str, Any]
    weights: str
    upstream: list[dict[str, str]]

    @property
    def task(self) -> str | None:
        """What the encoders were fine-tuned on, if they were."""
        task: str | None = self.lineage["task"]
        return task

    @property
    def encoder(self) -> str:
        """``base``, or what it was aligned on, as `xalign.naming` calls it."""
        return encoder_name(self.lineage)

    @property
    def state(self) -> str:
        """``base``, ``aligned``, ``base+pos``, ``aligned+topic`` …"""
        return ("aligned" if self.lineage["pair"] else "base") + (f"+{self.task}" if self.task else "")


def measured_encoder(name: str) -> MeasuredModel:
    """The encoder of a MODEL argument.

    Raises:
        UsageError: there is none of that name, or it is a fine-tuned model.
        XalignError: a run directory without its encoder.
    """
    source = find_model(name)
    upstream = [source.upstream] if source.upstream is not None else []
    return MeasuredModel(
        {ENCODER: source}, {**LINEAGE, **source.lineage, "encoder": source.name}, source.digest, upstream
    )


def measured_model(name: str) -> MeasuredModel:
    """The encoder of a MODEL argument, or those of a full fine-tuning run.

    Raises:
        UsageError: there is none of that name, or it was fine-tuned with a frozen encoder.
        XalignError: an unfinished or damaged run.
    """
    path = Path(name)
    if not (path / "run.json").is_file() or read_json(path / "run.json")["phase"] != "finetune":
        return measured_encoder(name)
    if require_complete(path)["lineage"]["mode"] != "full":
        raise UsageError(f"{path}: fine-tuned with a frozen encoder, which stayed as it was; measure that encoder")
    tuned = read_finetuned(path)
    upstream = [{"path": str(path), "key": tuned.record["key"]}]
    encoders = {heads[0]: source for source, heads in tuned.encoders}
    return MeasuredModel(encoders, {**LINEAGE, **tuned.record["lineage"]}, tuned.digest, upstream)
