"""The experiment matrix: which runs a table needs, in which order, and what became of them.

Dependencies between runs stand here and nowhere else: fine-tuning needs its encoder, transfer its fine-tuned model,
a table its transfers.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xalign.config import ALL_LANGUAGES, GridConfig, build, identity, parse_assignments, plain
from xalign.config.registry import PHASES
from xalign.engine.launch import with_precision
from xalign.errors import UsageError
from xalign.model_source import find_model
from xalign.naming import (
    BASE,
    align_name,
    distances_name,
    encoder_name,
    finetune_name,
    gradients_name,
    languages_name,
    retrieve_name,
    transfer_name,
)
from xalign.runs import ARCHIVE, state_of
from xalign.storage import naming_damage, read_record

TARGETS = {
    "align": ("align",),
    "finetune": ("finetune",),
    "transfer": ("transfer",),
    "retrieve": ("retrieve",),
    "distances": ("distances",),
    "gradients": ("gradients",),
    "table1": ("transfer",),
    "table2": ("retrieve",),
    "tableC": ("retrieve",),
    "table3": ("gradients",),
    "figure1": ("distances",),
    "stages": ("transfer", "retrieve", "distances"),
    "languages": ("languages",),
    "all": ("transfer", "retrieve", "distances", "gradients"),
}
"""What each table or figure is made from: the phases whose runs, and those they read, it needs.

*languages* are transfer runs in all languages of the data: a claim of its own, so not part of *all*.
"""


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
class Encoder:
    """An encoder of the matrix: its name, the MODEL argument that finds it, and the run that makes it, if one does."""

    name: str
    model: str
    needs: str | None = None


def _encoder_of(job: Job) -> str:
    """The encoder's name in the name of a fine-tuning run."""
    return job.name.split("/", 3)[3]


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
        align = list(self._align_jobs())
        encoders = [Encoder(BASE, self.model), *(self._aligned(job) for job in align)]
        if target == "stages":
            encoders += [encoder for job in align for encoder in self._kept(job)]
        finetune = list(self._finetune_jobs(encoders))
        heads = [self._finetune_job("topic", "linear", encoder) for encoder in encoders]
        made = {
            "align": align,
            "finetune": finetune,
            "transfer": [self._transfer_job(job) for job in finetune],
            "languages": [self._languages_job(job) for job in heads],
            "retrieve": [self._analysis_job("retrieve", retrieve_name(e.name), e) for e in encoders],
            "distances": list(self._distances_jobs(encoders, finetune)),
            "gradients": list(self._gradients_jobs(encoders, finetune)),
        }
        known = {job.name: job for jobs in (heads, *made.values()) for job in jobs}
        wanted: dict[str, Job] = {}

        def add(job: Job) -> None:
            if job.needs is not None:
                add(known[job.needs])
            wanted[job.name] = job

        for phase in TARGETS[target]:
            for job in made[phase]:
                add(job)
        return sorted(wanted.values(), key=lambda job: list(made).index(job.phase))

    def _align_jobs(self) -> Iterator[Job]:
        for pair in self.config.pairs:
            for loss in self.config.losses:
                for seed in self.config.align_seeds:
                    options = {"pair": pair, "loss": loss, "seed": str(seed), "model": self.model}
                    yield Job(align_name(pair, loss, seed), "align", options)

    def _aligned(self, job: Job) -> Encoder:
        lineage = {"pair": job.options["pair"], "loss": job.options["loss"], "align_seed": int(job.options["seed"])}
        return Encoder(encoder_name(lineage), str(self.runs / job.name), job.name)

    def _kept(self, job: Job) -> Iterator[Encoder]:
        """The encoders that an alignment run keeps on its way."""
        config = self.configuration(job)
        for step in config.keep_steps:
            if step < config.steps:
                lineage = {"pair": config.pair, "loss": config.loss, "align_seed": config.seed, "align_step": step}
                model = str(self.runs / job.name / f"encoder-step{step}")
                yield Encoder(encoder_name(lineage | {"partial": True}), model, job.name)

    def _finetune_jobs(self, encoders: list[Encoder]) -> Iterator[Job]:
        for task in self.config.tasks:
            for mode in self.config.modes:
                yield from (self._finetune_job(task, mode, encoder) for encoder in encoders)

    def _finetune_job(self, task: str, mode: str, encoder: Encoder) -> Job:
        options = {"task": task, "mode": mode, "model": encoder.model}
        return Job(finetune_name(task, mode, encoder.name), "finetune", options, encoder.needs)

    def _transfer_job(self, job: Job) -> Job:
        name = transfer_name(job.options["task"], job.options["mode"], _encoder_of(job))
        return Job(name, "transfer", {"model": str(self.runs / job.name)}, job.name)

    def _languages_job(self, job: Job) -> Job:
        name = languages_name(job.options["task"], job.options["mode"], _encoder_of(job))
        options = {"model": str(self.runs / job.name), "languages": ",".join(ALL_LANGUAGES)}
        return Job(name, "transfer", options, job.name)

    def _distances_jobs(self, encoders: list[Encoder], finetune: list[Job]) -> Iterator[Job]:
        for encoder in encoders:
            yield self._analysis_job("distances", distances_name("encoder", encoder.name), encoder)
        for job in finetune:
            if job.options["mode"] == "full":
                name = distances_name(job.options["task"], _encoder_of(job))
                yield Job(name, "distances", {"model": str(self.runs / job.name)}, job.name)

    def _gradients_jobs(self, encoders: list[Encoder], finetune: list[Job]) -> Iterator[Job]:
        """Aligned encoders, each with its own pair and loss, on the heads that were trained on it frozen."""
        models = {encoder.name: encoder for encoder in encoders if encoder.name != BASE}
        for job in finetune:
            encoder = models.get(_encoder_of(job))
            if job.options["mode"] == "linear" and encoder is not None:
                task = job.options["task"]
                options = {"task": task, "model": encoder.model, "heads": str(self.runs / job.name)}
                yield Job(gradients_name(task, encoder.name), "gradients", options, job.name)

    def _analysis_job(self, phase: str, name: str, encoder: Encoder) -> Job:
        return Job(name, phase, {"model": encoder.model}, encoder.needs)

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
        """Make what is missing; see `xalign.grid_runner.run_jobs`. An archive stays as it is."""
        from xalign.grid_runner import run_jobs

        if (self.runs / ARCHIVE).is_file():
            print(f"{self.runs}: an archive of records without models; nothing is run", flush=True)
            return
        find_model(self.model)  # a model that cannot be had is one error, not one for each run
        run_jobs(self, self.jobs(target), **options)
