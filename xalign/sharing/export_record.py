"""What an export says of itself in ``xalign.json``: how it is read, what it was cut from, and the facts of its card.

So an export of an export has them without the run that they come from.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from xalign.errors import XalignError
from xalign.reading import EXPORT_RECORD, Reading
from xalign.references import Reference
from xalign.sharing.card_facts import CardFacts
from xalign.sharing.card_metrics import Metric
from xalign.storage import read_json, write_json

Sections = tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class ExportRecord:
    """The contents of ``xalign.json``.

    Attributes:
        format: ``sentence-transformers`` or ``transformers``.
        layer, pooling, aligned: how its vectors are read, and whether a training drew them together.
        layers: how many transformer layers it holds, of `layers_before` that were trained.
        source: name and weights' digest of the encoder that it was made from, and the key of the run.
        facts: what its card says.
        sections: what was measured of it later, as (title, text).
    """

    format: str
    layer: int
    pooling: str
    aligned: bool
    layers: int
    layers_before: int
    source: dict[str, Any]
    facts: CardFacts
    sections: Sections = ()

    def write(self, folder: Path) -> None:
        """Write it into an export."""
        write_json(folder / EXPORT_RECORD, dataclasses.asdict(self))

    def is_read_as(self, reading: Reading) -> bool:
        """Whether vectors read so are those that `sections` speak of."""
        return (str(self.layer), self.pooling) == (reading.layer, reading.pooling)


def read_export_record(folder: Path) -> ExportRecord | None:
    """The record of an export; None where there is none, or one without the facts of its card.

    Raises:
        XalignError: it is there, and damaged.
    """
    path = folder / EXPORT_RECORD
    if not path.is_file():
        return None
    said = read_json(path)
    if "facts" not in said:
        return None
    try:
        facts = dict(said.pop("facts"))
        metrics = tuple(Metric(**each) for each in facts.pop("metrics"))
        references = tuple(
            Reference(**{**each, "subjects": tuple(each["subjects"])}) for each in facts.pop("references")
        )
        listed = {name: tuple(map(_whole, facts.pop(name))) for name in ("rows", "data", "languages")}
        known = CardFacts(**{**facts, **listed, "metrics": metrics, "references": references})
        return ExportRecord(**{**said, "facts": known, "sections": tuple(map(_whole, said["sections"]))})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise XalignError(f"{path}: not a record of an export ({error}); delete it, or export again") from None


def _whole(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
