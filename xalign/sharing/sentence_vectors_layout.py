"""The files that make a model directory one of sentence-transformers, written without that library.

Our mean leaves out special tokens, which its ``Pooling`` does not. Its ``WordWeights`` expresses that exactly: weight 0
for special tokens, 1 for all others, and ``Pooling`` then divides by the sum of the weights. A layer below the top of a
whole encoder is its ``WeightedLayerPooling`` with all weight on that layer. All are parts of the library, so nobody has
to trust code from a model's directory. Names and keys are those that its versions 3 to 6 read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from xalign.encoder import Encoder
from xalign.provenance import versions
from xalign.storage import write_json

# Their forward runs a pooler on the first token unless told not to; nothing here has trained one.
WITH_POOLER = ("xlm-roberta", "roberta", "camembert", "bert")


def write_modules(folder: Path, encoder: Encoder, *, layer: int, pooling: str, max_length: int) -> list[str]:
    """Write modules.json and what it names, beside an encoder's files.

    Args:
        folder: holds the weights of `encoder`, its configuration and tokenizer.
        layer: k of ``hidden_states[k]``; the encoder's depth where it was truncated.
        pooling: ``mean`` or ``cls``.
        max_length: tokens a sentence, special tokens included.

    Returns:
        the modules' names, in the order in which a sentence passes them.
    """
    below_top = layer < encoder.depth
    names = ["Transformer", *["WeightedLayerPooling"] * below_top, *["WordWeights"] * (pooling == "mean"), "Pooling"]
    places = ["", *(f"{index}_{name}" for index, name in enumerate(names) if index)]
    for place in places[1:]:
        (folder / place).mkdir()
    modules = [
        {"idx": index, "name": str(index), "path": place, "type": f"sentence_transformers.models.{name}"}
        for index, (name, place) in enumerate(zip(names, places, strict=True))
    ]
    write_json(folder / "modules.json", modules)
    settings: dict[str, Any] = {"max_seq_length": max_length, "do_lower_case": False}
    if encoder.model.config.model_type in WITH_POOLER:
        settings["model_args"] = {"add_pooling_layer": False}
    if below_top:
        settings["config_args"] = {"output_hidden_states": True}
        _write_layer(folder / places[1], encoder, layer)
    write_json(folder / "sentence_bert_config.json", settings)
    if pooling == "mean":
        write_json(folder / places[-2] / "config.json", _word_weights(encoder))
    write_json(
        folder / places[-1] / "config.json",
        {
            "word_embedding_dimension": encoder.width,
            "pooling_mode_cls_token": pooling == "cls",
            "pooling_mode_mean_tokens": pooling == "mean",
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
    )
    write_json(
        folder / "config_sentence_transformers.json",
        {
            "model_type": "SentenceTransformer",
            "__version__": {name: version for name, version in versions().items() if name in ("transformers", "torch")},
            "prompts": {},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    )
    return names


def _write_layer(folder: Path, encoder: Encoder, layer: int) -> None:
    weights = torch.zeros(encoder.depth + 1 - layer)
    weights[0] = 1.0
    save_file({"layer_weights": weights}, folder / "model.safetensors")
    write_json(
        folder / "config.json",
        {"word_embedding_dimension": encoder.width, "layer_start": layer, "num_hidden_layers": encoder.depth},
    )


def _word_weights(encoder: Encoder) -> dict[str, Any]:
    """`WordWeights` by id: every row of the embedding table has a name, and those of special tokens weigh nothing."""
    size = int(encoder.model.config.vocab_size)
    known = encoder.tokenizer.convert_ids_to_tokens(list(range(min(len(encoder.tokenizer), size))))
    vocabulary = [token if token is not None else f"id {index}" for index, token in enumerate(known)]
    vocabulary += [f"id {index}" for index in range(len(vocabulary), size)]
    special = {vocabulary[index] for index in encoder.special_ids.tolist()}
    weights = dict.fromkeys(sorted(special), 0.0)
    # It also looks a word up in lower case: <S> would otherwise weigh what <s> does.
    weights |= {word: 1.0 for word in vocabulary if word not in special and word.lower() in special}
    return {"vocab": vocabulary, "word_weights": weights, "unknown_word_weight": 1.0}
