"""What this machine has, what is missing for a run, and what to do about it.

Everything is looked at and nothing is changed: no process group is started, nothing is downloaded, and no question to
the network lasts longer than `CONNECT_SECONDS`.
"""

from __future__ import annotations

from pathlib import Path

from xalign.doctor.finding import CONNECT_SECONDS, Finding
from xalign.doctor.machine import compilers, devices, disk, installation, launch, memory
from xalign.doctor.requested import data_directory, planned_disk, reachable_model, tracking_store
from xalign.doctor.surroundings import cache, hub, optional_packages

__all__ = ["CONNECT_SECONDS", "Finding", "examine"]


def examine(
    *,
    data: Path | None = None,
    model: str | None = None,
    runs: Path | None = None,
    plan: str | None = None,
    preset: str | None = None,
    network: bool = False,
) -> list[Finding]:
    """Look at the installation and the machine, and at the data, the model and the runs asked for.

    Args:
        plan: a target of the grid whose disk is held against what is free, with `preset`.
        network: also ask whether the hub answers.
    """
    findings = [*installation(), *optional_packages(), *devices(), *launch(), *compilers()]
    findings += [memory(), disk(runs or Path()), cache()]
    if network:
        findings.append(hub())
    if plan is not None:
        findings.append(planned_disk(plan, preset, runs or Path("runs"), model or "mini", data))
    if data is not None:
        findings += data_directory(data)
    if model is not None:
        findings.append(reachable_model(model))
    if runs is not None:
        findings.append(tracking_store(runs))
    return findings
