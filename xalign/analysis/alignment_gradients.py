"""The alignment losses of a configuration on blocks of sentence pairs, each loss by itself."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from xalign.analysis.data_blocks import BlockOrder
from xalign.config import AlignConfig
from xalign.data.parallel import Pairs
from xalign.data.tokens import tokenize_cached
from xalign.encoder import Encoder
from xalign.engine.batch import mean_weights
from xalign.hidden_states import resolve_layer
from xalign.length_groups import resolve_groups
from xalign.objective import AlignmentObjective, active_losses
from xalign.pair_batches import Layout, PairBatches
from xalign.randomness import generator


def alignment_objective(encoder: Encoder, config: AlignConfig) -> AlignmentObjective:
    """The objective of an alignment run; its coefficients are one, so the gradient of the sum is that of the parts."""
    return AlignmentObjective(
        encoder, active_losses(config.loss), layer=resolve_layer(config.layer, encoder.depth), pooling=config.pooling,
        temperature=config.temperature, negatives=config.negatives, detach_lookup=config.detach_lookup,
        share_forward=config.share_forward,
    )  # fmt: skip


class AlignmentBlocks:
    """The mean of each active loss over each block; the contrast covers `pairs_per_batch` pairs, as in a step."""

    def __init__(
        self,
        objective: AlignmentObjective,
        encoder: Encoder,
        pairs: Pairs,
        config: AlignConfig,
        *,
        blocks: int,
        batches: int,
        pairs_per_batch: int,
        seed: int,
    ) -> None:
        self.objective, self.blocks, self.names = objective, blocks, objective.names
        self.device = objective.special_ids.device
        wanted = min(len(pairs), blocks * batches * pairs_per_batch)
        chosen = np.sort(generator(seed, "pairs").permutation(len(pairs))[:wanted])
        sides = [[texts[i] for i in chosen] for texts in (pairs.source, pairs.target)]
        source, target = (tokenize_cached(texts, encoder.tokenizer) for texts in sides)
        layout = Layout.of(
            encoder.tokenizer, encoder.special_ids.tolist(), encoder.model.config.model_type,
            encoder.effective_length(config.max_length), encoder.effective_length(2 * config.max_length),
        )  # fmt: skip
        self.order = BlockOrder(
            np.maximum(source.lengths, target.lengths), blocks=blocks, per_block=batches * pairs_per_batch,
            batch_size=pairs_per_batch, seed=seed, equal_batches=True, by_length=config.bucket_batches > 1,
            what=f"pairs of {config.pair}",
        )  # fmt: skip
        self.batches = PairBatches(
            source, target, layout, self.order, losses="".join(objective.names), seed=seed,
            word_negatives=config.word_negatives, mlm_probability=config.mlm_probability, mlm_input=config.mlm_input,
            share_forward=config.share_forward, length_groups=resolve_groups(config.length_groups),
        )  # fmt: skip

    def passes(self, block: int) -> Iterator[dict[str, Tensor]]:
        """The losses of each batch, divided by the items of the whole block."""
        batches = [batch for step in self.order.steps(block) for batch in self.batches.micro_batches(step)]
        weights = mean_weights(torch.stack([batch.counts for batch in batches]).sum(dim=0)).to(self.device)
        for batch in batches:
            yield self.objective(batch.to(self.device), weights)
