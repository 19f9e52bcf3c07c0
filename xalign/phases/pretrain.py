"""Masked-LM pre-training of a small encoder and its tokenizer, from monolingual text alone.

xalign pretrain --languages de,en,kk --data DATA --output runs/encoder
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import torch
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

from xalign.config import PretrainConfig
from xalign.data.languages import Language, find
from xalign.data.layout import DataDirectory
from xalign.data.lines import read_lines
from xalign.data.parallel import clean, load_pairs
from xalign.data.tokens import TokenStore, tokenize_cached
from xalign.encoder import Encoder, export, load_tokenizer
from xalign.engine import launch
from xalign.engine.batch import BatchOrder, MicroBatch, pad, share
from xalign.engine.loop import train
from xalign.engine.training import Training
from xalign.engine.weights import full_precision
from xalign.errors import UsageError
from xalign.model_source import ModelSource
from xalign.objective import AlignmentObjective
from xalign.pair_batches import Layout, mask_tokens
from xalign.phases.inputs import describe_inputs, open_data
from xalign.randomness import derive_seed, generator
from xalign.runs import Run, RunResult, completed, open_run, run_key
from xalign.storage import replacing_directory
from xalign.tokenizer_training import train_tokenizer
from xalign.tracking import following

SAVED_DROPOUT = 0.1  # what fine-tuning expects of an encoder of this family


class Texts(Sequence[np.ndarray]):
    """Encoder inputs made of single texts, and behind them of concatenated sentence pairs."""

    def __init__(self, texts: TokenStore, sides: tuple[TokenStore, TokenStore], layout: Layout) -> None:
        self.texts, self.sides, self.layout = texts, sides, layout
        self.lengths = np.minimum(
            np.concatenate([texts.lengths + 2, sides[0].lengths + sides[1].lengths + 4]), layout.max_length
        )

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[np.ndarray]: ...

    def __getitem__(self, index: int | slice) -> np.ndarray | Sequence[np.ndarray]:
        """Token ids of an input, special tokens included."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index < len(self.texts):
            return self.layout.sentence(self.texts[index])
        pair = index - len(self.texts)
        return self.layout.pair(self.sides[0][pair], self.sides[1][pair])


class TextBatches:
    """Batches of texts for masked-LM training."""

    def __init__(
        self,
        texts: Texts,
        order: BatchOrder,
        *,
        seed: int,
        mlm_probability: float,
        accumulation: int,
        rank: int,
        processes: int,
    ) -> None:
        self.texts, self.order, self.seed = texts, order, seed
        self.mlm_probability, self.accumulation = mlm_probability, accumulation
        self.rank, self.processes = rank, processes

    def micro_batches(self, step: int) -> list[MicroBatch]:
        """This process's texts of the batch of `step`, one entry a forward pass."""
        parts = share(
            self.order.examples(step), accumulation=self.accumulation, rank=self.rank, processes=self.processes
        )
        return [self._mask(step, examples) for examples in parts]

    def _mask(self, step: int, examples: np.ndarray) -> MicroBatch:
        layout = self.texts.layout
        rows = pad([self.texts[i] for i in examples], layout.padding)
        masked, predict = mask_tokens(
            rows, layout, probability=self.mlm_probability, seed=self.seed, stream="mask-text", step=step,
            examples=examples,
        )  # fmt: skip
        arrays = {"masked": masked, "predict": np.flatnonzero(predict), "labels": rows[predict]}
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        counts = torch.tensor([float(predict.sum())], dtype=torch.float64)
        return MicroBatch(tensors, counts, examples.tolist(), len(examples), masked.size)


def pretrain(config: PretrainConfig) -> RunResult:
    """Train a tokenizer and an encoder of XLM-R's architecture from random weights.

    Returns:
        the run; its ``encoder/`` can be given to every other command as ``--model``.

    Raises:
        UsageError: a language without text, or sizes that do not fit each other.
    """
    if config.width % config.heads:
        raise UsageError(f"width={config.width} does not divide over heads={config.heads}")
    if config.batch_size % (launch.world_size() * config.accumulation):
        raise UsageError(f"batch_size={config.batch_size} does not divide over processes × accumulation")
    config = launch.with_precision(config)
    data = open_data(config.data)
    languages = [find(code) for code in config.languages]
    files = [data.mono(language) for language in languages]
    pairs = _pairs_among(data, languages) if config.parallel_pairs else []
    for pair in pairs:
        found = data.pair_files(pair)
        files += [found] if isinstance(found, Path) else list(found)
    inputs = describe_inputs(data, files, None)
    if not config.overwrite and (done := completed(Path(config.output), run_key("pretrain", config, inputs))):
        return done
    texts = _read_texts(config, data, languages)
    corpora = [load_pairs(data, pair, max_pairs=config.parallel_pairs).train for pair in pairs]
    sides = [x for c in corpora for x in c.source], [y for c in corpora for y in c.target]
    lineage = {"encoder": Path(config.output).name, "pair": None, "loss": None, "align_seed": None, "align_step": None}
    name = f"pretrain/{Path(config.output).name}"
    with (
        open_run(config, "pretrain", name, lineage, inputs, main=launch.rank() == 0) as run,
        following(run, runs=run.directory.resolve().parent, tracking=config.tracking,
                  log_checkpoints=config.log_checkpoints),
    ):  # fmt: skip
        return _train(run, config, texts, sides)


