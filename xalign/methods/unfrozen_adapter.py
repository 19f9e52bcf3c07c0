"""The ablation of LangAlign's frozen encoder: in step 2 adapter and encoder learn together.

Both sides of A(e(d_en)) ≈ e(T(d_en)) then move: the adapter follows a target that runs ahead of it, and nothing but
the encoder's start keeps all vectors from becoming one. Source: Kim et al. 2025 (its summary's failure signatures).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from xalign.engine.batch import BatchOrder, MicroBatch, pad, share
from xalign.engine.flops import encoder_flops
from xalign.engine.training import Objective
from xalign.methods.langalign import Adapter
from xalign.tasks.objective import Reader

Places = tuple[np.ndarray, np.ndarray]


class UnfrozenObjective(Objective):
    """Mean squared error of A over translations, with gradients through the adapter and both encodings."""

    names = ("adapter",)

    def __init__(self, reader: Reader, adapter: Adapter) -> None:
        super().__init__()
        self.reader, self.adapter = reader, adapter

    def forward(self, batch: dict[str, Tensor], weights: Tensor) -> dict[str, Tensor]:
        """The error of each pair of vectors, averaged over dimensions, as a weighted sum over pairs."""
        source, target = (
            self.reader({name.removeprefix(side): part for name, part in batch.items() if name.startswith(side)})
            for side in ("source-", "target-")
        )  # (n, d) each
        error = functional.mse_loss(self.adapter(source), target, reduction="none")
        return {"adapter": error.mean(dim=1).sum() * weights[0]}

    def flops(self, batch: dict[str, Tensor]) -> float:
        """Operations of one micro-batch, forward and backward; the adapter's are left out."""
        sides = (batch["source-input_ids"], batch["target-input_ids"])
        lengths = torch.cat([(ids != self.reader.padding).sum(dim=1) for ids in sides])
        return encoder_flops(self.reader.model.config, lengths, self.reader.depth, trained=True)


class TranslationBatches:
    """Batches of translated sentences as token ids.

    Args:
        source, target: encoder inputs, the same number of each.
        places: for each sentence the pieces that correspond, two (k,) arrays; None where a sentence is one vector.
    """

    def __init__(
        self,
        source: Sequence[np.ndarray],
        target: Sequence[np.ndarray],
        places: Sequence[Places] | None,
        order: BatchOrder,
        *,
        padding: int,
    ) -> None:
        self.sides, self.places, self.order, self.padding = (source, target), places, order, padding

    def micro_batches(self, step: int) -> list[MicroBatch]:
        """The translations of `step`."""
        [chosen] = share(self.order.examples(step), accumulation=1, rank=0, processes=1)
        tensors: dict[str, Tensor] = {}
        units = len(chosen)
        for side, name in enumerate(("source", "target")):
            ids = pad([self.sides[side][i] for i in chosen], self.padding)
            tensors[f"{name}-input_ids"] = torch.from_numpy(ids)
            if self.places is not None:
                places = [self.places[i][side] for i in chosen]
                rows = np.repeat(np.arange(len(chosen)), [len(part) for part in places])
                tensors |= {f"{name}-rows": torch.from_numpy(rows)}
                tensors |= {f"{name}-places": torch.from_numpy(np.concatenate(places))}
                units = len(rows)
        counts = torch.tensor([float(units)], dtype=torch.float64)
        tokens = sum(tensors[f"{name}-input_ids"].numel() for name in ("source", "target"))
        return [MicroBatch(tensors, counts, chosen.tolist(), len(chosen), tokens)]
