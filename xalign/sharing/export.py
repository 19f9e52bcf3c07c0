"""An encoder for use elsewhere: cut off above the layer that was aligned, with a card, for transformers or as a
sentence-transformers model.

xalign export --model runs/de-en --format sentence-transformers --output exported
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xalign.encoder import TOKENIZER_FILES, Encoder, load_encoder
from xalign.encoder import export as save_whole
from xalign.engine.launch import name_device_for_deepspeed
from xalign.errors import UsageError
from xalign.hidden_states import STACKS, resolve_layer
from xalign.model_source import ModelSource, find_model
from xalign.reading import EXPORT_RECORD, MAX_LENGTH, choose, run_of
from xalign.runs import state_of
from xalign.sharing.card_facts import CardFacts, facts_of_model, facts_of_run
from xalign.sharing.export_record import ExportRecord, read_export_record
from xalign.sharing.hub_upload import check_upload, upload
from xalign.sharing.model_card import CARD, Form, model_card, usage_of_sentence_transformers, usage_of_states
from xalign.sharing.sentence_vectors_layout import write_modules
from xalign.storage import read_json, replacing_directory, write_text

FORMATS = ("sentence-transformers", "transformers")
# Sections of the card about what was measured of an encoder's weights (by digest) at a layer.
Measured = Callable[[str, int], tuple[tuple[str, str], ...]]


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What `export` makes; layer and pooling are the run's own where they are None."""

    model: str
    output: str
    format: str = "sentence-transformers"
    layer: str | None = None
    pooling: str | None = None
    truncate: bool = True
    push_to_hub: str | None = None
    private: bool = False


def export(options: ExportOptions, measured: Measured | None = None) -> dict[str, Any]:
    """Write an encoder in a format of other libraries, with its card, and upload it if a hub name is given.

    Args:
        measured: finds what later runs measured of this encoder, for the card.

    Returns:
        a summary: where it is, its layers, how its vectors are read, and its address on the hub.

    Raises:
        UsageError: an unknown model, format, layer or pooling, or an output that holds something else.
        XalignError: damaged weights; no network or token, or a refusal, where an upload was asked for.
    """
    output = _checked_output(options)
    if options.push_to_hub is not None:
        check_upload(options.push_to_hub)
    name_device_for_deepspeed()
    source = find_model(options.model)
    reading = choose(source, options.layer, options.pooling)
    encoder = load_encoder(source)
    before = read_export_record(source.directory)
    layer = resolve_layer(reading.layer, encoder.depth)
    depth = before.layers_before if before is not None else encoder.depth
    facts = before.facts if before is not None else _facts(source)
    sections = measured(source.digest, layer) if measured is not None else ()
    if before is not None and before.is_read_as(reading):
        sections = (*before.sections, *sections)
    if options.truncate:
        truncate(encoder, layer)
    with replacing_directory(output) as folder:
        modules = _write_encoder(folder, encoder, options, layer, reading.pooling)
        record = ExportRecord(
            format=options.format,
            layer=layer,
            pooling=reading.pooling,
            aligned=reading.aligned,
            layers=encoder.depth,
            layers_before=depth,
            source={"name": source.name, "weights": source.digest, "run": (source.upstream or {}).get("key")},
            facts=facts,
            sections=sections,
        )
        record.write(folder)
        form = _form(options.format, encoder, facts, layer, reading.pooling, depth)
        write_text(folder / CARD, model_card(facts, dataclasses.replace(form, sections=sections)))
    summary = {
        "output": str(output),
        "format": options.format,
        "layers": encoder.depth,
        "of_layers": depth,
        "layer": layer,
        "pooling": reading.pooling,
        "chosen_by": reading.origin,
        "modules": modules,
        "measured": [title for title, _ in sections],
        "address": None,
    }
    if options.push_to_hub is not None:
        summary["address"] = upload(output, options.push_to_hub, private=options.private)
    return summary


def truncate(encoder: Encoder, layer: int) -> None:
    """Take away the layers above `layer`, whose output is then the last hidden state; in place.

    Raises:
        UsageError: layers would go from an architecture whose stack may end in a norm of its own.
    """
    if layer == encoder.depth:
        return
    base = encoder.base
    if base.config.model_type not in STACKS:
        raise UsageError(
            f"{base.config.model_type}: xalign does not know how to cut it at layer {layer}; export it with --full"
        )
    outer, inner = STACKS[base.config.model_type]
    stack = getattr(base, outer)
    setattr(stack, inner, getattr(stack, inner)[:layer])
    base.config.num_hidden_layers = layer


def _checked_output(options: ExportOptions) -> Path:
    if options.format not in FORMATS:
        raise UsageError(f"format={options.format} is unknown: choose from {', '.join(FORMATS)}")
    if options.private and options.push_to_hub is None:
        raise UsageError("--private does nothing without --push-to-hub: give both, or neither")
    output = Path(options.output)
    if output.is_dir() and any(output.iterdir()) and not (output / EXPORT_RECORD).is_file():
        raise UsageError(f"{output}: holds something that is no export; choose an empty or new directory as --output")
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: a file; choose a new directory as --output")
    try:
        output.absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{output}: cannot be written ({error.strerror}); choose another --output") from None
    return output


def _facts(source: ModelSource) -> CardFacts:
    run = run_of(source)
    if run is None:
        return facts_of_model(source)
    result = read_json(run / "result.json") if state_of(run) == "complete" else None
    return facts_of_run(run, source.directory.name, result)


def _write_encoder(folder: Path, encoder: Encoder, options: ExportOptions, layer: int, pooling: str) -> list[str]:
    """Weights, configuration and tokenizer, and the modules of sentence-transformers; returns the modules' names."""
    if options.format == "transformers" and not options.truncate:
        save_whole(encoder, folder)
        return []
    encoder.base.save_pretrained(folder)  # without the masked-LM head, which reads a layer that may be gone
    for name in TOKENIZER_FILES:
        if (encoder.source.directory / name).is_file():
            shutil.copyfile(encoder.source.directory / name, folder / name)
    if options.format == "transformers":
        return []
    length = encoder.effective_length(MAX_LENGTH)
    return write_modules(folder, encoder, layer=layer, pooling=pooling, max_length=length)


def _form(name: str, encoder: Encoder, facts: CardFacts, layer: int, pooling: str, depth: int) -> Form:
    notes = []
    if encoder.depth < depth:
        notes.append(
            f"It holds the first {encoder.depth} of {depth} transformer layers: nothing above `hidden_states[{layer}]` "
            "takes part in these vectors."
        )
    if name == "sentence-transformers" or encoder.depth < depth:
        notes.append("It has no masked-LM head.")
    if name == "sentence-transformers":
        special = ", ".join(
            f"`{token}`" for token in encoder.tokenizer.convert_ids_to_tokens(encoder.special_ids.tolist())
        )
        if pooling == "mean":
            notes.append(f"The mean leaves out {special} (weight 0 in `WordWeights`), as xalign does.")
            notes.append("Printing the model prints its whole vocabulary, which `WordWeights` names.")
        notes.append(
            "Only a text that spells out a special token differs: `xalign embed` drops it, this model reads it."
        )
        return Form(name, usage_of_sentence_transformers(), tuple(notes))
    state = "last_hidden_state" if layer == encoder.depth else f"hidden_states[{layer}]"
    read = dataclasses.replace(facts, layer=str(layer), pooling=pooling, depth=encoder.depth)
    return Form(name, usage_of_states(read, state), tuple(notes))
