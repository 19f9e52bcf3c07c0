"""``xalign embed | export``: what an encoder is good for elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xalign.cli import options as o
from xalign.cli.display import console, show_json

Layer = Annotated[
    str | None, typer.Option(help="k of hidden_states[k], or a share of the depth: 2/3; default: what the run aligned.")
]
Pooling = Annotated[str | None, typer.Option(help="mean (over non-special tokens) or cls; default: the run's own.")]


def embed(
    input: Annotated[str, typer.Option(help="UTF-8 text, a sentence a line (also .gz, .xz); - for standard input.")],
    output: Annotated[Path, typer.Option(help="File to write: .npy, or .safetensors with the summary in it.")],
    model: o.Model = "mini",
    layer: Layer = None,
    pooling: Pooling = None,
    batch_size: o.EncodedTogether = None,
    max_length: Annotated[int, typer.Option(help="Tokens a sentence, special tokens included.")] = 128,
    normalize: Annotated[
        bool, typer.Option("--normalize", help="Vectors of length 1: dot products are cosines.")
    ] = False,
    language: Annotated[str | None, typer.Option(help="Code of the text's language, for the summary.")] = None,
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Write the vector of each sentence of a text, as every analysis computes it.

    Example: xalign embed --model runs/de-en --input sentences.txt --output vectors.npy
    """
    from xalign.sharing.embed import EmbedOptions
    from xalign.sharing.embed import embed as run

    options = EmbedOptions(
        model=model, input=input, output=str(output), layer=layer, pooling=pooling, batch_size=batch_size or 64,
        max_length=max_length, normalize=normalize, language=language, precision=precision, quiet=quiet,
    )  # fmt: skip
    found = run(options)
    if json:
        return show_json(found)
    console().print(
        f"{found['output']}: {found['sentences']:,} × {found['dimensions']}, hidden_states[{found['layer']}], "
        f"{found['pooling']} pooling (by {found['chosen_by']})",
        markup=False,
    )


def export(
    output: Annotated[Path, typer.Option(help="Directory to write; an export that stands there is replaced.")],
    model: o.Model = "mini",
    format: Annotated[str, typer.Option(help="sentence-transformers, or transformers.")] = "sentence-transformers",
    layer: Layer = None,
    pooling: Pooling = None,
    truncate: Annotated[
        bool, typer.Option("--truncate/--full", help="Leave out the layers above, or keep them and the masked-LM head.")
    ] = True,
    push_to_hub: Annotated[str | None, typer.Option(help="Upload the export to the hub as owner/name.")] = None,
    private: Annotated[bool, typer.Option("--private", help="A repository that others do not see.")] = False,
    runs: Annotated[
        Path | None, typer.Option(help="Runs directory: retrieval and transfer of this encoder go into its card.")
    ] = None,
    json: o.Json = False,
) -> None:
    """Write an encoder for sentence-transformers or transformers, cut off above the aligned layer, with a model card.

    Example: xalign export --model runs/de-en --format sentence-transformers --output exported --runs runs
    """
    from xalign.report.descendants import measured_below
    from xalign.sharing.export import ExportOptions
    from xalign.sharing.export import export as run

    options = ExportOptions(
        model=model, output=str(output), format=format, layer=layer, pooling=pooling, truncate=truncate,
        push_to_hub=push_to_hub, private=private,
    )  # fmt: skip
    found = run(options, measured_below(runs) if runs is not None else None)
    if json:
        return show_json(found)
    console().print(
        f"{found['output']}: {found['format']}, {found['layers']} of {found['of_layers']} layers, "
        f"hidden_states[{found['layer']}], {found['pooling']} pooling (by {found['chosen_by']})",
        markup=False,
    )
    if runs is not None:
        said = ", ".join(found["measured"]) or f"nothing below {runs} measured this encoder"
        console().print(f"in its card: {said}", markup=False)
    if found["address"]:
        console().print(found["address"], markup=False)
