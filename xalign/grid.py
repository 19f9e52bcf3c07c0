"""The experiment matrix: which runs a table needs, in which order, and what became of them.

Dependencies between runs stand here and nowhere else: fine-tuning needs its encoder, transfer its fine-tuned model,
a table its transfers.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xalign.config import GridConfig, build, identity, parse_assignments
from xalign.config.phases import PHASES
from xalign.engine.launch import with_precision
from xalign.errors import UsageError
from xalign.model_source import find_model
from xalign.naming import BASE, align_name, encoder_name, finetune_name, transfer_name
from xalign.runs import state_of
from xalign.storage import read_json

TARGETS = {"align": "align", "finetune": "finetune", "transfer": "transfer", "table1": "transfer"}
ORDER = ("align", "finetune", "transfer")


@dataclass(frozen=True)
class Job:
    """One run of the matrix.

    Attributes:
        name: its name, and its place below the runs directory.
        phase: which phase makes it.
        options: the phase's options that differ from the preset.
        needs: name of the run whose output it reads, if one does.
    """

    name: str
    phase: str
    options: Mapping[str, str]
    needs: str | None = None


@dataclass(frozen=True)
class Grid:
    """The runs of one experiment below one directory."""

    runs: Path
    preset: str
    model: str
    data: str | None
    config: GridConfig
    assignments: tuple[str, ...] = field(default=())

    @staticmethod
    def build(runs: Path, *, preset: str, model: str, data: str | None, assignments: list[str]) -> Grid:
        """Read the matrix from a preset's ``grid`` section and ``--set`` assignments."""
        config = build(GridConfig, preset, parse_assignments("grid", assignments))
        return Grid(runs, preset, model, data, config, tuple(assignments))

    def jobs(self, target: str) -> list[Job]:
        """The runs that a phase or table needs, each after the one it reads.

        Raises:
            UsageError: an unknown target.
        """
        if target not in TARGETS:
            raise UsageError(f"grid target {target!r} is unknown: choose from {', '.join(TARGETS)}")
        last = ORDER.index(TARGETS[target])
        align = list(self._align_jobs())
        found = list(align)
        if last >= 1:
            finetune = list(self._finetune_jobs(align))
            found += finetune
            if last >= 2:
                found += self._transfer_jobs(finetune)
        return found

    def _align_jobs(self) -> Iterator[Job]:
        for pair in self.config.pairs:
            for loss in self.config.losses:
                for seed in self.config.align_seeds:
                    options = {"pair": pair, "loss": loss, "seed": str(seed), "model": self.model}
                    yield Job(align_name(pair, loss, seed), "align", options)

    def _finetune_jobs(self, align: list[Job]) -> Iterator[Job]:
        encoders: list[tuple[str, str, str | None]] = [(BASE, self.model, None)]
        for job in align:
            lineage = {"pair": job.options["pair"], "loss": job.options["loss"], "align_seed": int(job.options["seed"])}
            encoders.append((encoder_name(lineage), str(self.runs / job.name), job.name))
        for task in self.config.tasks:
            for mode in self.config.modes:
                for encoder, model, needs in encoders:
                    options = {"task": task, "mode": mode, "model": model}
                    yield Job(finetune_name(task, mode, encoder), "finetune", options, needs)

    def _transfer_jobs(self, finetune: list[Job]) -> list[Job]:
        jobs = []
        for job in finetune:
            encoder = job.name.split("/", 3)[3]
            name = transfer_name(job.options["task"], job.options["mode"], encoder)
            jobs.append(Job(name, "transfer", {"model": str(self.runs / job.name)}, job.name))
        return jobs

    def given(self, job: Job) -> dict[str, Any]:
        """All options of a job as the command line would give them."""
        given: dict[str, Any] = {**job.options, "data": self.data, "output": str(self.runs / job.name)}
        return given | parse_assignments(job.phase, self._assignments_of(job.phase))

    def configuration(self, job: Job, **execution: Any) -> Any:
        """The built configuration of a job."""
        return build(PHASES[job.phase], self.preset, self.given(job) | execution)

    def _assignments_of(self, phase: str) -> list[str]:
        return [text for text in self.assignments if text.startswith(f"{phase}.")]

    def command(self, job: Job, launch: Path | None = None) -> list[str]:
        """The command line that makes a job, alone or as a launch of its own."""
        words = ["xalign", job.phase]
        if launch is not None and job.phase != "transfer":
            words = ["accelerate", "launch", "--main_process_port", "0", "--config_file", str(launch), "-m", *words]
        for name, value in job.options.items():
            words += [f"--{name}", value]
        words += ["--preset", self.preset, "--output", str(self.runs / job.name)]
        if self.data is not None:
            words += ["--data", self.data]
        for text in self._assignments_of(job.phase):
            words += ["--set", text]
        return words

    def state(self, job: Job) -> str:
        """``complete``, ``stale``, ``failed``, ``incomplete`` or ``missing``, from the records alone.

        *Stale*: made with other options than these, or from an upstream run that has changed since.
        """
        directory = self.runs / job.name
        state = state_of(directory)
        if state == "missing":
            return state
        record = read_json(directory / "run.json")
        for upstream in record["upstream"]:
            source = Path(upstream["path"]) / "run.json"
            if source.is_file() and read_json(source)["key"] != upstream["key"]:
                return "stale"
        config = self.configuration(job)
        resolved = with_precision(config) if hasattr(config, "precision") else config
        wanted = {k: list(v) if isinstance(v, tuple) else v for k, v in identity(resolved).items()}
        made = {name: record["config"].get(name) for name in wanted}
        return state if made == wanted else "stale"

    def plan(self, target: str, launch: Path | None = None) -> list[str]:
        """What `run` would do: a line for each missing run, and what they take together."""
        from xalign.grid_costs import estimate

        jobs = self.jobs(target)
        states = {job.name: self.state(job) for job in jobs}
        todo = [job for job in jobs if states[job.name] != "complete"]
        lines = [f"# {states[job.name]}\n{shlex.join(self.command(job, launch))}" for job in todo]
        return [*lines, *estimate(self, jobs, todo)]

    def status(self, target: str) -> list[str]:
        """A line for each run, and the count of each state."""
        jobs = self.jobs(target)
        states = [self.state(job) for job in jobs]
        lines = []
        for job, state in zip(jobs, states, strict=True):
            why = f"  {read_json(self.runs / job.name / 'failed.json')['error']}" if state == "failed" else ""
            lines.append(f"{state:<10} {job.name}{why}")
        counts = {state: states.count(state) for state in sorted(set(states))}
        return [*lines, ", ".join(f"{count} {state}" for state, count in counts.items())]

    def run(self, target: str, **options: Any) -> None:
        """Make what is missing; see `xalign.grid_runner.run_jobs`."""
        from xalign.grid_runner import run_jobs

        find_model(self.model)  # a model that cannot be had is one error, not one for each run
        run_jobs(self, self.jobs(target), **options)
