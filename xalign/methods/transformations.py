"""Transformations without training: per-language centring, and orthogonal Procrustes.

Centring moves the mean of a language's vectors onto that of another's; Procrustes rotates them as well, so that
translations come to lie as near to each other as a rotation (or reflection) can bring them. Neither changes distances
within a language, and neither has a parameter that was trained.

Sources: Libovický, Rosa & Fraser 2020, "On the Language Neutrality of Pre-trained Multilingual Representations"
(centring); Schönemann 1966 and Smith et al. 2017 (Procrustes); the family in Hämmerl et al. 2024.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xalign.config.transformations import TRANSFORM_TEXTS

CENTRING, PROCRUSTES = "centring", "procrustes"
NEGLIGIBLE = 1e-9  # singular values below this share of the largest say nothing of where to rotate to


@dataclass(frozen=True)
class Transformation:
    """The affine map x ↦ (x − `source`) `rotation` + `target`, from one language's vectors to another's.

    Attributes:
        source, target: (d,) mean vectors.
        rotation: (d, d) orthogonal; None where nothing is rotated.
    """

    source: Tensor
    target: Tensor
    rotation: Tensor | None = None

    def __call__(self, vectors: Tensor) -> Tensor:
        """Map vectors (…, d), in the type and on the device that they come in."""
        source, target = self.source.to(vectors), self.target.to(vectors)
        if self.rotation is None:
            return vectors + (target - source)
        return (vectors - source) @ self.rotation.to(vectors) + target

    @property
    def parameters(self) -> int:
        """Numbers that it stores: a shift, and a matrix."""
        return self.source.numel() + (0 if self.rotation is None else self.rotation.numel())


def centring(source: Tensor, target: Tensor) -> Transformation:
    """The shift that moves the mean of `source` (n, d) onto that of `target` (m, d); rows need not correspond."""
    return Transformation(source.double().mean(dim=0), target.double().mean(dim=0))


def procrustes(source: Tensor, target: Tensor) -> Transformation:
    """Centring, and the rotation that brings `source` nearest to `target` in the sum of squared distances.

    Args:
        source, target: (n, d), row i of one translating row i of the other.
    """
    shift = centring(source, target)
    x, y = source.double() - shift.source, target.double() - shift.target
    return Transformation(shift.source, shift.target, nearest_rotation(x, y))


def nearest_rotation(x: Tensor, y: Tensor) -> Tensor:
    """The orthogonal (d, d) W with the least ‖xW − y‖; of several such, the one nearest to the identity.

    With fewer rows than dimensions the data leave directions open, and a plain singular value decomposition would
    rotate vectors arbitrarily there.

    Args:
        x, y: (n, d), in float64.
    """
    left, values, right = torch.linalg.svd(x.T @ y)  # U, σ, Vᵀ: (d, d), (d,), (d, d)
    known = values > NEGLIGIBLE * values[0] if values[0] > 0 else torch.zeros_like(values, dtype=torch.bool)
    rotation = left[:, known] @ right[known]
    if not known.all():
        u, v = left[:, ~known], right[~known].T  # (d, k): what neither side's data say anything of
        inner, _, outer = torch.linalg.svd(u.T @ v)
        rotation = rotation + u @ (inner @ outer) @ v.T
    return rotation


FITS = {CENTRING: centring, PROCRUSTES: procrustes}


def method_name(transform: str, text: str, layer: int | None = None) -> str:
    """How the lineage calls a transformation: ``centring``, ``procrustes-layer8``, ``centring-mono``.

    Args:
        text: what it was fitted on, named where it is not the default.
        layer: the layer that was mapped; None for the last, or where each has a map of its own.
    """
    at = "" if layer is None else f"-layer{layer}"
    return transform + at + ("" if text == TRANSFORM_TEXTS[0] else f"-{text}")
