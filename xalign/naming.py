"""How runs are called: the one place that turns what a run is into its name, which is also its place in a grid.

A name is a path relative to the runs directory, and the run's name in MLflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

BASE = "base"
DEFAULT_ALIGN_SEED = 42


def encoder_name(lineage: Mapping[str, Any]) -> str:
    """``base``, or ``<pair>/<loss>`` with ``-seed43`` and ``-step3000`` where they are not the default.

    What methods beyond the paper's alignment did to it follows: ``base+codeswitch``, ``de-en/S1W0M0+lora``,
    ``de-en+realign-before``.
    """
    suffix = f"+{lineage['method']}" if lineage.get("method") else ""
    if not lineage.get("pair"):
        return BASE + suffix
    name = f"{lineage['pair']}/{lineage['loss']}" if lineage.get("loss") else str(lineage["pair"])
    if (lineage.get("align_seed") or DEFAULT_ALIGN_SEED) != DEFAULT_ALIGN_SEED:
        name += f"-seed{lineage['align_seed']}"
    if lineage.get("partial"):
        name += f"-step{lineage['align_step']}"
    return name + suffix


def with_method(lineage: Mapping[str, Any], method: str) -> dict[str, Any]:
    """`lineage` after one more method: methods follow each other with a plus, first one first."""
    before = lineage.get("method")
    return {**lineage, "method": f"{before}+{method}" if before else method}


def align_name(pair: str, loss: str, seed: int = DEFAULT_ALIGN_SEED, method: str | None = None) -> str:
    """Where the grid keeps an alignment run; `method` is what it did beyond the paper."""
    return "align/" + encoder_name({"pair": pair, "loss": loss, "align_seed": seed, "method": method})


def finetune_name(task: str, mode: str, encoder: str) -> str:
    """Where the grid keeps the fine-tuning of an encoder."""
    return f"finetune/{task}/{mode}/{encoder}"


def transfer_name(task: str, mode: str, encoder: str) -> str:
    """Where the grid keeps the zero-shot evaluation of a fine-tuned encoder."""
    return f"transfer/{task}/{mode}/{encoder}"


def languages_name(task: str, mode: str, encoder: str) -> str:
    """Where the grid keeps the zero-shot evaluation of a fine-tuned encoder in all languages of the data."""
    return f"languages/{task}/{mode}/{encoder}"


def retrieve_name(encoder: str) -> str:
    """Where the grid keeps the retrieval scores of an encoder."""
    return f"retrieve/{encoder}"


def distances_name(state: str, encoder: str) -> str:
    """Where the grid keeps distances: of an encoder itself (``encoder``), or as fine-tuned on a task (its name)."""
    return f"distances/{state}/{encoder}"


def gradients_name(task: str, encoder: str) -> str:
    """Where the grid keeps the gradient cosines of an encoder and a task."""
    return f"gradients/{task}/{encoder}"


def calibrate_name(task: str, mode: str) -> str:
    """Where the grid keeps a search for learning rates."""
    return f"calibrate/{task}/{mode}"


def langalign_name(task: str, pair: str, encoder: str, variant: str) -> str:
    """How a LangAlign run is called; `variant` says which network, and what is not as usual."""
    return f"langalign/{task}/{pair}/{encoder}/{variant}"


def joint_name(task: str, encoder: str) -> str:
    """How a joint training of alignment and a task is called."""
    return f"joint/{task}/{encoder}"


def advise_name(task: str, pair: str, encoder: str) -> str:
    """Where advice on a task, a pair and an encoder is kept."""
    return f"advise/{task}/{pair}/{encoder}"


def realign_name(task: str, mode: str, encoder: str) -> str:
    """How a realignment run is called."""
    return f"realign/{task}/{mode}/{encoder}"


def runs_directory(output: Path, name: str) -> Path:
    """The runs directory that `output` belongs to: the one above its name in a grid, else its parent."""
    parts = Path(name).parts
    if output.resolve().parts[-len(parts) :] == parts:
        return output.resolve().parents[len(parts) - 1]
    return output.resolve().parent
