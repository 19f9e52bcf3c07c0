"""The objective of a downstream task: a linear head on what the last layer says of a word or a sentence."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from xalign.encoder import Encoder, freeze_unreachable
from xalign.engine.flops import encoder_flops
from xalign.engine.training import Objective
from xalign.hidden_states import content_mask, hidden_state, pool
from xalign.randomness import derive_seed
from xalign.tasks.batches import IGNORED

HEAD_DEVIATION = 0.02  # of the head's first weights, as XLM-R's own; its bias begins at 0


class Reader(nn.Module):
    """An encoder up to the vectors that a head classifies: token states, or pooled sentences.

    Args:
        frozen: keep the encoder in evaluation mode, without gradients.
    """

    def __init__(self, encoder: Encoder, *, pooling: str = "mean", frozen: bool) -> None:
        super().__init__()
        self.model: PreTrainedModel = encoder.base
        self.special_ids: Tensor
        self.pooling, self.frozen = pooling, frozen
        self.depth, self.width, self.padding = encoder.depth, encoder.width, int(encoder.tokenizer.pad_token_id)
        self.register_buffer("special_ids", encoder.special_ids, persistent=False)
        freeze_unreachable(encoder.model, self.depth, head=False)
        if frozen:
            encoder.model.requires_grad_(False)

    def train(self, mode: bool = True) -> Reader:
        """Switch to training mode, unless frozen."""
        super().train(mode and not self.frozen)
        return self

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Vectors of the units of a batch made by `xalign.tasks.batches.input_tensors`: (n, d), in fp32."""
        ids = batch["input_ids"]
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            states = hidden_state(self.model, ids, ids != self.padding, self.depth)  # (R, L, d)
            if "places" in batch:
                return states[batch["rows"], batch["places"]].float()
            return pool(states, content_mask(ids, self.special_ids), self.pooling)


class TaskObjective(Objective):
    """Reader (absent where batches hold stored features), dropout and head; `forward` returns the loss."""

    names = ("task",)

    def __init__(self, head: nn.Linear, reader: Reader | None, *, dropout: float) -> None:
        super().__init__()
        self.reader, self.head, self.dropout = reader, head, nn.Dropout(dropout)

    def forward(self, batch: dict[str, Tensor], weights: Tensor) -> dict[str, Tensor]:
        """Cross-entropy as a weighted sum over labelled units.

        Args:
            batch: made by `xalign.tasks.batches.TaskBatches`.
            weights: (1,); 1/count gives the mean.
        """
        features = batch["features"] if self.reader is None else self.reader(batch)
        logits = self.head(self.dropout(features.to(self.head.weight.dtype)))  # (n, labels)
        loss = functional.cross_entropy(logits.float(), batch["labels"], ignore_index=IGNORED, reduction="sum")
        return {"task": loss * weights[0]}

    def flops(self, batch: dict[str, Tensor]) -> float:
        """Operations of one micro-batch: the encoder's, padding left out, and the head's."""
        units = len(batch["labels"])
        head = 6.0 * self.head.weight.numel() * units
        if self.reader is None:
            return head
        lengths = (batch["input_ids"] != self.reader.padding).sum(dim=1)
        return head + encoder_flops(
            self.reader.model.config, lengths, self.reader.depth, trained=not self.reader.frozen
        )


def new_head(width: int, labels: int, seed: int) -> nn.Linear:
    """A head whose first weights depend on the seed alone."""
    head = nn.Linear(width, labels)
    draw = torch.Generator().manual_seed(derive_seed(seed, "head"))
    with torch.no_grad():
        head.weight.normal_(0, HEAD_DEVIATION, generator=draw)
        head.bias.zero_()
    return head
