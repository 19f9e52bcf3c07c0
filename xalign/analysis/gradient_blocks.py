"""What a gradient is split into: groups of an encoder's parameters, side by side in one flat vector.

Groups are the table of token embeddings, the rest of the embeddings, and each layer. Heads are left out: no other
objective reaches them. A masked-LM head whose decoder is tied to the table sends a second gradient into it, which is
kept apart behind the vector's end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from xalign.encoder import Encoder
from xalign.hidden_states import layer_stack

TABLE, REST, OTHER = "table", "embeddings-rest", "other"
Reach = dict[str, np.ndarray]
"""For each group, which of its units an objective reaches: a unit is a row of a lookup table, or a whole tensor."""


@dataclass(frozen=True)
class Group:
    """Consecutive parameters of a flat gradient.

    Attributes:
        parameters: in the order of their columns.
        lookups: for each of them, whether it is a lookup table, of which a batch reads some rows.
        start: its first column.
    """

    parameters: tuple[nn.Parameter, ...]
    lookups: tuple[bool, ...]
    start: int

    @cached_property
    def columns(self) -> slice:
        """Its columns in the flat vector."""
        return slice(self.start, self.start + sum(parameter.numel() for parameter in self.parameters))

    @cached_property
    def unit_sizes(self) -> np.ndarray:
        """(units,) numbers in each unit of its reach."""
        sizes = [
            np.full(len(parameter), parameter[0].numel()) if lookup else np.array([parameter.numel()])
            for parameter, lookup in zip(self.parameters, self.lookups, strict=True)
        ]
        return np.concatenate(sizes)

    @cached_property
    def slots(self) -> tuple[tuple[nn.Parameter, bool, slice], ...]:
        """Each parameter, whether it is a lookup table, and its columns."""
        ends = list(accumulate((parameter.numel() for parameter in self.parameters), initial=self.start))
        return tuple(zip(self.parameters, self.lookups, map(slice, ends, ends[1:]), strict=True))


class ParameterGroups:
    """The parameters of an encoder by group, ready to receive gradients.

    Making one unties the masked-LM decoder from the table: both stay the same numbers in memory, but each has a
    gradient of its own.

    Attributes:
        groups: `TABLE`, `REST`, ``layer1`` … and, where the architecture has any, `OTHER`.
        decoder: the tied decoder's weight, or None.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.model = encoder.model
        self.groups = _groups(encoder)
        table = self.groups[TABLE].parameters[0]
        self.decoder = _untie_decoder(encoder, table)
        self.size = max(group.columns.stop for group in self.groups.values())
        self.device = table.device

    @cached_property
    def columns(self) -> dict[str, slice]:
        """The columns of each group."""
        return {name: group.columns for name, group in self.groups.items()}

    def parameters(self) -> Iterator[tuple[nn.Parameter, slice]]:
        """All parameters with their columns."""
        for group in self.groups.values():
            for parameter, _, columns in group.slots:
                yield parameter, columns

    def activate(self) -> None:
        """Ask for the gradients of exactly these parameters, whatever objectives froze before; evaluation mode."""
        self.model.requires_grad_(False)
        for parameter, _ in self.parameters():
            parameter.requires_grad_(True)
        if self.decoder is not None:
            self.decoder.requires_grad_(True)
        self.model.eval()

    def buffer(self) -> Tensor:
        """A flat vector of zeros that has room for a gradient: the groups, then the decoder's part."""
        decoder = self.decoder.numel() if self.decoder is not None else 0
        return torch.zeros(self.size + decoder, device=self.device)

    def bind(self, buffer: Tensor | None) -> None:
        """Let backward passes add to `buffer`; with None, to nothing any more."""
        for parameter, columns in self.parameters():
            parameter.grad = None if buffer is None else buffer[columns].view_as(parameter)
        if self.decoder is not None:
            self.decoder.grad = None if buffer is None else buffer[self.size :].view_as(self.decoder)

    def reached(self, buffer: Tensor, before: Reach | None = None) -> Reach:
        """Which units of each group have a gradient in `buffer` or are in `before`, the decoder's part aside."""
        found: Reach = {}
        for name, group in self.groups.items():
            if before is not None and before[name].all():
                found[name] = before[name]  # nothing more to find out
                continue
            units = []
            for parameter, lookup, columns in group.slots:
                part = buffer[columns]
                units.append(part.view_as(parameter).any(dim=1) if lookup else part.any()[None])
            here = torch.cat(units).cpu().numpy()
            found[name] = here if before is None else before[name] | here
        return found


def _groups(encoder: Encoder) -> dict[str, Group]:
    base = encoder.base
    table = cast(nn.Parameter, base.get_input_embeddings().weight)
    lookups = {id(module.weight) for module in base.modules() if isinstance(module, nn.Embedding)}
    embeddings = getattr(base, "embeddings", None)
    parts: dict[str, list[nn.Parameter]] = {TABLE: [table], REST: []}
    taken = {id(table)}
    if isinstance(pooler := getattr(base, "pooler", None), nn.Module):
        taken |= {id(parameter) for parameter in pooler.parameters()}  # no objective reads it

    def take(name: str, module: nn.Module) -> None:
        fresh = [parameter for parameter in module.parameters() if id(parameter) not in taken]
        taken.update(map(id, fresh))
        parts[name] = fresh

    if embeddings is not None:
        take(REST, embeddings)
    for number, layer in enumerate(layer_stack(base), start=1):
        take(f"layer{number}", layer)
    take(OTHER, base)
    groups: dict[str, Group] = {}
    start = 0
    for name, parameters in parts.items():
        if parameters:
            groups[name] = Group(tuple(parameters), tuple(id(p) in lookups for p in parameters), start)
            start = groups[name].columns.stop
    return groups


def _untie_decoder(encoder: Encoder, table: nn.Parameter) -> nn.Parameter | None:
    decoder = encoder.model.get_output_embeddings() if encoder.has_head else None
    if not isinstance(decoder, nn.Linear) or decoder.weight is not table:
        return None
    decoder.weight = nn.Parameter(table.data)  # the same memory, another leaf
    return decoder.weight
