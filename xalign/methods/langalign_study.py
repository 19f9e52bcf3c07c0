"""What LangAlign compares: the network and simpler maps, heads trained through each, their accuracy and their cost.

One encoder, whose features are computed once; every map and every head trains on them. Source: Kim et al. 2025.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xalign.config import FinetuneConfig, LangalignConfig
from xalign.data.tokens import tokenize_cached
from xalign.encoder import load_encoder
from xalign.engine.batch import BatchOrder
from xalign.engine.loop import train
from xalign.engine.training import Training
from xalign.methods.langalign import Adapter, AdapterObjective, Map, VectorBatches, mean_shift, ridge
from xalign.methods.task_vectors import TaskVectors
from xalign.methods.translated_vectors import corresponding_pieces
from xalign.methods.unfrozen_adapter import TranslationBatches, UnfrozenObjective
from xalign.metrics import accuracy, macro_f1
from xalign.model_source import ModelSource
from xalign.runs import Run
from xalign.tasks.examples import Examples
from xalign.tasks.finetuned import Head
from xalign.tasks.heads_together import fit_heads
from xalign.tasks.objective import Reader
from xalign.tasks.predict import predict_stored
from xalign.tasks.training import Features, Setting

if TYPE_CHECKING:
    from accelerate import Accelerator

ENGLISH_ONLY, MEAN_SHIFT, RIDGE = "english-only", "mean-shift", "ridge"
TRANSLATED, NATIVE, TRANSLATED_TEST, ENGLISH_TEST = "translated", "native", "translate-test", "english-test"
Row = tuple[Any, ...]


class Study:
    """One encoder, the maps between its vectors, and the heads on them.

    Attributes:
        seconds: what each method takes beyond the encoding of the task's sentences, which all share.
        parameters: of each map, network included.
    """

    def __init__(
        self, run: Run, config: LangalignConfig, source: ModelSource, vectors: TaskVectors, accelerator: Accelerator
    ) -> None:
        self.run, self.config, self.source = run, config, source
        self.vectors, self.task, self.accelerator = vectors, vectors.task, accelerator
        self.network = config.architecture
        self.unfrozen = f"{config.architecture}-unfrozen"
        self.steps = 0
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.parameters: dict[str, int] = {}
        self.heads: dict[str, dict[int, Head]] = {}

    @contextmanager
    def timing(self, *methods: str) -> Iterator[None]:
        """Add what the block takes to the time of these methods: of each, as if it were the only one."""
        began = time.perf_counter()
        yield
        for method in methods:
            self.seconds[method] += time.perf_counter() - began

    def translations(self, texts: tuple[list[str], list[str]]) -> tuple[Tensor, Tensor]:
        """Vectors of the pairs that maps are fitted on: what maps to what."""
        with self.timing(MEAN_SHIFT, RIDGE, self.network):
            pairs = self.vectors.translations(texts)
        return pairs[::-1] if self.config.reverse else pairs

    def maps(self, source: Tensor, target: Tensor) -> dict[str, Map]:
        """The network, and what it must beat."""
        width = source.shape[1]
        maps: dict[str, Map] = {ENGLISH_ONLY: lambda vectors: vectors}
        self.parameters |= {MEAN_SHIFT: width, RIDGE: width * width + width}
        with self.timing(MEAN_SHIFT):
            maps[MEAN_SHIFT] = mean_shift(source, target)
        with self.timing(RIDGE):
            maps[RIDGE] = ridge(source, target, seed=self.config.seed)
        with self.timing(self.network):
            maps[self.network] = self._frozen(source, target)
        return maps

    def _new_adapter(self, name: str) -> Adapter:
        config = self.config
        adapter = Adapter(
            config.architecture, self.vectors.encoder.width, layers=config.adapter_layers,
            dropout=config.adapter_dropout, seed=config.seed,
        )  # fmt: skip
        self.parameters[name] = sum(parameter.numel() for parameter in adapter.parameters())
        return adapter

    def _training(self, name: str) -> Training:
        config, steps = self.config, self.config.adapter_steps
        training = Training(
            steps=steps, seed=config.seed, title=f"adapter {name}", item="pairs", warmup=0.1, clip=1.0,
            save_every=steps, quiet=config.quiet, labels={"method": name}, offset=self.steps,
        )  # fmt: skip
        self.steps += steps
        return training

    def _order(self, lengths: np.ndarray) -> BatchOrder:
        return BatchOrder(lengths, self.config.adapter_batch_size, seed=self.config.seed, keep_last=True)

    def _frozen(self, source: Tensor, target: Tensor) -> Map:
        """The network, trained on vectors of the frozen encoder."""
        adapter = self._new_adapter(self.network)
        groups = [{"params": list(adapter.parameters()), "lr": self.config.adapter_learning_rate, "weight_decay": 0.0}]
        batches = VectorBatches(source, target, self._order(np.ones(len(source))))
        train(self.run, AdapterObjective(adapter), groups, batches, self._training(self.network), self.accelerator)
        return _applied(adapter)

    def train_unfrozen(self, texts: tuple[list[str], list[str]]) -> tuple[TaskVectors, Map]:
        """The ablation: a copy of the encoder and a network, trained together; pieces that correspond stay fixed.

        Both losses see as many steps as the frozen network; a batch holds sentences, whatever the task.
        """
        config, fixed = self.config, self.vectors
        encoder = load_encoder(self.source, dropout=0.0)
        adapter = self._new_adapter(self.unfrozen)
        reader = Reader(encoder, pooling="mean", frozen=False)
        sides = [
            [fixed.layout.sentence(ids) for ids in tokenize_cached(list(side), encoder.tokenizer)] for side in texts
        ]
        places = None
        if self.task.unit == "words":
            found = corresponding_pieces(fixed.encoder, *texts, fixed.encoding, length=config.max_length)
            places = [pieces.places for pieces in found]
        if config.reverse:
            sides, places = sides[::-1], places and [pair[::-1] for pair in places]
        order = self._order(np.array([len(ids) for ids in sides[0]]))
        batches = TranslationBatches(sides[0], sides[1], places, order, padding=reader.padding)
        learning = [parameter for parameter in reader.parameters() if parameter.requires_grad]
        groups = [
            {"params": list(adapter.parameters()), "lr": config.adapter_learning_rate, "weight_decay": 0.0},
            {"params": learning, "lr": config.learning_rate, "weight_decay": 0.0},
        ]
        with self.timing(self.unfrozen):
            objective = UnfrozenObjective(reader, adapter)
            train(self.run, objective, groups, batches, self._training(self.unfrozen), self.accelerator)
        encoder.model.eval()
        return TaskVectors(self.task, encoder, fixed.encoding, config.max_length), _applied(adapter)

    def test_maps(
        self, train_on: tuple[Examples, Examples], test_on: Examples, vectors: TaskVectors, maps: Mapping[str, Map]
    ) -> dict[str, list[Row]]:
        """Heads trained on English (training, dev) through each map, tested in the target language.

        In reverse heads are trained on plain English and the test vectors go through the map.
        """
        plain = Features(*map(vectors.features, train_on))
        target = vectors.features(test_on)
        rows: dict[str, list[Row]] = {}
        shared: dict[int, Head] | None = None
        for name, apply in maps.items():
            if self.config.reverse:
                if shared is None:
                    with self.timing(*maps):
                        shared = self.fit(name, *train_on, plain)
                self.heads[name], tested = shared, apply(target)
            else:
                with self.timing(name):
                    through = Features(apply(plain.train), apply(plain.dev))
                    self.heads[name], tested = self.fit(name, *train_on, through), target
            rows[name] = self.score(self.heads[name], test_on, tested)
        return rows

    def test_own(self, name: str, train_on: tuple[Examples, Examples], test_on: Examples) -> list[Row]:
        """Heads trained in the target language (training, dev), tested in it."""
        with self.timing(name):
            self.heads[name] = self.fit(name, *train_on, Features(*map(self.vectors.features, train_on)))
        return self.score(self.heads[name], test_on, self.vectors.features(test_on))

    def fit(self, name: str, train_on: Examples, dev: Examples, features: Features) -> dict[int, Head]:
        """Heads of all seeds on stored features."""
        config = self.config
        recipe = FinetuneConfig(
            task=config.task, mode="linear", model=config.model, output=config.output, seeds=config.seeds,
            epochs=config.epochs, head_learning_rate=config.head_learning_rate, quiet=config.quiet,
            precision=config.precision, save_every=10**9,
        )  # fmt: skip
        setting = Setting(
            self.run, recipe, self.task, self.source, self.vectors.encoder, train_on, dev, self.accelerator,
            self.vectors.encoding,
        )  # fmt: skip
        size, window = recipe.batch_size, recipe.bucket_batches
        orders = [
            BatchOrder(train_on.lengths, size, seed=seed, bucket_batches=window, keep_last=True)
            for seed in config.seeds
        ]
        found = fit_heads(setting, config.seeds, orders, features, offset=self.steps, labels={"method": name})
        self.steps += config.epochs * orders[0].steps_per_epoch
        return found

    def score(self, heads: Mapping[int, Head], examples: Examples, vectors: Tensor) -> list[Row]:
        """For each seed: seed, accuracy, macro-F1, and a list of each sentence's id, hits and units."""
        rows: list[Row] = []
        for seed, head in heads.items():
            [found] = predict_stored(vectors, examples, head.weight[None], head.bias[None], self.task.position)
            right = examples.per_sentence(found == examples.labels)
            outcomes = zip(examples.ids, right.tolist(), np.diff(examples.unit_starts).tolist(), strict=True)
            rows.append((seed, accuracy(found, examples.labels), macro_f1(found, examples.labels), list(outcomes)))
        return rows


def _applied(adapter: Adapter) -> Map:
    """A trained network as a map, in evaluation mode."""
    adapter.eval().cpu()

    def apply(vectors: Tensor) -> Tensor:
        with torch.inference_mode():
            return adapter(vectors).clone()

    return apply
