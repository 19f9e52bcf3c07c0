"""Where gradients wait for their inner products: rows of a memory-mapped file, whole or as a count sketch.

Gradients of 14 languages and 8 blocks are 31 GB for each 70 million parameters: too much for memory, not for a disk.
A sketch takes a fixed room instead, and estimates the same inner products.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xalign.analysis.gradient_blocks import TABLE, ParameterGroups
from xalign.errors import XalignError
from xalign.randomness import generator


class CountSketch:
    """A random linear map of each group to at most `buckets` numbers that keeps inner products in expectation.

    Every number is added to a random bucket under a random sign. The estimate of ⟨x, y⟩ has the variance
    (‖x‖²‖y‖² + ⟨x, y⟩² − 2 Σ x²y²) / buckets. A group that is no larger than `buckets` is kept as it is.

    Source: Charikar, Chen & Farach-Colton 2002; Weinberger et al. 2009 (feature hashing).
    """

    def __init__(self, columns: dict[str, slice], buckets: int, seed: int, device: torch.device) -> None:
        self.source = columns
        self.columns: dict[str, slice] = {}
        self._places: dict[str, Tensor | None] = {}
        start = 0
        for name, where in columns.items():
            size = where.stop - where.start
            width = min(size, buckets)
            self.columns[name] = slice(start, start + width)
            start += width
            if size > buckets:
                # A place below `buckets` means a positive sign, one above it the same bucket with a negative sign.
                draw = generator(seed, f"sketch-{name}").integers(0, 2 * buckets, size, dtype=np.int32)
                self._places[name] = torch.from_numpy(draw).to(device)
            else:
                self._places[name] = None

    def __call__(self, name: str, part: Tensor) -> Tensor:
        """The sketch (buckets,) of one group's numbers."""
        places = self._places[name]
        if places is None:
            return part
        width = self.columns[name].stop - self.columns[name].start
        sums = part.new_zeros(2 * width).index_add_(0, places, part)
        return sums[:width] - sums[width:]


class GradientRows:
    """Rows of gradients in a file, each written once; deleted by `close`.

    Attributes:
        array: (rows, columns) float32, memory-mapped; rows that nobody wrote are zero and take no room.
        columns: the columns of each group in it.
        active: for each group the rows that are not zero there.
    """

    def __init__(self, path: Path, rows: int, groups: ParameterGroups, *, sketch: int | None, seed: int) -> None:
        self.path, self.groups = path, groups
        self.sketch = CountSketch(groups.columns, sketch, seed, groups.device) if sketch is not None else None
        self.columns = groups.columns if self.sketch is None else self.sketch.columns
        self._active: dict[str, list[int]] = {name: [] for name in self.columns}
        self._next = 0
        width = max(columns.stop for columns in self.columns.values())
        path.parent.mkdir(parents=True, exist_ok=True)
        _require_room(path.parent, rows * width * 4)
        self.array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, width))

    @property
    def active(self) -> dict[str, np.ndarray]:
        return {name: np.array(rows, dtype=np.int64) for name, rows in self._active.items()}

    def add(self, gradient: Tensor, groups: set[str]) -> int:
        """Keep the columns of `groups` of a flat gradient; returns its row."""
        row = self._next
        for name in groups:
            self._write(row, name, gradient[self.groups.columns[name]])
        self._next += 1
        return row

    def add_decoder(self, part: Tensor) -> int:
        """Keep a tied decoder's gradient, on the columns of the table; returns its row."""
        self._write(self._next, TABLE, part)
        self._next += 1
        return self._next - 1

    def close(self) -> None:
        """Delete the file."""
        del self.array
        self.path.unlink(missing_ok=True)

    def _write(self, row: int, name: str, part: Tensor) -> None:
        kept = part if self.sketch is None else self.sketch(name, part)
        self.array[row, self.columns[name]] = kept.cpu().numpy()
        self._active[name].append(row)


def _require_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise XalignError(
            f"{folder}: gradients need up to {needed / 1e9:.1f} GB but {free / 1e9:.1f} GB are free; "
            f"use --set sketch=65536, or fewer languages or blocks"
        )
