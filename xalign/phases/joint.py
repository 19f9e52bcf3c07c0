"""Alignment and the English task in one training, their gradients on the shared encoder combined by a rule.

    accelerate launch -m xalign joint --combine pcgrad --task topic --pair de-en --loss S1W0M0 \\
        --model xlm-roberta-base --output runs/joint

Each step reads a batch of the task and a batch of pairs; there are as many steps as fine-tuning takes. The run holds
what full fine-tuning leaves, so that ``xalign transfer --model runs/joint`` tests it. Its ``metrics.jsonl`` follows the
cosine of the objectives' gradients. Do they conflict, and does it help to remove the conflict? Five rules or controls
against five weights, and two other ways to protect the task; N is the steps of one seed, 660 for topics:

    for combine in pcgrad cagrad mgda gradvac random; do
      xalign joint --combine $combine --task topic --pair de-en --model M --data D --output R/$combine
    done
    for weight in 0 0.1 0.3 1 3; do  # 0: the task alone, the pairs read but not learned from
      xalign joint --combine sum --align-weight $weight --task topic --pair de-en --model M --data D --output R/w$weight
    done
    xalign joint --combine sum --freeze lower --task topic --pair de-en --model M --data D --output R/lower
    xalign align --pair de-en --loss S1W0M0 --steps N --model M --data D --output R/align
    xalign finetune --task topic --model R/align --data D --output R/sequential
    for run in R/*/head; do xalign transfer --model ${run%/head} --data D --output ${run%/head}-transfer; done

Of the weights, the one with the best English dev accuracy is compared; the choice may not see the test languages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xalign.analysis.retrieval import translation_scores
from xalign.config import JointConfig
from xalign.data.parallel import PairCorpus, load_pairs
from xalign.data.tokens import tokenize_cached
from xalign.encoder import Encoder, load_encoder
from xalign.engine import launch
from xalign.engine.batch import Batches, BatchOrder
from xalign.engine.separate_gradients import conflicts
from xalign.engine.training import Objective
from xalign.errors import UsageError
from xalign.hidden_states import resolve_layer
from xalign.methods.gradient_combination import Combiner
from xalign.methods.joint_objective import (
    TASK,
    JointBatches,
    JointObjective,
    freeze_lower_half,
    objectives_of,
    reached_beside,
)
from xalign.model_source import find_model
from xalign.naming import encoder_name, joint_name, runs_directory, with_method
from xalign.objective import AlignmentObjective, active_losses
from xalign.pair_batches import Layout, PairBatches
from xalign.phases.align import embed_all
from xalign.phases.finetune import check_combination
from xalign.phases.inputs import describe_inputs, open_data
from xalign.phases.task_data import TaskData
from xalign.runs import Run, RunResult, completed, open_run, run_key
from xalign.tasks import make_task
from xalign.tasks.all_seeds import start, train_models
from xalign.tasks.finetuned import head_file, read_head
from xalign.tasks.objective import TaskObjective
from xalign.tracking import following

if TYPE_CHECKING:
    from accelerate import Accelerator


def joint(config: JointConfig) -> RunResult:
    """Train one model for each seed on the English task and on sentence pairs at once.

    Returns:
        the run; `xalign.tasks.finetuned.read_finetuned` reads it back. ``result.json`` says how often and how much the
        gradients conflicted (``conflict``: share of steps by seed; ``cosine``), and the mean weights.

    Raises:
        UsageError: DeepSpeed, an aligned model, an option or data that does not fit; before anything is written.
        XalignError: training failed; what was reached stays for ``--resume``.
    """
    _check(config)
    config = launch.with_precision(config)
    task = make_task(config.task, label_on=config.label_on, pooling=config.pooling)
    source = find_model(config.model)
    if source.lineage.get("pair"):
        raise UsageError(
            f"{config.model}: aligned on {source.lineage['pair']} already: joint aligns by itself; give it the encoder "
            f"before alignment, or fine-tune this one with xalign finetune"
        )
    data = open_data(config.data)
    material = TaskData(config, data, task)
    corpus = load_pairs(data, config.pair, max_pairs=config.max_pairs, held_out=config.held_out)
    inputs = describe_inputs(data, [*material.files, *corpus.files], source)
    if not config.overwrite and (done := completed(Path(config.output), run_key("joint", config, inputs))):
        return done
    sentences = material.load()
    encoder = load_encoder(source, dropout=config.dropout)
    beside = AlignmentBeside(config, corpus, encoder)
    lineage = {
        **source.lineage, "encoder": source.name, "pair": beside.pair, "loss": config.loss, "align_seed": None,
        "align_step": None, "task": config.task, "mode": "full",
    }  # fmt: skip
    lineage = with_method(material.lineage(lineage), _method(config, encoder.depth))
    name = joint_name(config.task, encoder_name(lineage))
    with open_run(config, "joint", name, lineage, inputs, main=launch.rank() == 0) as run:
        runs = runs_directory(run.directory, name)
        with following(run, runs=runs, tracking=config.tracking, log_checkpoints=config.log_checkpoints):
            accelerator = start(config)
            try:
                run.write("environment.json", launch.environment(accelerator, config.precision))
                trained = train_models(run, config, task, source, encoder, sentences, accelerator, companion=beside)
                return run.finish(material.cost() | trained)
            finally:
                launch.stop(accelerator)


def _check(config: JointConfig) -> None:
    if launch.under_deepspeed():
        raise UsageError("joint compares whole gradients, which DeepSpeed cuts and reduces by itself: launch with DDP")
    check_combination(config)
    processes = launch.world_size()
    if config.pairs_batch_size % (processes * config.accumulation):
        raise UsageError(
            f"pairs_batch_size={config.pairs_batch_size} does not divide over {processes} processes × "
            f"accumulation={config.accumulation}"
        )


def _method(config: JointConfig, depth: int) -> str:
    """The rule, and what is not as usual about it and the alignment; learning rates stay out."""
    usual: dict[str, Any] = {field.name: field.default for field in fields(JointConfig)}
    layer = resolve_layer(config.layer, depth)  # a number: a share has a slash, which would part the name
    said = {
        "align_weight": f"w{config.align_weight:g}",
        "cagrad_c": f"c{config.cagrad_c:g}",
        "gradvac_beta": f"b{config.gradvac_beta:g}",
        "temperature": f"t{config.temperature:g}",
        "align_pooling": config.align_pooling,
        "objectives": "each",
        "freeze": config.freeze,
    }
    parts = [part for name, part in said.items() if getattr(config, name) != usual[name]]
    if layer != resolve_layer(usual["layer"], depth):
        parts.append(f"layer{layer}")
    return "-".join(["joint", config.combine, *parts])


def _learns_from_translations(config: JointConfig) -> bool:
    """Whether it matters to the training that the sentences of a pair translate each other.

    M on single sentences does not know which sentences stand beside them in a batch.
    """
    alone = active_losses(config.loss) == "M" and config.mlm_input == "separate"
    return config.align_weight > 0 and not alone


class AlignmentBeside:
    """The alignment that is trained beside the task: a `xalign.tasks.training.Companion`."""

    def __init__(self, config: JointConfig, corpus: PairCorpus, encoder: Encoder) -> None:
        self.config, self.losses = config, active_losses(config.loss)
        self.pair = "-".join(language.short or language.code for language in corpus.languages)
        sides = corpus.train.source, corpus.train.target, corpus.held_out.source, corpus.held_out.target
        self.source, self.target, *self.held_out = (tokenize_cached(texts, encoder.tokenizer) for texts in sides)
        self.layout = Layout.of(
            encoder.tokenizer, encoder.special_ids.tolist(), encoder.model.config.model_type,
            encoder.effective_length(config.pairs_max_length), encoder.effective_length(2 * config.pairs_max_length),
        )  # fmt: skip
        self._batches(config.seeds[0], 0, 1)
        self._objective(encoder)  # what does not fit is refused here

    def texts(self) -> Iterable[np.ndarray] | None:
        """Ids of all pairs; None where W or M reads the whole vocabulary."""
        if self.losses != "S":
            return None
        return (ids for store in (self.source, self.target, *self.held_out) for ids in store)

    def join(
        self, encoder: Encoder, task: TaskObjective, batches: Batches, seed: int, accelerator: Accelerator
    ) -> tuple[Objective, Batches]:
        """Task and alignment as one objective, with batches of both."""
        config = self.config
        self.accelerator, self.objective = accelerator, self._objective(encoder)
        each_loss = config.objectives == "each-loss"
        objectives = objectives_of(self.losses, each_loss=each_loss)
        scale = np.array([1.0 if name == TASK else config.align_weight for name in objectives])
        combiner = Combiner(config.combine, scale, seed=seed, c=config.cagrad_c, beta=config.gradvac_beta)
        pairs = self._batches(seed, accelerator.process_index, accelerator.num_processes)
        return JointObjective(task, self.objective, combiner, each_loss=each_loss), JointBatches(batches, pairs)

    def validate(self) -> dict[str, float]:
        """1-NN accuracy and cosines of held-out pairs, as S sees them."""
        vectors = [
            embed_all(self.objective, store, self.layout, self.config.eval_pairs, self.accelerator.device)
            for store in self.held_out
        ]
        scores = translation_scores(*vectors)
        recall = (scores["nn_source_to_target"] + scores["nn_target_to_source"]) / 2
        cosines = {f"pairs_{name}": scores[name] for name in ("mean_cosine", "mean_cosine_nontranslation")}
        return {"pairs_recall_at_1": recall} | cosines

    def summary(self, run: Run, steps: int) -> dict[str, Any]:
        """What ``result.json`` says beside the task: alignment, conflict, weights, cost."""
        heads = {seed: read_head(head_file(run.directory, seed)) for seed in self.config.seeds}
        recall = {str(seed): head.scores["pairs_recall_at_1"] for seed, head in heads.items()}
        read = min(len(self.source), steps * self.config.pairs_batch_size)  # by one model; each reads others
        used = read if _learns_from_translations(self.config) else 0
        return {"pairs_recall_at_1": recall, **conflicts(run.metrics), "parameters": 0, "translations": used}

    def _objective(self, encoder: Encoder) -> AlignmentObjective:
        config = self.config
        layer = resolve_layer(config.layer, encoder.depth)
        found = reached_beside(
            encoder,
            lambda: AlignmentObjective(
                encoder, self.losses, layer=layer, pooling=config.align_pooling, temperature=config.temperature,
                negatives=config.negatives, grad_cache=config.grad_cache,
            ),
        )  # fmt: skip
        if config.freeze == "lower":
            freeze_lower_half(encoder, encoder.depth if "M" in self.losses else layer)
        return found

    def _batches(self, seed: int, rank: int, processes: int) -> PairBatches:
        config = self.config
        lengths = np.maximum(self.source.lengths, self.target.lengths)
        order = BatchOrder(lengths, config.pairs_batch_size, seed=seed, bucket_batches=config.bucket_batches)
        return PairBatches(
            self.source, self.target, self.layout, order, losses=self.losses, seed=seed,
            word_negatives=config.word_negatives, mlm_probability=config.mlm_probability, mlm_input=config.mlm_input,
            accumulation=config.accumulation, rank=rank, processes=processes,
        )  # fmt: skip
