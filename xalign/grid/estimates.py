"""How long runs will take before any of their kind was made: their operations, by the rate measured on this machine.

Operations follow `xalign.engine.flops`. Numbers of sentences are the options', or the paper's data where the options
name none; a sentence counts as 25 tokens in parallel text and treebanks and 40 in FLORES and SIB-200. Steps have a
least duration, and what a run does beside the encoder is left out: with two workers on two cores most runs took one to
three times their estimate (the extremes: half, and five times, for distances).
"""

from __future__ import annotations

import time
from typing import Any

import torch

from xalign.config import (
    ALL_LANGUAGES,
    AlignConfig,
    DistancesConfig,
    FinetuneConfig,
    GradientsConfig,
    RetrieveConfig,
    TransferConfig,
)
from xalign.encoder import load_encoder
from xalign.engine.flops import encoder_flops, head_flops
from xalign.extensions import like
from xalign.grid import Grid, Job
from xalign.hidden_states import hidden_state, resolve_layer
from xalign.model_source import find_model
from xalign.objective import active_losses
from xalign.phases.inputs import open_data

SHORT, LONG = 25, 40  # tokens of a sentence
TRAINING = {"pos": 12_544, "topic": 701}  # sentences of UD EWT and SIB-200
TESTS = {"pos": 1000, "topic": 204}  # sentences of a language
FLORES = 1012
START = 10.0  # seconds that a run takes to begin and to end
STEP = 0.01  # seconds that an optimizer step takes at least
PROBE_SENTENCES, PROBE_STEPS = 16, 3


def steps(config: Any) -> int:
    """Optimizer steps of a run; seeds of linear mode train in the same steps."""
    if isinstance(config, AlignConfig):
        return config.steps
    if not isinstance(config, FinetuneConfig):
        return 0
    sentences = min(config.max_sentences or TRAINING[config.task], TRAINING[config.task])
    return config.epochs * -(-sentences // config.batch_size) * (len(config.seeds) if config.mode == "full" else 1)


class Estimates:
    """Seconds of runs with one encoder on this device, at one rate for all."""

    def __init__(self, model: str) -> None:
        encoder = load_encoder(find_model(model), dropout=0.0)
        self.config, self.depth = encoder.model.config, encoder.depth
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        base = encoder.base.train()
        base.to(device)
        ids = torch.randint(5, self.config.vocab_size, (PROBE_SENTENCES, SHORT), device=device)
        precision = torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
        for step in range(PROBE_STEPS):
            if step == 1:  # the first call warms up
                began = self._now(device)
            with precision:
                states = hidden_state(base, ids, torch.ones_like(ids), self.depth)
            states.square().mean().backward()
            base.zero_grad()
        steps = PROBE_STEPS - 1
        self.rate = steps * self._encoded(PROBE_SENTENCES, SHORT, self.depth) / (self._now(device) - began)

    @staticmethod
    def _now(device: torch.device) -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def seconds(self, grid: Grid, job: Job) -> float:
        """What a run of the grid takes."""
        return START + STEP * steps(grid.configuration(job)) + self.operations(grid, job) / self.rate

    def operations(self, grid: Grid, job: Job) -> float:
        """Floating-point operations of a run of the grid."""
        config = grid.configuration(job)
        _, *parts = job.name.split("/")
        if job.phase == "align":
            return self._align(config)
        if job.phase == "finetune":
            return self._finetune(config)
        if job.phase == "transfer":
            task, mode = parts[:2]
            tuned = grid.configuration(Job(f"finetune/{task}/{mode}", "finetune", {"task": task, "mode": mode}))
            encoders = len(tuned.seeds) if mode == "full" else 1
            return self._transfer(config, task, self._languages(grid, config, task), encoders)
        if job.phase == "gradients":
            return self._gradients(config, parts[2])
        return self._flores(config)

    def _encoded(self, sentences: float, tokens: int, layers: int, *, trained: bool = True) -> float:
        return sentences * encoder_flops(self.config, torch.tensor([tokens]), layers, trained=trained)

    def _alignment(self, loss: str, layer: int, pairs: float, masked: float) -> float:
        losses = active_losses(loss)
        found = 0.0
        if set(losses) - {"W", "M"}:
            found += self._encoded(2 * pairs, SHORT, layer)
        if "W" in losses:
            found += self._encoded(pairs, 2 * SHORT, layer)
        if "M" in losses:
            found += self._encoded(2 * pairs, SHORT, self.depth)
            found += head_flops(self.config, round(2 * pairs * SHORT * masked))
        return found

    def _align(self, config: AlignConfig) -> float:
        layer = resolve_layer(config.layer, self.depth)
        return self._alignment(config.loss, layer, config.steps * config.batch_size, config.mlm_probability)

    def _finetune(self, config: FinetuneConfig) -> float:
        task = like(config.task)
        tokens = SHORT if task == "pos" else LONG
        sentences = min(config.max_sentences or TRAINING[task], TRAINING[task])
        if config.mode == "linear":  # features once; the heads on them are nothing beside it
            return self._encoded(sentences, tokens, self.depth, trained=False)
        return self._encoded(len(config.seeds) * config.epochs * sentences, tokens, self.depth)

    @staticmethod
    def _languages(grid: Grid, config: TransferConfig, task: str) -> int:
        if config.languages != ALL_LANGUAGES:
            return len(config.languages)
        data = open_data(grid.data)
        return len(data.topic_languages("test") if task == "topic" else data.treebank_languages("test"))

    def _transfer(self, config: TransferConfig, task: str, languages: int, encoders: int) -> float:
        known = like(task)
        sentences = languages * min(config.max_sentences or TESTS[known], TESTS[known])
        return self._encoded(encoders * sentences, SHORT if known == "pos" else LONG, self.depth, trained=False)

    def _flores(self, config: RetrieveConfig | DistancesConfig) -> float:
        languages = {code for pair in config.pairs for code in pair.split("-")}
        sentences = len(languages) * min(config.max_sentences or FLORES, FLORES)
        return self._encoded(sentences, LONG, self.depth, trained=False)

    def _gradients(self, config: GradientsConfig, loss: str) -> float:
        tokens = SHORT if like(config.task) == "pos" else LONG
        batches = config.blocks * config.batches
        task = (len(config.languages) + 2) * batches * config.sentences_per_batch  # each language, dev, training data
        masked = len(config.languages) * batches * config.sentences_per_batch
        pairs = 2 * batches * config.pairs_per_batch  # held-out and training pairs
        layer = resolve_layer("2/3", self.depth)
        return (
            self._encoded(task, tokens, self.depth)
            + self._encoded(masked, LONG, self.depth)
            + self._alignment(loss, layer, pairs, 0.15)
        )
