"""``xalign cite``: BibTeX."""

from __future__ import annotations

from typing import Annotated

import typer

from xalign.cli.display import console


def cite(
    methods: Annotated[list[str], typer.Argument(help="align, realign, langalign, lora, codeswitch, sib200, zero, …")],
) -> None:
    """Print what to cite for methods, data and software, as BibTeX.

    Example: xalign cite align lora sib200 > references.bib
    """
    from xalign.references import cite as find

    for reference in find(methods):
        console().print(reference.bibtex(), markup=False)
