"""The multilingual encoder: loading, its masked-LM head, what of it a loss trains, and export."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.utils import logging as transformers_logging

from xalign.errors import UsageError, XalignError
from xalign.hidden_states import layer_stack
from xalign.model_source import ModelSource

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)
# Its bars for each file of each run, and its reports on heads that are absent by design, drown our own lines.
transformers_logging.disable_progress_bar()
transformers_logging.set_verbosity_error()


@dataclass
class Encoder:
    """A pre-trained model with its tokenizer.

    Attributes:
        model: the model with its masked-LM head, or without one where the checkpoint has none.
        tokenizer: its fast tokenizer.
        has_head: whether the masked-LM head was in the checkpoint; a fresh random one does not count.
        source: where it came from.
    """

    model: PreTrainedModel
    tokenizer: Tokenizer
    has_head: bool
    source: ModelSource

    @property
    def base(self) -> PreTrainedModel:
        """The model without its head."""
        return base_of(self.model)

    @property
    def depth(self) -> int:
        """Number of transformer layers."""
        return int(self.model.config.num_hidden_layers)

    @property
    def width(self) -> int:
        """Size of a hidden state."""
        return int(self.model.config.hidden_size)

    def set_execution(self, *, compiled: bool = False, checkpointed: bool = False) -> None:
        """How layers run, equal in value: compiled, and with their activations made again in the backward pass.

        Raises:
            UsageError: compiled without a C++ compiler, or for an architecture whose layers are not known.
        """
        if checkpointed:
            # It was renamed between transformers 5.17 and 5.23.
            names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
            enable = next(getattr(self.model, name) for name in names if hasattr(self.model, name))
            enable({"use_reentrant": False})
        if not compiled:
            return
        if not torch.cuda.is_available() and shutil.which(os.environ.get("CXX", "g++")) is None:
            raise UsageError("compile needs a C++ compiler on CPU: install g++, or leave out --compile")
        layers = layer_stack(self.base)
        if not layers:
            raise UsageError(f"compile does not know the layers of {self.model.config.model_type}: leave out --compile")
        for layer in layers:  # layer by layer: they share one piece of code, and a cut stack stays a list of modules
            layer.compile(dynamic=True)

    @property
    def special_ids(self) -> Tensor:
        """Ids that are not content: beginning, end, separator, padding and mask. ``<unk>`` is content."""
        t = self.tokenizer
        ids = {t.bos_token_id, t.eos_token_id, t.cls_token_id, t.sep_token_id, t.pad_token_id, t.mask_token_id}
        return torch.tensor(sorted(i for i in ids if i is not None))

    def effective_length(self, wanted: int) -> int:
        """`wanted` tokens, special tokens included, or what the encoder's positions allow if that is less."""
        config = self.model.config
        room = getattr(config, "max_position_embeddings", wanted)
        if config.model_type in ("xlm-roberta", "roberta", "camembert"):
            room -= config.pad_token_id + 1  # positions start behind the padding index
        return min(wanted, room)


def base_of(model: PreTrainedModel) -> PreTrainedModel:
    """A model without its head; the model itself if it has none."""
    return cast(PreTrainedModel, model.base_model)


