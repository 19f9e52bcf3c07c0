"""The README.md of an encoder: where it comes from, what was aligned, how to use it, how good it is, how to repeat it.

The metadata at its head are those of the Hugging Face hub. A README is no part of an encoder's digest
(`xalign.model_source.ModelSource.digest`): runs made from an encoder stay what they are when its card changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xalign.data.licences import UNKNOWN
from xalign.sharing.card_facts import CardFacts, facts_of_run
from xalign.sharing.card_metrics import Metric
from xalign.storage import write_text

CARD = "README.md"
ADAPTER_CONFIG = "adapter_config.json"  # peft's name
EQUATIONS = {
    "S": "sentence loss: −log exp(cos(x, y)/τ) / Σ exp(cos(x, ·)/τ) over a batch's sentences, for translations x, y",
    "W": "word loss: the vector of a concatenated pair against its own subwords and drawn ones, in the same form",
    "M": "masked-LM loss: cross-entropy at masked tokens",
}
LOSS_SOURCE = "Veitsman, Liu & Schütze 2026, §4.2, after Wei et al. 2021 (HiCTL)"
MEANING = {
    "nn_source_to_target": "1-NN accuracy, source → target",
    "nn_target_to_source": "1-NN accuracy, target → source",
    "mean_cosine": "mean cosine of translations",
    "mean_cosine_nontranslation": "mean cosine of other sentences",
}
TESTBED = (
    "**Testbed**: trained on constructed languages that bear the codes of real ones. It knows no real language, "
    "and its numbers say nothing about real languages."
)


@dataclass(frozen=True)
class Form:
    """In which form an encoder is handed on.

    Attributes:
        library: ``transformers``, ``sentence-transformers`` or ``peft``.
        usage: the section on its use.
        notes: what holds of this form alone, a line each.
        sections: further sections, as (title, text).
    """

    library: str
    usage: str
    notes: tuple[str, ...] = ()
    sections: tuple[tuple[str, str], ...] = ()


def write_cards(run: Path, result: Mapping[str, Any]) -> None:
    """Write the card of every encoder and adapter in a run directory, with what ``result.json`` will say."""
    for pattern in ("encoder*/config.json", "epochs/*/encoder/config.json", f"adapter*/{ADAPTER_CONFIG}"):
        for config in sorted(run.glob(pattern)):
            write_card(run, config.parent, result, config.parent.relative_to(run).as_posix())


def write_card(run: Path, directory: Path, result: Mapping[str, Any] | None = None, name: str | None = None) -> None:
    """Write the card of one encoder of a run, or of its adapter by itself.

    Args:
        directory: its files.
        result: None while the run is not complete.
        name: its path in the run, where that is not the name of `directory`.
    """
    name = name or directory.name
    if (directory / ADAPTER_CONFIG).is_file():
        facts = facts_of_run(run, name.replace("adapter", "encoder"), result)
        form = Form("peft", usage_of_adapter(facts, name))
    else:
        facts = facts_of_run(run, name, result, directory)
        form = Form("transformers", usage_of_states(facts))
    write_text(directory / CARD, model_card(facts, form))


def model_card(facts: CardFacts, form: Form) -> str:
    """The whole README.md."""
    parts = [_metadata(facts, form), f"# {facts.title}\n"]
    parts.append(TESTBED + "\n" if facts.testbed else "")
    parts.append(_section("What it is", _bullets(_identity(facts))))
    parts.append(_section("Use", form.usage + "".join(f"\n\n{note}" for note in form.notes)))
    parts.append(_section("Loss", _loss(facts)))
    parts.append(_section("Data", _data(facts)))
    parts.append(_section("Measured in this run", metrics_table(facts.metrics)))
    parts += [_section(title, text) for title, text in form.sections]
    parts.append(_section("Repeat it", _repeat(facts)))
    parts.append(_section("Cite", "```bibtex\n" + "\n".join(r.bibtex() for r in facts.references) + "```"))
    return "\n".join(part for part in parts if part)


def usage_of_sentence_transformers() -> str:
    """How to use a model of sentence-transformers."""
    return """```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(FOLDER)
vectors = model.encode(SENTENCES)
print(model.similarity(vectors, vectors))
```"""


def usage_of_adapter(facts: CardFacts, name: str) -> str:
    """How to put an adapter on its base."""
    base = facts.base_model or "BASE"
    encoder = name.replace("adapter", "encoder")
    return f"""These are low-rank adapters alone; `{encoder}` beside them is the whole encoder.

