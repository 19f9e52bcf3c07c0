"""LoRA: low-rank adapters inside a frozen encoder.

An adapted matrix W (out, in) becomes W + alpha/rank · B A, with A (rank, in) random and B (out, rank) zero at first; A
and B alone are trained. They stand inside the encoder's own layers, so that objectives train them without knowing of
them. They are merged into copies of W for export, so that the encoder in training stays as it is.

Source: Hu et al. 2022, arXiv 2106.09685.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from xalign.encoder import Encoder
from xalign.errors import UsageError
from xalign.randomness import derive_seed

QUERY_AND_VALUE = (("query", "value"), ("q_lin", "v_lin"), ("q_proj", "v_proj"), ("query_proj", "value_proj"))
NAME = "default"  # peft's own, which it leaves out of the files that it writes
LAYER_NUMBER = re.compile(r"(?:^|\.)(\d+)\.")
WEIGHTS = "adapter_model.safetensors"


class Adapter:
    """The adapters of an encoder: they are put in place here, and read out by `merged` and `save`.

    Attributes:
        modules: names of the adapted matrices in the encoder without its head.
        trained: how many numbers are trained.
    """

    def __init__(
        self, encoder: Encoder, layers: int, *, rank: int, alpha: float, targets: Sequence[str] = (), seed: int = 0
    ) -> None:
        """Freeze all of `encoder`, its masked-LM head and its embeddings too, and put adapters in its lower layers.

        Args:
            layers: how many layers get adapters; those above would get no gradient.
            rank, alpha: see above.
            targets: last parts of names of linear modules; empty for the attention's query and value.
            seed: of A.

        Raises:
            UsageError: peft is not installed, or a target is not in this architecture.
        """
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError:
            raise UsageError("adapter=lora needs peft: pip install 'xalign[adapters]'") from None
        self.modules = matching(encoder.base, layers, targets)
        self.scale = alpha / rank
        self.config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(self.modules))  # type: ignore[arg-type]
        self.config.base_model_name_or_path = encoder.source.name
        encoder.model.requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(seed, "adapter"))
            inject_adapter_in_model(self.config, encoder.base, NAME)
        self.prefix = "" if encoder.model is encoder.base else f"{encoder.model.base_model_prefix}."
        self.trained = sum(p.numel() for p in encoder.model.parameters() if p.requires_grad)

    def merged(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict that the encoder would have without adapters, were W + alpha/rank · B A its weights.

        Args:
            state: of the encoder with its adapters; it stays as it is.
        """
        found = {}
        for name, tensor in state.items():
            stem, adapted, kind = name.partition(".base_layer.")
            if adapted and kind == "weight":
                down, up = (state[f"{stem}.lora_{part}.{NAME}.weight"] for part in "AB")
                tensor = tensor + self.scale * (up @ down)
            if ".lora_" not in name:
                found[f"{stem}.{kind}" if adapted else name] = tensor
        return found

    def save(self, directory: Path, state: Mapping[str, Tensor]) -> None:
        """Write peft's own format; ``PeftModel.from_pretrained(AutoModel…, directory)`` puts it on the base again.

        Args:
            directory: an empty one.
            state: of the encoder with its adapters.
        """
        tensors = {
            f"base_model.model.{name.removeprefix(self.prefix).replace(f'.{NAME}.', '.')}": tensor.cpu().contiguous()
            for name, tensor in state.items()
            if ".lora_" in name
        }
        save_file(tensors, directory / WEIGHTS, metadata={"format": "pt"})
        self.config.target_modules = sorted(self.modules)
        self.config.save_pretrained(str(directory))


def matching(base: Any, layers: int, targets: Sequence[str]) -> tuple[str, ...]:
    """Names of the linear modules that `targets` mean in the first `layers` layers.

    Raises:
        UsageError: a target, or none of the known names of query and value, is there; with those that are.
    """
    there = {}
    for name, module in base.named_modules():
        number = LAYER_NUMBER.search(name)
        if isinstance(module, nn.Linear) and number is not None and int(number[1]) < layers:
            there[name] = name[number.end() :]

    def named(target: str) -> list[str]:
        return [name for name in there if f".{name}".endswith(f".{target}")]

    known = next((pair for pair in QUERY_AND_VALUE if all(map(named, pair))), ())
    missing = next((target for target in targets if not named(target)), None if targets or known else "query, value")
    if missing is not None:
        listed = ", ".join(dict.fromkeys(there.values())) or "none"
        raise UsageError(
            f"adapter_targets: {base.config.model_type} has no linear {missing} in its layers: choose from {listed}"
        )
    chosen = {name for target in targets or known for name in named(target)}
    return tuple(name for name in there if name in chosen)