def load_encoder(source: ModelSource, *, dropout: float | None = None) -> Encoder:
    """Load an encoder in fp32 with its masked-LM head.

    Args:
        source: from `xalign.model_source.find_model`.
        dropout: replaces the configuration's rates if given.

    Raises:
        UsageError: the directory has no tokenizer, an unfit one, or is not an encoder's.
        XalignError: its weights are damaged.
    """
    directory = str(source.directory)
    overrides: dict[str, Any] = {"dtype": torch.float32}
    try:
        config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
    except Exception as error:  # it raises a dozen types for one broken file
        raise UsageError(
            f"{directory}/config.json: not a model that transformers knows ({_first_line(error)})"
        ) from None
    if dropout is not None:
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"):
            if hasattr(config, name):
                setattr(config, name, dropout)
    try:
        model, report = AutoModelForMaskedLM.from_pretrained(
            directory,
            config=config,
            output_loading_info=True,
            use_safetensors=True,
            trust_remote_code=False,
            **overrides,
        )
        heads = _head_prefixes(model)
        has_head = not any(key.startswith(heads) for key in report["missing_keys"])
        absent = [key for key in report["missing_keys"] if not key.startswith(heads)]
        if not has_head:
            model = AutoModel.from_pretrained(
                directory, config=config, use_safetensors=True, trust_remote_code=False, **overrides
            )
    except ValueError:
        raise UsageError(f"{directory}: {config.model_type} has no masked-LM form; xalign aligns encoders") from None
    except Exception as error:  # as above
        raise XalignError(f"{directory}: its weights cannot be loaded ({_first_line(error)}); copy it again") from None
    if absent:
        raise XalignError(f"{directory}: its weights lack {absent[0]} and {len(absent) - 1} more; copy it again")
    broken = next((name for name, p in model.named_parameters() if not torch.isfinite(p).all()), None)
    if broken is not None:
        raise XalignError(f"{directory}: {broken} holds NaN or infinity; take an earlier checkpoint")
    return Encoder(model, load_tokenizer(source.directory, int(config.vocab_size)), has_head, source)


def load_tokenizer(directory: Path, vocab_size: int) -> Tokenizer:
    """Load the tokenizer of a model directory, and hold it against the size of the embedding table."""
    if not any(
        (directory / name).is_file() for name in TOKENIZER_FILES if not name.endswith(("config.json", "map.json"))
    ):
        raise UsageError(f"{directory}: no tokenizer there (tokenizer.json, sentencepiece.bpe.model or vocab.txt)")
    try:
        tokenizer: Tokenizer = AutoTokenizer.from_pretrained(str(directory), trust_remote_code=False)
    except Exception as error:  # as above: any type for a broken file
        raise UsageError(f"{directory}: its tokenizer cannot be loaded ({_first_line(error)})") from None
    if len(tokenizer) > vocab_size:
        raise UsageError(
            f"{directory}: the tokenizer has {len(tokenizer)} entries but the embedding table {vocab_size}: not its own"
        )
    if tokenizer.pad_token_id is None or tokenizer.sep_token_id is None:
        raise UsageError(f"{directory}: the tokenizer names no padding or separator token")
    return tokenizer


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


def _head_prefixes(model: PreTrainedModel) -> tuple[str, ...]:
    return tuple(name + "." for name, _ in model.named_children() if name != model.base_model_prefix)


def freeze_unreachable(model: PreTrainedModel, layer: int, *, head: bool) -> None:
    """Freeze what a loss on ``hidden_states[layer]`` cannot reach: layers above, pooler and, unless `head`, head."""
    base = base_of(model)
    tied = {id(p) for p in base.get_input_embeddings().parameters()}
    if model is not base and not head:
        for name, part in model.named_children():
            if name != model.base_model_prefix:
                for parameter in part.parameters():
                    parameter.requires_grad_(id(parameter) in tied)
    if getattr(base, "pooler", None) is not None:
        base.pooler.requires_grad_(False)
    for block in layer_stack(base)[layer:]:
        block.requires_grad_(False)


def export(encoder: Encoder, directory: Path, state: dict[str, Tensor] | None = None) -> None:
    """Write a Hugging Face directory: safetensors, configuration and tokenizer; `AutoModel` loads it too.

    Tokenizer files are copied as they are: saving a loaded tokenizer can drop its normalizer.

    Args:
        state: the weights to write, where the model itself does not hold them whole.
    """
    model = encoder.model
    if state is None:
        model.save_pretrained(directory)
    else:
        dtype, model.config.dtype = model.config.dtype, torch.float32
        model.save_pretrained(directory, state_dict=state)
        model.config.dtype = dtype
    for name in TOKENIZER_FILES:
        if (encoder.source.directory / name).is_file():
            shutil.copyfile(encoder.source.directory / name, directory / name)
