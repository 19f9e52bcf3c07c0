"""Hidden states of an encoder, up to a layer and no further, and sentence vectors pooled from them.

They are named by ``hidden_states[k]``: k = 0 is the embedding output, k = 8 the output of the 8th layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from xalign.errors import UsageError

# Post-norm stacks: the output of layer k *is* hidden_states[k], so leaving out the layers above changes nothing.
STACKS = {
    "xlm-roberta": ("encoder", "layer"),
    "roberta": ("encoder", "layer"),
    "camembert": ("encoder", "layer"),
    "bert": ("encoder", "layer"),
    "electra": ("encoder", "layer"),
    "distilbert": ("transformer", "layer"),
}


def layer_stack(base: PreTrainedModel) -> nn.ModuleList:
    """The transformer layers of a model without its head; empty for an architecture that is not in `STACKS`."""
    if base.config.model_type not in STACKS:
        return nn.ModuleList()
    outer, inner = STACKS[base.config.model_type]
    stack: nn.ModuleList = getattr(getattr(base, outer), inner)
    return stack


def resolve_layer(layer: str, depth: int) -> int:
    """The k of ``hidden_states[k]`` from a number ("8") or a share of the depth ("2/3").

    Raises:
        UsageError: not a number, or not a layer of this encoder.
    """
    try:
        value = Fraction(layer)
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"layer={layer!r}: write a number of layers or a share of the depth such as 2/3") from None
    index = round(value * depth) if "/" in layer else value
    if index != int(index) or not 1 <= index <= depth:
        raise UsageError(f"layer={layer} does not exist: this encoder has layers 1 to {depth}")
    return int(index)


@contextmanager
def _cut_at(base: PreTrainedModel, layer: int) -> Iterator[None]:
    outer, inner = STACKS[base.config.model_type]
    stack = getattr(base, outer)
    layers = getattr(stack, inner)
    setattr(stack, inner, layers[:layer])
    try:
        yield
    finally:
        setattr(stack, inner, layers)


def hidden_state(base: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, layer: int) -> Tensor:
    """``hidden_states[layer]`` of a batch; the layers above it are not computed.

    Args:
        base: the model without its head.
        input_ids, attention_mask: (N, L).
        layer: 0 (embedding output) to the depth.

    Returns:
        (N, L, d).
    """
    inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
    if layer == base.config.num_hidden_layers:
        return base(**inputs).last_hidden_state
    if base.config.model_type in STACKS and layer > 0:
        with _cut_at(base, layer):
            return base(**inputs).last_hidden_state
    states: Tensor = base(**inputs, output_hidden_states=True).hidden_states[layer]
    return states


def content_mask(input_ids: Tensor, special_ids: Tensor) -> Tensor:
    """(N, L) booleans, true on tokens that carry content."""
    return ~torch.isin(input_ids, special_ids.to(input_ids.device))


def pool(hidden: Tensor, content: Tensor, pooling: str = "mean") -> Tensor:
    """One vector a sentence: the mean over content tokens, or the first token's state (``cls``).

    Args:
        hidden: (N, L, d).
        content: (N, L), from `content_mask`. A sentence without content gets the zero vector.

    Returns:
        (N, d), in fp32.
    """
    if pooling == "cls":
        return hidden[:, 0].float()
    weights = content.unsqueeze(-1).float()
    return (hidden.float() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
