"""The three losses, in value and gradient, against naive float64 loops and the field's own implementations."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from xalign.losses import masked_token_losses, sentence_losses, word_losses

TAU = 0.1


def vectors(*shape: int, seed: int = 0) -> Tensor:
    """Random float64 vectors that want a gradient."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


def same_value_and_gradient(ours: Tensor, theirs: Tensor, *inputs: Tensor, shift: float = 0.0) -> None:
    """Ours is computed in fp32: equal to `shift` + theirs within rounding, and so are the gradients of `inputs`."""
    torch.testing.assert_close(ours.double(), theirs.double() + shift, rtol=1e-5, atol=1e-6)
    for mine, other in zip(torch.autograd.grad(ours, inputs), torch.autograd.grad(theirs, inputs), strict=True):
        assert other.abs().max() > 0
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b) / (a.norm() * b.norm())


def naive_sentence_losses(source: Tensor, target: Tensor, negatives: str, texts: list[list[str]] | None) -> Tensor:
    """L_S row by row, as its definition reads."""
    count = len(source)
    rows = [*source, *target]
    names = [*texts[0], *texts[1]] if texts else [str(i) for i in range(2 * count)]
    losses = []
    for i in range(2 * count):
        p = (i + count) % (2 * count)
        terms = []
        for k in range(2 * count):
            same_language = (i < count) == (k < count)
            repeats = names[k] in (names[i], names[p])
            if k == p or not (k == i or repeats or (negatives == "cross" and same_language)):
                terms.append(torch.exp(cosine(rows[i], rows[k]) / TAU))
        losses.append(-torch.log(torch.exp(cosine(rows[i], rows[p]) / TAU) / torch.stack(terms).sum()))
    return torch.stack(losses)


def numbered(texts: list[list[str]]) -> Tensor:
    """Texts as the integers that `sentence_losses` reads."""
    known = sorted({text for side in texts for text in side})
    return torch.tensor([[known.index(text) for text in side] for side in texts])


REPEATING = [["yes", "the mill", "yes", "a pond", "OK"], ["ja", "die Mühle", "ja doch", "die Mühle", "OK"]]


@pytest.mark.parametrize("negatives", ["both", "cross"])
@pytest.mark.parametrize("texts", [None, REPEATING])
def test_sentence_loss_equals_the_definition(negatives: str, texts: list[list[str]] | None) -> None:
    source, target = vectors(5, 7), vectors(5, 7, seed=1)
    ours = sentence_losses(
        source, target, temperature=TAU, negatives=negatives, texts=numbered(texts) if texts else None
    )
    theirs = naive_sentence_losses(source, target, negatives, texts)
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-6)
    same_value_and_gradient(ours.mean(), theirs.mean(), source, target)


def test_a_repeated_text_adds_nothing_to_the_contrast() -> None:
    source, target = vectors(4, 6), vectors(4, 6, seed=1)
    repeated = [["a", "b", "c", "a"], ["d", "e", "f", "g"]]
    masked = sentence_losses(source, target, temperature=TAU, texts=numbered(repeated))
    plain = sentence_losses(source, target, temperature=TAU)
    assert (masked <= plain + 1e-6).all()
    # Row 0 says what row 3 says: its own row loses source 3, and so does its translation's row.
    assert masked[0] < plain[0] and masked[4] < plain[4]
    torch.testing.assert_close(masked[[1, 2, 5, 6]], plain[[1, 2, 5, 6]])


def ranking_loss(queries: Tensor, documents: Tensor, *directions: str) -> Tensor:
    """sentence-transformers' loss with one joint partition over `directions`."""
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    loss = MultipleNegativesRankingLoss(
        nn.Identity(),
        scale=1 / TAU,
        directions=directions,
        partition_mode="joint",
    )
    return loss.compute_loss_from_embeddings([queries, documents], None)


ALL_DIRECTIONS = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")