def _pairs_among(data: DataDirectory, languages: list[Language]) -> list[str]:
    wanted = set(languages)
    return [pair for pair in data.available_pairs() if {find(code) for code in pair.split("-")} <= wanted]


def _read_texts(config: PretrainConfig, data: DataDirectory, languages: list[Language]) -> list[str]:
    texts: list[str] = []
    for language in languages:
        lines = [line for line in map(clean, read_lines(data.mono(language))) if line]
        if config.max_sentences is not None and len(lines) > config.max_sentences:
            chosen = generator(config.seed, f"text-{language.code}").permutation(len(lines))[: config.max_sentences]
            lines = [lines[i] for i in sorted(chosen)]
        texts += lines
    return texts


def _new_encoder(run: Run, config: PretrainConfig, texts: list[str]) -> Encoder:
    source = ModelSource(Path(config.output).name, run.checkpoints / "tokenizer")
    if run.resuming and source.directory.is_dir():
        tokenizer = load_tokenizer(source.directory, config.vocab_size)
    else:
        tokenizer = train_tokenizer(texts, config.vocab_size, max_length=config.max_length)
        if run.main:
            with replacing_directory(source.directory) as folder:
                tokenizer.save_pretrained(folder)
    torch.manual_seed(derive_seed(config.seed, "weights"))
    settings = XLMRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=config.width, num_hidden_layers=config.layers,
        num_attention_heads=config.heads, intermediate_size=config.feed_forward,
        max_position_embeddings=config.max_length + 2, type_vocab_size=1,
        initializer_range=config.initializer_range, layer_norm_eps=1e-5, hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.dropout, bos_token_id=0, pad_token_id=1, eos_token_id=2,
    )  # fmt: skip
    encoder = Encoder(XLMRobertaForMaskedLM(settings), tokenizer, True, source)
    encoder.set_execution(compiled=config.compile, checkpointed=config.gradient_checkpointing)
    return encoder


def _train(run: Run, config: PretrainConfig, texts: list[str], sides: tuple[list[str], list[str]]) -> RunResult:
    micro_batch = config.batch_size // config.accumulation // launch.world_size()
    accelerator = launch.start(
        config.precision, accumulation=config.accumulation, clip=config.clip, micro_batch=micro_batch,
        timeout_seconds=config.timeout_seconds,
    )  # fmt: skip
    try:
        run.write("environment.json", launch.environment(accelerator, config.precision))
        encoder = _new_encoder(run, config, texts)
        objective = AlignmentObjective(encoder, "M", layer=encoder.depth)
        length = config.max_length
        layout = Layout.of(encoder.tokenizer, encoder.special_ids.tolist(), "xlm-roberta", length, length)
        stores = [tokenize_cached(part, encoder.tokenizer) for part in (texts, *sides)]
        inputs = Texts(stores[0], (stores[1], stores[2]), layout)
        batches = TextBatches(
            inputs,
            BatchOrder(inputs.lengths, config.batch_size, seed=config.seed, bucket_batches=config.bucket_batches),
            seed=config.seed, mlm_probability=config.mlm_probability, accumulation=config.accumulation,
            rank=accelerator.process_index, processes=accelerator.num_processes,
        )  # fmt: skip
        training = Training(
            steps=config.steps, seed=config.seed, title="pretrain", item="sentences", warmup=config.warmup,
            clip=config.clip, accumulation=config.accumulation, save_every=config.save_every,
            workers=config.workers, quiet=config.quiet,
        )  # fmt: skip
        parameters = [parameter for parameter in objective.parameters() if parameter.requires_grad]
        groups = [{"params": parameters, "lr": config.learning_rate, "weight_decay": config.weight_decay}]
        train(run, objective, groups, batches, training, accelerator)
        state = full_precision(encoder.model, accelerator)
        if run.main:
            encoder.model.config.update(
                {"hidden_dropout_prob": SAVED_DROPOUT, "attention_probs_dropout_prob": SAVED_DROPOUT}
            )
            with replacing_directory(run.directory / "encoder") as folder:
                export(encoder, folder, state)
        parameters_total = sum(p.numel() for p in encoder.model.parameters())
        return run.finish(
            {
                "steps": config.steps,
                "texts": len(inputs),
                "parameters": parameters_total,
                "vocab_size": len(encoder.tokenizer),
            }
        )
    finally:
        launch.stop(accelerator)
