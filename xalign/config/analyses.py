"""The options of each analysis, with the paper's values as defaults. Marks are those of `xalign.config.phases`."""

from __future__ import annotations

from dataclasses import dataclass

from xalign.config.fields import option
from xalign.config.phases import LANGUAGES, LOSSES, PRECISIONS, TASKS, RunOptions, further_losses
from xalign.config.transformations import TransformOptions
from xalign.extensions import task_names

RETRIEVAL_GROUPS = {
    "aligned with English": ("deu-eng", "kaz-eng", "kor-eng", "jpn-eng"),
    "aligned without English": ("jpn-kaz", "kor-kaz"),
    "others with English": ("hin-eng", "zho-eng", "spa-eng", "rus-eng"),
    "same script, not aligned": ("lit-spa", "hin-kas", "spa-fra", "rus-bul"),
    "same script, aligned": ("kaz-bul", "kaz-rus", "deu-spa", "deu-fra"),
    "different scripts, not aligned": ("spa-rus", "spa-kas", "heb-fra", "hin-zho"),
    "different scripts, aligned": ("deu-heb", "kaz-hin", "jpn-rus", "kor-fra"),
}
"""The 26 pairs of Table 2 in its seven groups."""
RETRIEVAL_PAIRS = tuple(pair for pairs in RETRIEVAL_GROUPS.values() for pair in pairs)
ENGLISH_PAIRS = tuple(f"{language}-eng" for language in LANGUAGES if language != "eng")
MEASURED_PAIRS = tuple(dict.fromkeys((*RETRIEVAL_PAIRS, *ENGLISH_PAIRS)))
"""The pairs of Table 2, and English with every target, which predictors of transfer need."""
LAYERS = ("1/3", "2/3", "1/1")
MAIN_LAYER = "2/3"  # where the paper measures retrieval: 8 of 12
PROTOCOLS = ("checkpoint", "along-finetuning")


@dataclass(frozen=True, kw_only=True)
class AnalysisOptions(RunOptions):
    """What every analysis of an encoder shares."""

    batch_size: int = option(64, "sentences encoded together", kind="execution", low=1)
    max_length: int = option(128, "tokens a sentence, special tokens included", low=8)
    precision: str = option("auto", "fp32, bf16 or fp16; auto asks the device", choices=PRECISIONS, mark="user")


@dataclass(frozen=True, kw_only=True)
class RetrieveConfig(TransformOptions, AnalysisOptions):
    """Sentence retrieval on FLORES-200: Table 2 and appendix C."""

    pairs: tuple[str, ...] = option(MEASURED_PAIRS, "language pairs", mark="paper", source="table 2, and English")
    pooling: str = option("mean", "over non-special tokens", choices=("mean", "cls"), mark="paper", source="§5.1")
    max_sentences: int | None = option(None, "the first so many sentences of FLORES-200 devtest", low=2)
    csls_neighbours: int = option(10, "neighbours of CSLS", low=1, mark="lineage", source="Conneau et al. 2018")
    xsim_neighbours: int = option(4, "neighbours of xsim's ratio margin", low=1, mark="lineage", source="LASER")
    epsilon: float = option(0.05, "share of translations that (ε,γ)-strong alignment gives up", low=0, high=0.5)


@dataclass(frozen=True, kw_only=True)
class DistancesConfig(AnalysisOptions):
    """Cosine distances of translated sentences and words: Figure 1."""

    pairs: tuple[str, ...] = option(MEASURED_PAIRS, "language pairs", mark="paper", source="table 2, and English")
    layers: tuple[str, ...] = option(LAYERS, "k of hidden_states[k], or shares of the depth", mark="paper")
    pooling: str = option("mean", "over non-special tokens", choices=("mean", "cls"), mark="paper", source="§5.1")
    max_sentences: int | None = option(None, "the first so many sentences of FLORES-200 devtest", low=2)
    word_ranks: tuple[int, ...] = option((5000, 6500), "source words of the dictionaries, by rank", low=0)


@dataclass(frozen=True, kw_only=True)
class GradientsConfig(AnalysisOptions):
    """Cosines between the gradients of objectives: Table 3."""

    precision: str = option("fp32", "gradients are compared in fp32", choices=("fp32",))
    task: str = option(help="downstream task", choices=TASKS, also=task_names)
    pair: str | None = option(None, "alignment pair; None = the pair that the model was aligned on")
    loss: str | None = option(
        None, "alignment loss; None = the one that the model was aligned with", choices=LOSSES, also=further_losses
    )
    heads: str | None = option(None, "run of 'finetune --mode linear' with heads; None = train them", kind="place")
    protocol: str = option("checkpoint", "once, or after each epoch of full fine-tuning", choices=PROTOCOLS)
    languages: tuple[str, ...] = option(LANGUAGES, "languages of the per-language views", mark="inferred")
    seeds: tuple[int, ...] = option((15, 33, 42), "heads, one each; gradients are averaged over them", low=0)
    blocks: int = option(8, "independent parts of the data, a gradient each", low=2)
    batches: int = option(4, "batches a block", low=1)
    pairs_per_batch: int = option(32, "pairs that are contrasted", low=2)
    sentences_per_batch: int = option(16, "labelled sentences", low=1, mark="paper", source="appendix B")
    epochs: int = option(15, "of the heads, and of full fine-tuning in along-finetuning", low=1, mark="paper")
    max_sentences: int | None = option(None, "cap on the training data of the heads", low=1)
    sketch: int | None = option(None, "numbers that stand for a gradient; None = all of it", low=64)
    step_size: float = option(2e-5, "rate of the one step that lookahead takes", low=0)
    seed: int = option(42, "choice of blocks, masks, negatives", low=0)


@dataclass(frozen=True, kw_only=True)
class CalibrateConfig(RunOptions):
    """A search for learning rates by English development data."""

    task: str = option(help="downstream task", choices=TASKS, also=task_names)
    mode: str = option("full", "train everything, or a head on the frozen encoder", choices=("full", "linear"))
    learning_rates: tuple[float, ...] | None = option(
        None, "candidate rates of the encoder", low=0, by={"full": (1e-5, 2e-5, 5e-5), "linear": (0.0,)}
    )
    head_learning_rates: tuple[float, ...] | None = option(
        None,
        "candidate rates of the head",
        low=0,
        by={"linear": (1e-4, 1e-3, 1e-2), "pos-full": (1e-4, 1e-3), "topic-full": (2e-5, 1e-3)},
    )
    seeds: tuple[int, ...] = option((15, 33, 42), "models for each candidate", low=0)
    epochs: int = option(15, "passes over the training data", low=1, mark="paper", source="appendix B")
    max_sentences: int | None = option(None, "cap on the training data", low=1)
