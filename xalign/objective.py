"""The alignment objective as one module: encoder and losses behind a single forward.

What Accelerate prepares is this module, so that DDP and ZeRO see one forward and one backward. Each loss declares the
view that it reads; each view is encoded once, and no further than the loss's layer.

With `grad_cache` a sentence is contrasted with all pairs of a step, whatever the number of micro-batches: `cache`
encodes them without a graph and keeps the gradient of L_S with respect to each vector; `forward` then only carries
that gradient on. Equal in value and gradient to one large batch, for one more forward pass (Gao et al. 2021,
arXiv 2101.06983).

Source: Veitsman, Liu & Schütze 2026, §4.2: L = a_S L_S + a_W L_W + a_M L_M with a in {0, 1}.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from xalign.encoder import Encoder, base_of, freeze_unreachable
from xalign.engine import collective
from xalign.engine.flops import encoder_flops, head_flops
from xalign.engine.training import Objective
from xalign.errors import UsageError, XalignError
from xalign.extensions import load_loss
from xalign.hidden_states import content_mask, hidden_state, pool
from xalign.length_groups import in_order, parts
from xalign.losses import sentence_losses, word_losses
from xalign.masked_lm_head import masked_lm_head


def active_losses(configuration: str) -> str:
    """The letters switched on in a configuration: ``S1W0M1`` gives ``SM``, ``S1W0M0D1`` gives ``SD``."""
    return "".join(letter for letter, on in zip(configuration[::2], configuration[1::2], strict=True) if on == "1")


class AlignmentObjective(Objective):
    """Encoder and losses; `forward` returns the losses of one micro-batch.

    Parameters that the losses cannot reach are frozen here.
    """

    special_ids: Tensor

    def __init__(
        self,
        encoder: Encoder,
        losses: str,
        *,
        layer: int,
        pooling: str = "mean",
        temperature: float = 0.1,
        negatives: str = "both",
        detach_lookup: bool = False,
        share_forward: bool = False,
        grad_cache: bool = False,
    ) -> None:
        super().__init__()
        if "M" in losses and not encoder.has_head:
            raise UsageError(
                f"{encoder.source.directory}: no masked-LM head, which M needs; "
                f"choose a loss with M0, or a …ForMaskedLM"
            )
        if "M" in losses:
            masked_lm_head(encoder.model)  # refuses a head that it does not know before training starts
        table = encoder.model.get_input_embeddings()
        if "W" in losses and table.embedding_dim != encoder.width:
            raise UsageError(
                f"{encoder.source.directory}: W compares states of width {encoder.width} with embeddings of width "
                f"{table.embedding_dim}; choose a loss with W0"
            )
        # Without M the head stays out: it would be moved to the device, and with it the table that it shares.
        self.model = encoder.model if "M" in losses else encoder.base
        self.names = tuple(losses)
        self.further = {name: load_loss(name) for name in losses if name not in "SWM"}
        self.layer, self.pooling, self.temperature, self.negatives = layer, pooling, temperature, negatives
        self.detach_lookup, self.share_forward = detach_lookup, share_forward and "M" in losses
        self.caches = grad_cache and "S" in losses
        self._cached: list[tuple[Tensor, Tensor]] = []  # (2n, d) gradients and (2n,) losses of each micro-batch
        self.padding = int(encoder.tokenizer.pad_token_id)
        self.register_buffer("special_ids", encoder.special_ids, persistent=False)
        reached = encoder.depth if "M" in losses else layer
        freeze_unreachable(encoder.model, reached, head="M" in losses)

    def forward(self, batch: dict[str, Tensor], weights: Tensor) -> dict[str, Tensor]:
        """The losses, each a weighted sum over its items.

        Args:
            batch: views made by `xalign.pair_batches.PairBatches`.
            weights: (K,) one factor for each loss; 1/count gives means.
        """
        found: dict[str, Tensor] = {}
        # The view that S reads comes first: its dropout is then the same here and in `cache`.
        masked_states = self._masked_states(batch) if self.share_forward else None
        vectors = self._vectors(batch, masked_states) if {"S", *self.further} & set(self.names) else None
        for name, weight in zip(self.names, weights, strict=True):
            if name == "S" and vectors is not None:
                found[name] = self._sentence(vectors, batch, weight)
            elif name in self.further and vectors is not None:
                found[name] = self._further(name, vectors).sum() * weight
            elif name == "W":
                found[name] = self._word(batch).sum() * weight
            else:
                every = [states[-1].flatten(0, 1) for states in masked_states or self._masked_states(batch)]
                states = torch.cat(every)[batch["predict"]]  # (T, d)
                found[name] = masked_lm_head(self.model).losses(states, batch["labels"]).sum() * weight
        return found

    def cache(self, batches: Iterable[dict[str, Tensor]], weights: Tensor) -> None:
        """Encode all micro-batches of a step, and keep the gradient of L_S for each of their vectors."""
        vectors, texts = [], []
        with torch.no_grad():
            for batch in batches:
                states = self._masked_states(batch) if self.share_forward else None
                source, target = self._vectors(batch, states).chunk(2)
                vectors.append((source, target))
                texts.append(batch["texts"])
        counts = [len(source) for source, _ in vectors]
        source, target = (torch.cat(side).requires_grad_() for side in zip(*vectors, strict=True))
        losses = self._contrast(source, target, torch.cat(texts, dim=1))
        weight = weights[self.names.index("S")]
        gradients = torch.autograd.grad(losses.sum() * weight, (source, target))
        sides = [tensor.split(counts) for tensor in (*gradients, *losses.detach().chunk(2))]
        self._cached = [(torch.cat([a, b]), torch.cat([c, d])) for a, b, c, d in zip(*sides, strict=True)]

    def flops(self, batch: dict[str, Tensor]) -> float:
        """Operations of one micro-batch, padding left out."""
        config = self.model.config
        depths = {"separate": self.layer, "pair": self.layer, "masked": config.num_hidden_layers}
        encoded = sum(
            encoder_flops(config, (ids != self.padding).sum(dim=1), depth)
            for view, depth in depths.items()
            for ids in parts(batch, view)
        )
        return encoded + (head_flops(config, len(batch["labels"])) if "M" in self.names else 0.0)

    def embed(self, input_ids: Tensor) -> Tensor:
        """Sentence vectors as S and W see them: (N, L) ids to (N, d)."""
        state = hidden_state(base_of(self.model), input_ids, input_ids != self.padding, self.layer)
        return pool(state, content_mask(input_ids, self.special_ids), self.pooling)

    def _masked_states(self, batch: dict[str, Tensor]) -> list[tuple[Tensor, ...]]:
        """Of each group of the masked view the last state; before it the one that S reads, if it reads this view."""
        return [self._states_of(ids) for ids in parts(batch, "masked")]

    def _states_of(self, ids: Tensor) -> tuple[Tensor, ...]:
        base = base_of(self.model)
        if self.share_forward:
            states = base(input_ids=ids, attention_mask=ids != self.padding, output_hidden_states=True).hidden_states
            return states[self.layer], states[-1]
        return (hidden_state(base, ids, ids != self.padding, base.config.num_hidden_layers),)

    def _vectors(self, batch: dict[str, Tensor], masked_states: list[tuple[Tensor, ...]] | None) -> Tensor:
        """Vectors of the sentences that S contrasts, sources first: (2n, d)."""
        if masked_states is None:
            return self._embedded(batch, "separate")
        groups = zip(masked_states, parts(batch, "masked"), strict=True)
        pooled = [pool(states[0], content_mask(ids, self.special_ids), self.pooling) for states, ids in groups]
        return in_order(batch, "masked", pooled)

    def _embedded(self, batch: dict[str, Tensor], view: str) -> Tensor:
        """(n, d): `embed` of every row of a view."""
        return in_order(batch, view, [self.embed(ids) for ids in parts(batch, view)])

    def _sentence(self, vectors: Tensor, batch: dict[str, Tensor], weight: Tensor) -> Tensor:
        if not self.caches:
            source, target = vectors.chunk(2)
            return self._contrast(source, target, batch["texts"]).sum() * weight
        gradient, losses = self._cached.pop(0)
        carried = (vectors * gradient).sum()
        return carried + (losses.sum() * weight - carried).detach()

    def _further(self, name: str, vectors: Tensor) -> Tensor:
        """A loss that a package adds: (n,), one value for each pair of this process's micro-batch."""
        with torch.autocast(vectors.device.type, enabled=False):
            losses: Tensor = self.further[name](*vectors.float().chunk(2))
        if losses.shape != (len(vectors) // 2,):
            raise XalignError(
                f"loss {name}: gave {tuple(losses.shape)} where ({len(vectors) // 2},) was due: one value for each pair"
            )
        return losses

    def _contrast(self, source: Tensor, target: Tensor, texts: Tensor) -> Tensor:
        return sentence_losses(
            source,
            target,
            temperature=self.temperature,
            negatives=self.negatives,
            texts=texts,
            gather=collective.gather_rows,
            rank=collective.rank(),
        )

    def _word(self, batch: dict[str, Tensor]) -> Tensor:
        # The table is read through its own module: under ZeRO-3 it exists nowhere else.
        table = self.model.get_input_embeddings()
        words, negatives = table(batch["words"]), table(batch["negatives"])
        if self.detach_lookup:
            words, negatives = words.detach(), negatives.detach()
        query = self._embedded(batch, "pair")
        losses, _ = word_losses(
            query, words, batch["is_word"], negatives, batch["collides"], temperature=self.temperature
        )
        return losses
