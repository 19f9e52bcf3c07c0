"""Does a sentence lie next to its translation? Cosine nearest neighbours, and cosines against non-translations."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from xalign.errors import XalignError

ROWS_AT_ONCE = 1024


def translation_scores(source: Tensor, target: Tensor) -> dict[str, float]:
    """Cosine 1-NN accuracy in both directions, and the mean cosine of translations and of non-translations.

    Mean-pooled vectors of unrelated sentences have high cosines too, so the second mean belongs beside the first.

    Args:
        source, target: (n, d), row i of one translating row i of the other; n > 1.

    Returns:
        ``nn_source_to_target``, ``nn_target_to_source``, ``mean_cosine``, ``mean_cosine_nontranslation``. A zero
        vector has cosine 0 with everything; ties count as misses unless the translation comes first.

    Raises:
        XalignError: fewer than two pairs, so that nothing is a non-translation.
    """
    first, second = functional.normalize(source.float(), dim=-1), functional.normalize(target.float(), dim=-1)
    count = len(first)
    if count < 2:
        raise XalignError(f"{count} held-out pairs: retrieval needs two; raise held_out or take a larger corpus")
    own = torch.arange(count, device=first.device)
    forward_hits = backward_hits = 0
    total = 0.0
    best_backward = torch.full((count,), -torch.inf, device=first.device)
    nearest_backward = torch.zeros(count, dtype=torch.long, device=first.device)
    for start in range(0, count, ROWS_AT_ONCE):
        cosines = first[start : start + ROWS_AT_ONCE] @ second.T  # (rows, n)
        forward_hits += int((cosines.argmax(dim=1) == own[start : start + ROWS_AT_ONCE]).sum())
        values, rows = cosines.max(dim=0)
        better = values > best_backward
        nearest_backward = torch.where(better, rows + start, nearest_backward)
        best_backward = torch.maximum(best_backward, values)
        total += float(cosines.double().sum())
    backward_hits = int((nearest_backward == own).sum())
    translations = float((first * second).sum(dim=-1).double().sum())
    return {
        "nn_source_to_target": forward_hits / count,
        "nn_target_to_source": backward_hits / count,
        "mean_cosine": translations / count,
        "mean_cosine_nontranslation": (total - translations) / (count * (count - 1)),
    }
