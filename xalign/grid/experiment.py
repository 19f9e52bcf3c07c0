"""An experiment: the runs of the grid below one directory, their command lines, and what became of them."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xalign.config import GridConfig, build, identity, parse_assignments, plain
from xalign.config.registry import PHASES
from xalign.engine.launch import with_precision
from xalign.grid.matrix import Job, Matrix
from xalign.model_source import find_model
from xalign.runs import ARCHIVE, state_of
from xalign.storage import naming_damage, read_record


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
        return Matrix(self.runs, self.model, self.config, self.configuration).jobs(target)

    def given(self, job: Job) -> dict[str, Any]:
        """All options of a job as the command line would give them."""
        given: dict[str, Any] = {**job.options, "data": self.data, "output": str(self.runs / job.name)}
        return given | parse_assignments(job.phase, self._assignments_of(job))

    def configuration(self, job: Job, **execution: Any) -> Any:
        """The built configuration of a job."""
        return build(PHASES[job.phase], self.preset, self.given(job) | execution)

    def _assignments_of(self, job: Job) -> list[str]:
        """What ``--set`` says about a job's phase. A run in all languages is one, whatever others are tested in."""
        found = [text for text in self.assignments if text.startswith(f"{job.phase}.")]
        return [text for text in found if "languages" not in job.options or not text.startswith("transfer.languages=")]

    def command(self, job: Job, launch: Path | None = None) -> list[str]:
        """The command line that makes a job, alone or as a launch of its own."""
        words = ["xalign", job.phase]
        if launch is not None and job.phase in ("align", "finetune"):
            words = ["accelerate", "launch", "--main_process_port", "0", "--config_file", str(launch), "-m", *words]
        for name, value in job.options.items():
            words += [f"--{name}", value]
        words += ["--preset", self.preset, "--output", str(self.runs / job.name)]
        if self.data is not None:
            words += ["--data", self.data]
        for text in self._assignments_of(job):
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
        record = read_record(directory / "run.json", config=dict, upstream=list)
        with naming_damage(directory / "run.json"):
            for upstream in record["upstream"]:
                source = Path(upstream["path"]) / "run.json"
                if source.is_file() and read_record(source).get("key") != upstream["key"]:
                    return "stale"
        config = self.configuration(job)
        resolved = with_precision(config) if hasattr(config, "precision") else config
        wanted = plain(identity(resolved))
        # An option that is younger than the run had its default's effect.
        defaults = plain({field.name: field.default for field in dataclasses.fields(resolved)})
        made = {name: record["config"].get(name, defaults[name]) for name in wanted}
        return state if made == wanted else "stale"

    def plan(self, target: str, launch: Path | None = None) -> list[str]:
        """What `run` would do: a line for each missing run, and what they take together."""
        from xalign.grid.costs import estimate

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
            why = f"  {read_record(self.runs / job.name / 'failed.json').get('error')}" if state == "failed" else ""
            lines.append(f"{state:<10} {job.name}{why}")
        counts = {state: states.count(state) for state in sorted(set(states))}
        return [*lines, ", ".join(f"{count} {state}" for state, count in counts.items())]

    def listing(self, target: str, launch: Path | None = None) -> list[dict[str, str]]:
        """Each run of a target as a record: ``name``, ``phase``, ``state``, and the ``command`` that makes it."""
        return [
            {"name": job.name, "phase": job.phase, "state": self.state(job)}
            | {"command": shlex.join(self.command(job, launch))}
            for job in self.jobs(target)
        ]

    def run(self, target: str, **options: Any) -> None:
        """Make what is missing; see `xalign.grid.runner.run_jobs`. An archive stays as it is."""
        from xalign.grid.runner import run_jobs

        if (self.runs / ARCHIVE).is_file():
            print(f"{self.runs}: an archive of records without models; nothing is run", flush=True)
            return
        find_model(self.model)  # a model that cannot be had is one error, not one for each run
        run_jobs(self, self.jobs(target), **options)