def test_sentence_loss_equals_sentence_transformers_from_both_sides() -> None:
    """With one joint partition over documents and queries their rows are NT-Xent's; both sides make its 2N rows."""
    source, target = vectors(6, 9), vectors(6, 9, seed=1)
    ours = sentence_losses(source, target, temperature=TAU).mean()
    sides = [ranking_loss(x, y, "query_to_doc", "query_to_query") for x, y in ((source, target), (target, source))]
    same_value_and_gradient(ours, torch.stack(sides).mean(), source, target)


def test_cross_negatives_equal_sentence_transformers_without_same_language_directions() -> None:
    source, target = vectors(6, 9), vectors(6, 9, seed=1)
    ours = sentence_losses(source, target, temperature=TAU, negatives="cross").mean()
    sides = [ranking_loss(x, y, "query_to_doc") for x, y in ((source, target), (target, source))]
    same_value_and_gradient(ours, torch.stack(sides).mean(), source, target)


def test_sentence_loss_equals_sentence_transformers_with_four_directions_where_both_rows_of_a_pair_agree() -> None:
    """Their four directions put the two rows of a pair under one logarithm: log(D + D') where NT-Xent has
    (log D + log D') / 2. When target mirrors source, D = D', and the two differ by log 2, with equal gradients."""
    source = vectors(6, 9)
    normal = functional.normalize(vectors(9, seed=1).detach(), dim=0)
    target = (source - 2 * (source @ normal)[:, None] * normal).detach().requires_grad_()
    ours = sentence_losses(source, target, temperature=TAU).mean()
    same_value_and_gradient(ours, ranking_loss(source, target, *ALL_DIRECTIONS), source, target, shift=-math.log(2))


def test_sentence_loss_is_bounded_by_sentence_transformers_with_four_directions_everywhere() -> None:
    for seed in range(5):
        source, target = vectors(6, 9, seed=seed), vectors(6, 9, seed=seed + 50)
        ours = sentence_losses(source, target, temperature=TAU).mean()
        assert ours <= ranking_loss(source, target, *ALL_DIRECTIONS) - math.log(2)


@pytest.mark.parametrize("negatives", ["both", "cross"])
def test_two_processes_see_the_contrast_of_one(negatives: str) -> None:
    """Each process holds half of the pairs and gathers the rest; the gather here is a concatenation by hand."""
    source, target = vectors(6, 5), vectors(6, 5, seed=1)
    texts = numbered([["a", "b", "c", "a", "e", "f"], ["g", "h", "i", "j", "h", "l"]])
    whole = sentence_losses(source, target, temperature=TAU, negatives=negatives, texts=texts)

    unit = [functional.normalize(side.float(), dim=-1) for side in (source, target)]
    every = [*unit, texts[0], texts[1]]

    def gather_for(rank: int) -> Callable[[Tensor], Tensor]:
        def gather(part: Tensor) -> Tensor:
            full = next(t for t in every if t.dtype == part.dtype and torch.equal(t[3 * rank : 3 * rank + 3], part))
            return full

        return gather

    halves = [
        sentence_losses(
            source[3 * r : 3 * r + 3], target[3 * r : 3 * r + 3], temperature=TAU, negatives=negatives,
            texts=texts[:, 3 * r : 3 * r + 3], gather=gather_for(r), rank=r,
        )
        for r in (0, 1)
    ]  # fmt: skip
    torch.testing.assert_close(torch.cat([h[:3] for h in halves] + [h[3:] for h in halves]), whole)
    same_value_and_gradient(torch.cat(halves).sum(), whole.sum().double(), source, target)


def test_sentence_loss_stays_finite_for_a_sentence_without_content() -> None:
    source, target = vectors(3, 4), vectors(3, 4, seed=1)
    content = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)[:, None]
    loss = sentence_losses(source * content, target, temperature=TAU).mean()
    gradient = torch.autograd.grad(loss, source)[0]
    assert loss.isfinite() and gradient.isfinite().all()


def test_similarities_are_computed_in_fp32_under_autocast() -> None:
    source, target = vectors(8, 16), vectors(8, 16, seed=1)
    plain = sentence_losses(source, target, temperature=TAU)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = sentence_losses(source, target, temperature=TAU)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, plain, rtol=0, atol=0)