```python
from peft import PeftModel
from transformers import AutoModel

model = PeftModel.from_pretrained(AutoModel.from_pretrained("{base}"), FOLDER)
```"""


def usage_of_states(facts: CardFacts, state: str | None = None) -> str:
    """How to read sentence vectors with transformers alone; `state` is where, by default what was aligned."""
    if facts.layer is None:
        return (
            "`AutoModel.from_pretrained` loads it, and `xalign` takes it as `--model`. "
            "No hidden state of it was aligned as a sentence vector."
        )
    number = layer_number(facts)
    state = state or f"hidden_states[{number if number is not None else facts.layer}]"
    how = "its first token's vector" if facts.pooling == "cls" else "the mean over tokens that are not special"
    picked = (
        "vectors = states[:, 0]"
        if facts.pooling == "cls"
        else 'keep = batch["attention_mask"].bool() & ~special.bool()\n'
        "vectors = (states * keep[..., None]).sum(1) / keep.sum(1, keepdim=True).clamp(min=1)"
    )
    flags = f"--layer {facts.layer} --pooling {facts.pooling}"
    asked = "" if state == "last_hidden_state" else ", output_hidden_states=True"
    return f"""A sentence's vector is read from `{state}`: {how}, compared by cosine.

```python
import torch
from transformers import AutoModel, AutoTokenizer

tokenizer, model = AutoTokenizer.from_pretrained(FOLDER), AutoModel.from_pretrained(FOLDER).eval()
batch = tokenizer(SENTENCES, padding=True, truncation=True, max_length=128,
                  return_special_tokens_mask=True, return_tensors="pt")
special = batch.pop("special_tokens_mask")
with torch.no_grad():
    states = model(**batch{asked}).{state}
{picked}
```

`xalign embed --model FOLDER {flags} --input FILE --output vectors.npy` writes the same vectors,
and `xalign export` makes a sentence-transformers model of it."""


def layer_number(facts: CardFacts) -> int | None:
    """The k of ``hidden_states[k]`` that was aligned, where the depth is known."""
    from xalign.hidden_states import resolve_layer

    if facts.layer is None or facts.depth is None:
        return None
    return resolve_layer(facts.layer, facts.depth)


def metrics_table(metrics: Sequence[Metric]) -> str:
    """A Markdown table of numbers with their 95 % intervals; the empty string without any."""
    if not metrics:
        return ""
    rows = ["| measure | value | 95 % interval | measured on |", "|---|---|---|---|"]
    for metric in metrics:
        limits = "–" if metric.low is None or metric.high is None else f"[{metric.low:.3f}, {metric.high:.3f}]"
        rows.append(f"| {MEANING.get(metric.name, metric.name)} | {metric.value:.3f} | {limits} | {metric.on or '–'} |")
    return "\n".join(rows)


def _metadata(facts: CardFacts, form: Form) -> str:
    """The hub's YAML. Every value is written as JSON, which YAML contains: nothing needs quoting by hand."""
    sentence = form.library == "sentence-transformers"
    tags = ["xalign", *["cross-lingual-alignment"] * (facts.layer is not None and facts.phase is not None)]
    tags += [facts.loss] if facts.loss else []
    tags += ["sentence-transformers"] * sentence + ["testbed"] * facts.testbed
    values: dict[str, Any] = {
        "language": [*facts.languages, *(["multilingual"] if facts.languages else [])],
        "license": facts.licence,
        "base_model": facts.base_model,
        "library_name": form.library,
        "pipeline_tag": "sentence-similarity" if sentence else "feature-extraction",
        "tags": tags,
    }
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in values.items() if value]
    return "\n".join(["---", *lines, "---", ""])


def _identity(facts: CardFacts) -> Iterable[tuple[str, str]]:
    yield "base", facts.base
    yield "licence", f"{facts.licence}, as the base" if facts.licence else "unknown: see the publisher of the base"
    if facts.phase is not None:
        yield "made by", f"`xalign {facts.phase}`"
    if facts.layer is not None and facts.phase is not None:
        number = layer_number(facts)
        layer = f"`hidden_states[{number}]` of {facts.depth} layers" if number is not None else f"layer {facts.layer}"
        yield "aligned", f"{layer}, {facts.pooling} pooling"
    yield from facts.rows
    if facts.key is not None:
        yield "run", f"key `{facts.key}`"


def _loss(facts: CardFacts) -> str:
    if facts.loss is None:
        return ""
    on = [text for letter, text in EQUATIONS.items() if f"{letter}1" in facts.loss]
    formula = " + ".join(f"L_{letter}" for letter in EQUATIONS if f"{letter}1" in facts.loss)
    return "\n".join([f"**{facts.loss}**: L = {formula} ({LOSS_SOURCE}).", "", *(f"- {text}" for text in on)])


def _data(facts: CardFacts) -> str:
    if not facts.data:
        return ""
    rows = ["| file | SHA-256 | licence |", "|---|---|---|"]
    rows += [f"| {file} | `{digest}` | {licence or UNKNOWN} |" for file, digest, licence in facts.data]
    return "\n".join(rows)


def _repeat(facts: CardFacts) -> str:
    parts = []
    if facts.command is not None:
        parts.append(f"```bash\n{facts.command}\n```")
    if facts.versions:
        commit = f"; xalign's commit `{facts.commit}`" if facts.commit else ""
        parts.append("Versions: " + ", ".join(f"{k} {v}" for k, v in facts.versions.items()) + commit + ".")
    return "\n\n".join(parts)


def _bullets(rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- **{name}**: {value}" for name, value in rows)


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}\n" if text else ""
