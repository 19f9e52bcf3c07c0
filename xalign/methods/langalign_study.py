"""What LangAlign compares: the network and simpler maps, heads trained through each, and their accuracy.

One encoder, whose features are computed once; every map and every head trains on them. Source: Kim et al. 2025.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xalign.config import FinetuneConfig, LangalignConfig
from xalign.encoder import Encoder
from xalign.engine import launch
from xalign.engine.batch import BatchOrder
from xalign.engine.loop import train
from xalign.engine.training import Training
from xalign.errors import UsageError
from xalign.frozen_features import Encoding, frozen_features
from xalign.methods.langalign import Adapter, AdapterObjective, Map, VectorBatches, mean_shift, ridge
from xalign.methods.translated_vectors import sentence_vectors, word_vectors
from xalign.metrics import accuracy, macro_f1
from xalign.model_source import ModelSource
from xalign.pair_batches import Layout
from xalign.runs import Run
from xalign.storage import write_text
from xalign.tasks import Task
from xalign.tasks.examples import Examples
from xalign.tasks.finetuned import Head
from xalign.tasks.heads_together import fit_heads
from xalign.tasks.objective import Reader
from xalign.tasks.predict import predict_stored
from xalign.tasks.training import Features, Setting

ENGLISH_ONLY, NATIVE, TRANSLATED_TEST = "english-only", "native", "translate-test"


class Study:
    """One encoder, the maps between its vectors, and the heads on them."""

    def __init__(
        self, run: Run, config: LangalignConfig, task: Task, source: ModelSource, encoder: Encoder, encoding: Encoding
    ) -> None:
        self.run, self.config, self.task, self.source = run, config, task, source
        self.encoder, self.encoding = encoder, encoding
        self.reader = Reader(encoder, pooling="mean", frozen=True).to(encoding.device)
        self.accelerator = launch.start("fp32", accumulation=1, clip=1.0, micro_batch=config.adapter_batch_size)
        self.steps = 0
        self.parameters = 0

    def vectors(self, texts: tuple[list[str], list[str]]) -> tuple[Tensor, Tensor]:
        """Vectors of translations as the task's head would see them.

        Raises:
            UsageError: too few to fit a map.
        """
        if self.task.name == "topic":
            pair = sentence_vectors(self.encoder, *texts, self.encoding, pooling="mean", length=self.config.max_length)
        else:
            pair = word_vectors(self.encoder, *texts, self.encoding, length=self.config.max_length)
        if len(pair[0]) < 2:
            raise UsageError(f"{len(pair[0])} pairs of vectors are too few for a map: raise sentences")
        return pair

    def maps(self, source: Tensor, target: Tensor) -> dict[str, Map]:
        """The network, and what it must beat."""
        return {
            "identity": lambda vectors: vectors,
            "mean-shift": mean_shift(source, target),
            "ridge": ridge(source, target, seed=self.config.seed),
            self.config.architecture: self.adapter(source, target),
        }

    def adapter(self, source: Tensor, target: Tensor) -> Map:
        """The trained network, in evaluation mode."""
        config = self.config
        adapter = Adapter(
            config.architecture, self.encoder.width, layers=config.adapter_layers, dropout=config.adapter_dropout,
            seed=config.seed,
        )  # fmt: skip
        self.parameters = sum(parameter.numel() for parameter in adapter.parameters())
        order = BatchOrder(np.ones(len(source)), config.adapter_batch_size, seed=config.seed, keep_last=True)
        steps = config.adapter_steps
        training = Training(
            steps=steps, seed=config.seed, title=f"adapter {config.architecture}", item="pairs", warmup=0.1, clip=1.0,
            save_every=steps, quiet=config.quiet, labels={"method": config.architecture}, offset=self.steps,
        )  # fmt: skip
        objective = AdapterObjective(adapter)
        groups = [{"params": list(adapter.parameters()), "lr": config.adapter_learning_rate, "weight_decay": 0.0}]
        train(self.run, objective, groups, VectorBatches(source, target, order), training, self.accelerator)
        self.steps += steps
        adapter.eval().cpu()

        def apply(vectors: Tensor) -> Tensor:
            with torch.inference_mode():
                return adapter(vectors).clone()

        return apply

    def close(self) -> None:
        """End its use of Accelerate."""
        launch.stop(self.accelerator)

    def test(
        self, english: Mapping[str, list[Any]], target: Mapping[str, list[Any]], maps: Mapping[str, Map], code: str
    ) -> list[tuple[Any, ...]]:
        """Accuracy of heads trained on English through each map, tested in the target language.

        In reverse heads are trained on plain English and the test vectors go through the map.

        Args:
            english, target: the task's sentences by split; the target's training data only where there are some.
            code: the target language.

        Returns:
            rows of ``langalign.csv``.
        """
        train, dev, test = (self.examples(english[split]) for split in ("train", "dev", "test"))
        plain = Features(self.features(train), self.features(dev))
        foreign = self.examples(target["test"])
        vectors = self.features(foreign)
        named = {ENGLISH_ONLY if name == "identity" else name: apply for name, apply in maps.items()}
        if self.config.reverse:
            heads = dict.fromkeys(named, self.heads(ENGLISH_ONLY, train, dev, plain))
            tested = {name: apply(vectors) for name, apply in named.items()}
        else:
            through = {name: Features(apply(plain.train), apply(plain.dev)) for name, apply in named.items()}
            heads = {name: self.heads(name, train, dev, part) for name, part in through.items()}
            tested = dict.fromkeys(named, vectors)
        rows = [row for name in named for row in self.score(name, code, heads[name], foreign, tested[name])]
        rows += self.score(TRANSLATED_TEST, "eng", heads[ENGLISH_ONLY], test, self.features(test))
        if "train" in target:
            own, checked = (self.examples(target[split]) for split in ("train", "dev"))
            native = self.heads(NATIVE, own, checked, Features(self.features(own), self.features(checked)))
            rows += self.score(NATIVE, code, native, foreign, vectors)
        self.keep(rows)
        return [row[:5] for row in rows]

    def examples(self, sentences: list[Any]) -> Examples:
        """Sentences as encoder inputs."""
        encoder, length = self.encoder, self.encoder.effective_length(self.config.max_length)
        special, kind = encoder.special_ids.tolist(), encoder.model.config.model_type
        return self.task.examples(sentences, encoder, Layout.of(encoder.tokenizer, special, kind, length, length))

    def features(self, examples: Examples) -> Tensor:
        """Vectors of the units that carry labels: (U, d)."""
        return frozen_features(self.reader, examples, self.task.position, self.encoding)

    def heads(self, name: str, train: Examples, dev: Examples, features: Features) -> dict[int, Head]:
        """Heads of all seeds on stored features."""
        config = self.config
        recipe = FinetuneConfig(
            task=config.task, mode="linear", model=config.model, output=config.output, seeds=config.seeds,
            epochs=config.epochs, head_learning_rate=config.head_learning_rate, quiet=config.quiet,
            precision=config.precision, save_every=10**9,
        )  # fmt: skip
        setting = Setting(
            self.run, recipe, self.task, self.source, self.encoder, train, dev, self.accelerator, self.encoding
        )
        size, window = recipe.batch_size, recipe.bucket_batches
        orders = [
            BatchOrder(train.lengths, size, seed=seed, bucket_batches=window, keep_last=True) for seed in config.seeds
        ]
        found = fit_heads(setting, config.seeds, orders, features, offset=self.steps, labels={"method": name})
        self.steps += config.epochs * orders[0].steps_per_epoch
        return found

    def score(
        self, name: str, language: str, heads: Mapping[int, Head], examples: Examples, vectors: Tensor
    ) -> list[tuple[Any, ...]]:
        """A row for each seed: method, language, seed, accuracy, macro-F1, and the outcome of each sentence."""
        rows = []
        for seed, head in heads.items():
            [found] = predict_stored(vectors, examples, head.weight[None], head.bias[None], self.task.position)
            right = examples.per_sentence(found == examples.labels)
            outcomes = zip(examples.ids, right.tolist(), np.diff(examples.unit_starts).tolist(), strict=True)
            scores = accuracy(found, examples.labels), macro_f1(found, examples.labels)
            rows.append((name, language, seed, *scores, list(outcomes)))
        return rows

    def keep(self, rows: list[tuple[Any, ...]]) -> None:
        """Write the outcome of every sentence, for paired comparisons."""
        lines = [
            json.dumps(
                {"method": name, "language": code, "seed": seed, "sentence_id": id_, "correct": right, "total": total}
            )
            for name, code, seed, _, _, outcomes in rows
            for id_, right, total in outcomes
        ]
        write_text(self.run.directory / "outcomes.jsonl", "".join(f"{line}\n" for line in lines))