def naive_word_loss(query: Tensor, bag: list[int], drawn: list[int], table: Tensor) -> Tensor:
    """L_W of one pair, word by word; a drawn id that is in the bag does not count."""
    negatives = [torch.exp(cosine(query, table[v]) / TAU) for v in drawn if v not in bag]
    terms = []
    for w in bag:
        positive = torch.exp(cosine(query, table[w]) / TAU)
        terms.append(torch.log(positive / (positive + torch.stack(negatives).sum())))
    return -torch.stack(terms).mean()


def word_inputs(bags: list[list[int]], drawn: list[int], table: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `word_losses` reads beside the query: words, is_word, negatives, collides."""
    longest = max(map(len, bags))
    ids = torch.tensor([bag + [0] * (longest - len(bag)) for bag in bags])
    is_word = torch.tensor([[i < len(bag) for i in range(longest)] for bag in bags])
    collides = torch.tensor([[v in bag for v in drawn] for bag in bags])
    return table[ids], is_word, table[torch.tensor(drawn)], collides


def test_word_loss_equals_the_definition_with_collisions_and_bags_of_unequal_size() -> None:
    query, table = vectors(3, 6), vectors(20, 6, seed=1)
    bags, drawn = [[4, 5, 6, 7], [9], [11, 12]], [5, 9, 13, 14, 15, 19]
    ours, counted = word_losses(query, *word_inputs(bags, drawn, table), temperature=TAU)
    theirs = torch.stack([naive_word_loss(q, bag, drawn, table) for q, bag in zip(query, bags, strict=True)])
    assert counted.all()
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-6)
    same_value_and_gradient(ours.mean(), theirs.mean(), query, table)


def test_positives_of_a_bag_do_not_compete() -> None:
    """One negative set for each query: the loss of a bag is the mean of its words' losses alone."""
    query, table = vectors(1, 6), vectors(20, 6, seed=1)
    drawn = [13, 14, 15]
    together, _ = word_losses(query, *word_inputs([[4, 5, 6]], drawn, table), temperature=TAU)
    alone = [word_losses(query, *word_inputs([[w]], drawn, table), temperature=TAU)[0] for w in (4, 5, 6)]
    torch.testing.assert_close(together, torch.stack(alone).mean(dim=0))


def test_a_pair_without_words_has_no_word_loss_and_no_gradient() -> None:
    query, table = vectors(2, 6), vectors(20, 6, seed=1)
    losses, counted = word_losses(query, *word_inputs([[4, 5], []], [13, 14], table), temperature=TAU)
    assert counted.tolist() == [True, False]
    assert losses[0] > 0 and losses[1] == 0
    gradient = torch.autograd.grad(losses.sum(), query)[0]
    assert gradient[0].abs().max() > 0 and gradient[1].abs().max() == 0


def test_a_batch_without_any_word_has_no_word_loss() -> None:
    query = vectors(2, 6)
    losses, counted = word_losses(
        query, torch.zeros(2, 0, 6), torch.zeros(2, 0, dtype=torch.bool), torch.randn(3, 6),
        torch.zeros(2, 3, dtype=torch.bool), temperature=TAU,
    )  # fmt: skip
    assert losses.tolist() == [0, 0] and not counted.any()


def test_a_pair_that_collides_with_every_negative_keeps_a_finite_gradient() -> None:
    query, table = vectors(1, 6), vectors(20, 6, seed=1)
    losses, _ = word_losses(query, *word_inputs([[4, 5]], [4, 5], table), temperature=TAU)
    assert losses.item() == 0
    assert torch.autograd.grad(losses.sum(), query)[0].isfinite().all()


def test_masked_token_loss_is_the_cross_entropy_of_each_token() -> None:
    logits, labels = vectors(5, 11), torch.tensor([3, 0, 10, 3, 7])
    ours = masked_token_losses(logits, labels)
    theirs = torch.stack([row.exp().sum().log() - row[label] for row, label in zip(logits, labels, strict=True)])
    same_value_and_gradient(ours.sum(), theirs.sum(), logits)
    assert ours.shape == (5,)
    assert masked_token_losses(torch.zeros(0, 11), torch.zeros(0, dtype=torch.long)).sum() == 0
