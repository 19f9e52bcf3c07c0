"""The matrix of runs: which ones a table needs, in which order, and under which names.

Dependencies between runs stand here and nowhere else: fine-tuning needs its encoder, transfer its fine-tuned model,
a table its transfers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xalign.config import ALL_LANGUAGES, GridConfig
from xalign.errors import UsageError
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
class Matrix:
    """All runs that a configuration of the grid names.

    Attributes:
        runs: the directory of all runs.
        model: the encoder that everything starts from.
        config: pairs, losses, seeds, tasks and modes.
        configuration: builds a job's configuration; asked for what an alignment keeps on its way.
    """

    runs: Path
    model: str
    config: GridConfig
    configuration: Callable[[Job], Any]

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
