"""The embedding table cut to the rows that a training can reach, exactly.

XLM-R holds 192 of its 278 M parameters in a table of 250,002 rows, of which a corpus of sentence pairs reads a fifth
and 701 topic sentences a fiftieth. A row that no batch reads has the gradient 0 at every step: AdamW leaves it as it
is, apart from weight decay. So it needs no gradient, no optimizer state, no part in clipping or in all-reduce, and no
place on the device. Not for M, whose decoder is the same table and reads all of it, nor for W, which draws its
negatives from the whole vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from xalign.encoder import Encoder


class UsedRows(nn.Module):
    """Stands in for an embedding table; takes the same ids, and holds the rows of some of them.

    The last row of `weight` begins as ones and belongs to no id: it gets no gradient, so what becomes of it is the
    factor by which weight decay has shrunk each row that was left out.
    """

    row_of: Tensor

    def __init__(self, table: nn.Embedding, used: np.ndarray) -> None:
        super().__init__()
        self.used = torch.from_numpy(used)  # (U,) ids, sorted
        self._table = [table]  # in a list, so that it is neither moved to the device nor trained
        with torch.no_grad():
            rows = torch.cat([table.weight[self.used], torch.ones(1, table.embedding_dim)])
        self.weight = nn.Parameter(rows)  # (U + 1, d)
        row_of = torch.full((table.num_embeddings,), -1)
        row_of[self.used] = torch.arange(len(used))
        self.register_buffer("row_of", row_of, persistent=False)
        padding = table.padding_idx
        self.padding = None if padding is None else int(row_of[padding])

    def forward(self, ids: Tensor) -> Tensor:
        """Embeddings of ids (…,) of the whole vocabulary: (…, d)."""
        return functional.embedding(self.row_of[ids], self.weight, self.padding)

    def whole(self, rows: Tensor) -> Tensor:
        """The table (V, d) that training all of its rows would have left, from the trained `rows` (U + 1, d)."""
        rows = rows.detach().float().cpu()
        table = self._table[0].weight.detach() * rows[-1]
        table[self.used] = rows[:-1]
        return table

    def is_table(self, tensor: Tensor) -> bool:
        """Whether `tensor` is the table that this stands in for, or the decoder that shares its weights."""
        return tensor is self._table[0].weight


def keep_used_rows(encoder: Encoder, texts: Iterable[np.ndarray]) -> None:
    """Cut the table of `encoder` to the ids in `texts` and the special tokens.

    Args:
        texts: ids of everything that will be encoded, in training and in validation.
    """
    table = cast(nn.Embedding, encoder.base.get_input_embeddings())
    found = np.zeros(table.num_embeddings, dtype=bool)
    found[encoder.tokenizer.all_special_ids] = True
    for ids in texts:
        found[ids] = True
    if not found.all():
        encoder.base.set_input_embeddings(UsedRows(table, np.flatnonzero(found)))


def with_whole_table(module: nn.Module, state: dict[str, Tensor] | None) -> dict[str, Tensor] | None:
    """The state dict of a module whose table may be cut, with the whole table in it.

    Args:
        state: its weights where the module does not hold them whole itself; otherwise None.

    Returns:
        `state` where no table is cut.
    """
    cut = next((part for part in module.modules() if isinstance(part, UsedRows)), None)
    if cut is None:
        return state
    tensors = module.state_dict(keep_vars=True)
    state = state or {name: tensor.detach() for name, tensor in tensors.items()}
    [place] = [name for name, tensor in tensors.items() if tensor is cut.weight]
    table = cut.whole(state[place])
    tied = {name for name, tensor in tensors.items() if cut.is_table(tensor)}
    return {name: table if name == place or name in tied else tensor for name, tensor in state.items()}
