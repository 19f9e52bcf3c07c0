"""The views of a gradient analysis on one encoder: task against alignment, and language against language.

Each view takes its gradients into a file of its own, compares them, and deletes the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from xalign.analysis.alignment_gradients import AlignmentBlocks, alignment_objective
from xalign.analysis.block_gradients import BlockGradients, BlockLoss, collect, most_rows, total
from xalign.analysis.data_blocks import require_blocks
from xalign.analysis.gradient_blocks import ParameterGroups
from xalign.analysis.gradient_inputs import ENGLISH, GradientInputs
from xalign.analysis.gradient_storage import GradientRows
from xalign.analysis.gradient_views import Line, Products, against_english_and_pairwise
from xalign.analysis.lookahead import Lookahead
from xalign.analysis.masked_lm_gradients import MaskedLanguageBlocks, MaskedText, refit_head
from xalign.analysis.task_gradients import TaskBlocks
from xalign.config import GradientsConfig
from xalign.data.tokens import tokenize_cached
from xalign.encoder import Encoder
from xalign.pair_batches import Layout
from xalign.randomness import generator
from xalign.tasks.finetuned import Head
from xalign.tasks.objective import Reader

TASK_ALIGNMENT, TASK_LANGUAGE, MLM_LANGUAGE = "task-alignment", "task-language", "mlm-language"
TRAIN, STALE, REFITTED = "@train", "@stale", "@refitted"


class GradientAnalysis:
    """An encoder with the heads that were trained on it, and the views of its gradients.

    Args:
        encoder: on its device, without dropout.
        heads: gradients are averaged over them.
        folder: where gradients are kept while they are compared.

    Attributes:
        tests: after `task_language`: the task's blocks by language, and their losses.
        examples: sentences or pairs in a block, by objective.
    """

    def __init__(
        self, config: GradientsConfig, inputs: GradientInputs, encoder: Encoder, heads: Sequence[Head], folder: Path
    ) -> None:
        self.config, self.inputs, self.encoder, self.heads, self.folder = config, inputs, encoder, heads, folder
        self.groups = ParameterGroups(encoder)
        self.device = self.groups.device
        pooling = getattr(inputs.task, "pooling", "mean")
        self.reader = Reader(encoder, pooling=pooling, frozen=False).to(self.device)
        self.objective = alignment_objective(encoder, inputs.recipe).to(self.device)
        length = encoder.effective_length(config.max_length)
        self.layout = Layout.of(
            encoder.tokenizer, encoder.special_ids.tolist(), encoder.model.config.model_type, length, length
        )
        self.tests: dict[str, tuple[TaskBlocks, np.ndarray]] = {}
        self.examples: dict[str, int] = {}

    def check(self) -> None:
        """Refuse what can be refused before heads are trained.

        Raises:
            UsageError: too little data for so many blocks, or options that the alignment losses do not take.
        """
        inputs, blocks, task = self.inputs, self.config.blocks, self.inputs.task.name
        for code, part in {f"{task}, dev": inputs.dev, f"{task}, train": inputs.train, **inputs.test}.items():
            require_blocks(len(part), blocks, 1, f"sentences ({code})")
        for code, part in inputs.flores.items():
            require_blocks(len(part) // 2, blocks, 1, f"sentences in a half of FLORES ({code})")
        self.alignment_blocks()

    def task_blocks(
        self, label: str, sentences: Sequence[object], *, batches: int | None = None, stratified: bool = False
    ) -> TaskBlocks:
        """The task's loss on blocks of labelled sentences.

        Args:
            batches: in a block, if not as many as of pairs.
            stratified: by label, where a sentence has one label.
        """
        config, task = self.config, self.inputs.task
        examples = task.examples(sentences, self.encoder, self.layout)  # type: ignore[arg-type]
        found = TaskBlocks(
            label, self.reader, self.heads, examples, task.position, blocks=config.blocks,
            per_block=(batches or config.batches) * config.sentences_per_batch, batch_size=config.sentences_per_batch,
            seed=config.seed, stratified=stratified and task.position is None,
        )  # fmt: skip
        self.examples[label] = found.order.per_block
        return found

    def alignment_blocks(self, suffix: str = "") -> AlignmentBlocks:
        """The alignment losses on blocks of held-out pairs, or with the suffix `TRAIN` of training pairs."""
        config, recipe = self.config, self.inputs.recipe
        pairs = self.inputs.corpus.train if suffix == TRAIN else self.inputs.corpus.held_out
        found = AlignmentBlocks(
            self.objective, self.encoder, pairs, recipe, blocks=config.blocks, batches=config.batches,
            pairs_per_batch=config.pairs_per_batch, seed=config.seed,
        )  # fmt: skip
        self.examples[recipe.loss + suffix] = found.order.per_block
        return found

    def task_alignment(
        self, label: str, *, training_data: bool, lookahead: bool
    ) -> tuple[list[Line], list[Line], Lookahead | None]:
        """The task on English dev against the alignment on held-out pairs, as gradients and as Adam updates.

        Args:
            label: the task's name in the column ``first``.
            training_data: compare both on their training data, too.
            lookahead: also take alignment steps; needs `task_language` before.
        """
        recipe = self.inputs.recipe
        sources = {"": self.inputs.dev} | ({TRAIN: self.inputs.train} if training_data else {})
        tasks = {suffix: self.task_blocks(label + suffix, part) for suffix, part in sources.items()}
        alignments = {suffix: self.alignment_blocks(suffix) for suffix in sources}
        found: list[BlockGradients] = []
        pairs: list[tuple[str, str]] = []
        ahead: Lookahead | None = None
        with self.rows([*tasks.values(), *alignments.values()]) as rows:
            for suffix in sources:
                task = collect(tasks[suffix], self.groups, rows)[label + suffix]
                if lookahead and not suffix:
                    ahead = self._lookahead(tasks[suffix], task.losses)
                on_block = ahead.observe if ahead is not None and not suffix else None
                parts = list(collect(alignments[suffix], self.groups, rows, on_block).values())
                objectives = [total(recipe.loss, parts), *parts]
                found += [task, *(objective.named(objective.label + suffix) for objective in objectives)]
                pairs += [(task.label, objective.label + suffix) for objective in objectives]
            gradients = Products.of_gradients(found, self.groups, rows)
            lines = [line for pair in pairs for line in gradients.compare(TASK_ALIGNMENT, *pair, paired=False)]
            updates: list[Line] = []
            if rows.sketch is None:
                products = Products.of_updates(found, self.groups, rows)
                updates = [line for pair in pairs for line in products.compare(TASK_ALIGNMENT, *pair, paired=False)]
        return lines, updates, ahead

    def task_language(self) -> list[Line]:
        """The task's gradients on the test data of each language, against English and pairwise."""
        tasks = {code: self.task_blocks(code, part) for code, part in self.inputs.test.items()}
        found: list[BlockGradients] = []
        with self.rows(list(tasks.values())) as rows:
            for code, task in tasks.items():
                gradients = collect(task, self.groups, rows)[code]
                self.tests[code] = task, gradients.losses
                found.append(gradients)
            return self._languages(TASK_LANGUAGE, found, rows)

    def mlm_language(self) -> tuple[list[Line], dict[str, float]]:
        """Masked-LM gradients of each language, on one half of FLORES-200 devtest.

        Where the checkpoint was trained without M, lines are marked `STALE`, and repeated as `REFITTED` behind a head
        that was fitted on the other half; the loss of the head before and after comes with them. This changes the
        encoder's head: call it last.
        """
        stale = "M0" in (self.inputs.source.lineage.get("loss") or "")
        count = len(next(iter(self.inputs.flores.values())))
        order = generator(self.config.seed, "flores-halves").permutation(count)
        measured, fitted = np.sort(order[: (count + 1) // 2]), np.sort(order[(count + 1) // 2 :])
        lines = self._masked_lm(STALE if stale else "", self._texts(measured))
        if not stale:
            return lines, {}
        before, after = refit_head(self.encoder, self._texts(fitted), tied=self.groups.decoder, seed=self.config.seed)
        return lines + self._masked_lm(REFITTED, self._texts(measured)), {"stale": before, "refitted": after}

    def _masked_lm(self, suffix: str, texts: Sequence[MaskedText]) -> list[Line]:
        config = self.config
        losses = [
            MaskedLanguageBlocks(
                self.encoder, text, label=text.language + suffix, blocks=config.blocks,
                per_block=config.batches * config.sentences_per_batch, batch_size=config.sentences_per_batch,
            )
            for text in texts
        ]  # fmt: skip
        self.examples["FLORES"] = losses[0].order.per_block
        with self.rows(losses) as rows:
            found = [gradients for loss in losses for gradients in collect(loss, self.groups, rows).values()]
            return self._languages(MLM_LANGUAGE, found, rows)

    def _texts(self, chosen: np.ndarray) -> list[MaskedText]:
        return [
            MaskedText(
                code,
                tokenize_cached([sentences[i] for i in chosen], self.encoder.tokenizer)[:],
                self.layout,
                self.inputs.recipe.mlm_probability,
                self.config.seed,
            )
            for code, sentences in self.inputs.flores.items()
        ]

    def _languages(self, view: str, found: list[BlockGradients], rows: GradientRows) -> list[Line]:
        """Languages against each other; their k-th blocks may be translations, so they count as paired."""
        products = Products.of_gradients(found, self.groups, rows)
        pairs = against_english_and_pairwise(products.objectives)
        return [line for pair in pairs for line in products.compare(view, *pair, paired=True)]

    def _lookahead(self, dev: TaskBlocks, losses: np.ndarray) -> Lookahead:
        """English is judged on dev, every other language on its test data."""
        judged = {ENGLISH: (dev, losses)} | {code: test for code, test in self.tests.items() if code != ENGLISH}
        tasks = {code: task for code, (task, _) in judged.items()}
        before = {code: values for code, (_, values) in judged.items()}
        return Lookahead(self.groups, self.config.step_size, tasks, before)

    @contextmanager
    def rows(self, losses: Sequence[BlockLoss]) -> Iterator[GradientRows]:
        """Room for the gradients of these losses, for as long as the block lasts."""
        rows = GradientRows(
            self.folder / "gradients.npy", most_rows(losses, self.groups), self.groups,
            sketch=self.config.sketch, seed=self.config.seed,
        )  # fmt: skip
        try:
            yield rows
        finally:
            rows.close()
