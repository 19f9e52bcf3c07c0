"""The weights of the epoch that is best on dev data, kept beside the checkpoints so that resuming finds them.

A resumed training repeats the epochs after its checkpoint exactly. So an epoch stored before the interruption is
either repeated with the same score, or lies before the checkpoint: in both cases what is stored stays right.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from xalign.errors import XalignError
from xalign.storage import write_bytes


class BestWeights:
    """The trained parameters with the highest ``dev_accuracy`` so far, in one file; of equals the earliest."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def offer(self, module: nn.Module, scores: Mapping[str, float]) -> None:
        """Store the trained parameters of `module` if they are better than what is stored."""
        if self.path.is_file() and self._scores()["dev_accuracy"] >= scores["dev_accuracy"]:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {name: repr(float(value)) for name, value in scores.items()}
        write_bytes(self.path, save({name: p.detach().cpu().contiguous() for name, p in _trained(module)}, metadata))

    def restore(self, module: nn.Module) -> dict[str, float]:
        """Load what is stored into `module`; returns its scores."""
        scores = self._scores()
        with safe_open(self.path, framework="pt") as file, torch.no_grad():
            for name, parameter in _trained(module):
                parameter.copy_(file.get_tensor(name))
        return scores

    def _scores(self) -> dict[str, float]:
        try:
            with safe_open(self.path, framework="pt") as file:
                return {name: float(value) for name, value in file.metadata().items() if name != "format"}
        except (OSError, SafetensorError) as error:
            raise XalignError(f"{self.path}: cannot be read ({error}); start anew with --overwrite") from None


def _trained(module: nn.Module) -> list[tuple[str, nn.Parameter | Tensor]]:
    return [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
