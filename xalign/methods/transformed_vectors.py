"""Transformations of stored sentence vectors: each layer has maps of its own, fitted on other sentences."""

from __future__ import annotations

import numpy as np
import torch

from xalign.analysis.vectors import Vectorizer, open_vectors
from xalign.data.languages import Language
from xalign.methods.transformation_text import FittingTexts
from xalign.methods.transformations import FITS, Transformation


class PairMaps:
    """The maps of a pair of languages at every layer, which bring its vectors together about the origin."""

    def __init__(self, vectorizer: Vectorizer, texts: FittingTexts, transform: str) -> None:
        self.vectorizer, self.texts, self.transform = vectorizer, texts, transform

    def fit(self, pair: tuple[Language, Language]) -> list[Transformation]:
        """A map from the first language to the second for each hidden state."""
        text = self.texts[pair]
        files = [self.vectorizer.keep(side) for side in (text.source, text.target)]
        layers = zip(*(torch.from_numpy(np.array(open_vectors(file))) for file in files), strict=True)
        return [FITS[self.transform](source, target) for source, target in layers]

    def apply(
        self, pair: tuple[Language, Language], source: np.ndarray, target: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Vectors of a pair, centred at every layer, and those of the first language turned onto the second's.

        Args:
            source, target: (layers, n, d).

        Returns:
            the same after transformation, and the parameters of one layer's map.
        """
        maps = self.fit(pair)
        sides: list[list[np.ndarray]] = [[], []]
        for layer, fitted in enumerate(maps):
            first, second = (torch.from_numpy(np.array(side[layer])).double() for side in (source, target))
            sides[0].append((fitted(first) - fitted.target).float().numpy())
            sides[1].append((second - fitted.target).float().numpy())
        return np.stack(sides[0]), np.stack(sides[1]), maps[0].parameters
