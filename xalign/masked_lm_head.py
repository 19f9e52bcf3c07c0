"""The masked-LM head of each architecture: from last hidden states to logits, or straight to losses."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from xalign.errors import UsageError
from xalign.losses import masked_token_losses
from xalign.vocabulary_cross_entropy import vocabulary_cross_entropy


class MaskedLmHead(nn.Module):
    """A transformation of width d, and the decoder onto the vocabulary; both belong to the model."""

    def __init__(self, transform: nn.Module, decoder: nn.Linear) -> None:
        super().__init__()
        self.transform, self.decoder = transform, decoder

    def forward(self, states: Tensor) -> Tensor:
        """Logits: (…, d) to (…, V)."""
        logits: Tensor = self.decoder(self.transform(states))
        return logits

    def losses(self, states: Tensor, labels: Tensor) -> Tensor:
        """L_M of each token, without all of their logits in memory: (T, d) states and (T,) true ids to (T,)."""
        weight, bias = self.decoder.weight, self.decoder.bias
        if weight.numel() == 0:  # ZeRO-3 gathers a weight for its module's own forward, and nowhere else
            return masked_token_losses(self(states), labels)
        return vocabulary_cross_entropy(self.transform(states), weight, bias, labels)


def masked_lm_head(model: PreTrainedModel) -> MaskedLmHead:
    """The head of a model, by architecture.

    Raises:
        UsageError: the model has no masked-LM head.
    """
    named: Any = model
    if hasattr(model, "lm_head"):  # RoBERTa, XLM-R, CamemBERT
        head = named.lm_head
        return MaskedLmHead(nn.Sequential(head.dense, nn.GELU(), head.layer_norm), head.decoder)
    if hasattr(model, "cls"):  # BERT
        head = named.cls.predictions
        return MaskedLmHead(head.transform, head.decoder)
    if hasattr(model, "vocab_projector"):  # DistilBERT
        parts = named.vocab_transform, nn.GELU(), named.vocab_layer_norm
        return MaskedLmHead(nn.Sequential(*parts), named.vocab_projector)
    raise UsageError(
        f"{model.config.name_or_path}: no masked-LM head, which M needs; choose a loss with M0, or a …ForMaskedLM"
    )
