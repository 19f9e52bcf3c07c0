"""The options of each phase, with the paper's values as defaults.

Marks and sources: *paper* is stated in Veitsman, Liu & Schütze 2026 (arXiv 2603.18863); *inferred* follows from what it
states; *lineage* was read in the released code of works it builds on; *chosen* is ours where the text is blank.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, combinations

from xalign.config.fields import option, resolve
from xalign.config.transformations import TransformOptions
from xalign.extensions import loss_letters, task_names

LANGUAGES = ("deu", "eng", "kaz", "kor", "jpn", "hin", "zho", "spa", "rus", "lit", "kas", "fra", "bul", "heb")
ALL_LANGUAGES = ("all",)
"""In place of a list: every language that the data has for the task."""
LOSSES = ("S0W0M1", "S0W1M0", "S0W1M1", "S1W0M0", "S1W0M1", "S1W1M0", "S1W1M1")
TASKS = ("pos", "topic")
MODES = ("full", "linear")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def further_losses() -> list[str]:
    """Configurations with losses that packages add: ``S0W0M0D1``, ``S1W0M1D1``."""
    letters = loss_letters()
    added = chain.from_iterable(combinations(letters, count) for count in range(1, len(letters) + 1))
    return [base + "".join(f"{letter}1" for letter in some) for some in added for base in ("S0W0M0", *LOSSES)]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What every phase shares: where it reads and writes, and how it is executed."""

    model: str = option("mini", "hub name, Hugging Face directory, run directory, or mini", kind="place")
    data: str | None = option(None, "data directory; without one the embedded testbed", kind="place")
    output: str = option(help="the run's directory", kind="place")
    resume: bool = option(False, "continue an interrupted run", kind="execution")
    overwrite: bool = option(False, "delete what stands in the output directory", kind="execution")
    tracking: str = option("mlflow", "where metrics are mirrored", kind="execution", choices=("mlflow", "none"))
    log_checkpoints: str = option(
        "final", "which encoders and heads MLflow keeps", kind="execution", choices=("none", "final", "all")
    )
    quiet: bool = option(False, "no progress display", kind="execution")

    def __post_init__(self) -> None:
        resolve(self)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(RunOptions):
    """What every phase that trains shares."""

    precision: str = option("auto", "fp32, bf16 or fp16; auto asks the device", choices=PRECISIONS, mark="user")
    accumulation: int = option(1, "micro-batches a step; S contrasts fewer, unless grad_cache", low=1)
    clip: float = option(1.0, "gradient norm above which gradients are scaled down", low=0)
    warmup: float = option(
        0.1, "share of the steps with a rising rate", low=0, high=1, mark="lineage", source="TransliCo, PPA"
    )
    bucket_batches: int = option(64, "batches sorted by length together; 1 = random batches", low=1)
    compile: bool = option(False, "compile the encoder's layers with torch.compile", kind="execution")
    gradient_checkpointing: bool = option(
        False, "keep no activations inside layers: less memory, a third more work", kind="execution"
    )
    vocabulary: str = option(
        "used",
        "embeddings that S and tasks train: the rows that the data use, or the whole table, for the same result",
        choices=("used", "whole"),
        kind="execution",
    )
    save_every: int = option(500, "steps between checkpoints", kind="execution", low=1)
    workers: int | None = option(
        None, "processes that prepare batches; None = 2 beside a GPU, else 0", kind="execution", low=0
    )
    timeout_seconds: int = option(600, "a process silent for so long ends all", kind="execution", low=1)


@dataclass(frozen=True, kw_only=True)
class AlignConfig(TrainingOptions):
    """Phase I: alignment tuning with the modified HiCTL objective."""

    bucket_batches: int = option(1, "batches sorted by length together: negatives of like length; 1 = random", low=1)
    length_groups: int | None = option(
        None, "tables by length that a batch is encoded in; None = 2 on a GPU, else 4", kind="execution", low=1
    )
    pair: str = option(help="language pair, for example de-en")
    loss: str = option(
        "S1W0M1", "sentence, word and masked-LM loss: on or off", choices=LOSSES, mark="paper", source="§4.2",
        also=further_losses,
    )  # fmt: skip
    steps: int = option(6000, "optimizer steps", low=1, mark="paper", source="appendix B")
    keep_steps: tuple[int, ...] = option(
        (3000,), "encoders kept on the way", low=1, mark="paper", source="§4.2", empty=True
    )
    batch_size: int = option(32, "pairs a step, over all processes", low=2, source="6,000 × 32 / 100,000 = 1.9 passes")
    learning_rate: float = option(2e-5, "peak rate", low=0, mark="lineage", source="TransliCo, PPA")
    weight_decay: float = option(0.0, "AdamW's decay", low=0)
    max_length: int = option(128, "tokens a sentence, special tokens included", low=8)
    max_pairs: int | None = option(
        None, "cap on the corpus", low=2, by={"en-kk": 80_000, "other": 100_000}, mark="paper", source="§4.2"
    )
    shared_with: tuple[str, ...] = option(
        (), "other pairs: keep the sentences of the common language that all have (language or corpus?)"
    )
    held_out: int = option(2000, "pairs set aside before the cap", low=2)
    temperature: float = option(
        0.1, "τ of both contrasts", low=1e-6, mark="lineage", source="Gaschi 2023; Wu & Dredze 2020"
    )
    layer: str = option(
        "2/3",
        "k of hidden_states[k], or a share of the depth: 2/3 is 8 of 12",
        mark="lineage",
        source="TransliCo, InfoXLM",
    )
    pooling: str = option(
        "mean", "over non-special tokens", choices=("mean", "cls"), mark="lineage", source="TransliCo, InfoXLM"
    )
    negatives: str = option(
        "both", "languages that supply a sentence's negatives", choices=("both", "cross"), mark="inferred"
    )
    word_negatives: int = option(512, "subword ids drawn against a pair's own", low=1)
    detach_lookup: bool = option(False, "no gradient from W into the embedding table through its lookup")
    mlm_input: str = option(
        "separate", "mask sentences one by one, or the concatenated pair", choices=("separate", "tlm"), mark="lineage"
    )
    mlm_probability: float = option(0.15, "share of non-special tokens to predict", low=0.01, high=0.9, mark="lineage")
    share_forward: bool = option(False, "S reads the masked pass, as TransliCo does")
    grad_cache: bool = option(
        False, "S contrasts all micro-batches of a step at once, for one more forward pass", source="Gao et al. 2021"
    )
    positives: str = option(
        "translations", "what S draws together: translations, or a sentence and itself under another dropout mask",
        choices=("translations", "dropout"), source="the paper; Gao, Yao & Chen 2021", late=True,
    )  # fmt: skip
    adapter: str = option(
        "none", "train the whole encoder, or low-rank adapters inside it", choices=("none", "lora"),
        source="the paper; Hu et al. 2022", late=True,
    )  # fmt: skip
    adapter_rank: int = option(8, "rank of an adapter", low=1, late=True)
    adapter_alpha: float = option(16.0, "alpha: adapters count alpha / rank times", low=1e-6, late=True)
    adapter_targets: tuple[str, ...] = option(
        (), "linear modules with an adapter, by the ends of their names; none = the attention's query and value",
        source="Hu et al. 2022", late=True,
    )  # fmt: skip
    dropout: float | None = option(None, "None = the encoder's own", low=0, high=0.9)
    seed: int = option(42, "order, masks, negatives, dropout", low=0)
    eval_every: int = option(500, "steps between validations on held-out pairs", low=1, kind="execution")
    eval_pairs: int = option(1000, "held-out pairs that a validation encodes", low=2, kind="execution")


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(TrainingOptions):
    """Phase II: fine-tuning on English, all of the encoder or the head alone."""

    task: str = option(help="downstream task", choices=TASKS, also=task_names)
    mode: str = option("full", "train everything, or a head on the frozen encoder", choices=MODES, mark="paper")
    language: str = option("eng", "language of the training data", mark="paper")
    treebank: str | None = option(None, "UD treebank of the training data; None = the preferred one")
    seeds: tuple[int, ...] = option((15, 33, 42), "one model each", low=0, mark="paper", source="appendix B")
    batch_size: int = option(16, "sentences a step", low=1, mark="paper", source="appendix B")
    epochs: int = option(15, "passes over the training data", low=1, mark="paper", source="appendix B")
    max_length: int = option(
        256, "tokens a sentence, special tokens included", low=8, mark="paper", source="appendix B"
    )
    max_sentences: int | None = option(None, "cap on the training data", low=1)
    learning_rate: float | None = option(None, "peak rate of the encoder", low=0, by={"full": 2e-5, "linear": 0.0})
    head_learning_rate: float | None = option(
        None, "peak rate of the head", low=0, by={"linear": 1e-3, "pos-full": 1e-3, "topic-full": 2e-5}
    )
    weight_decay: float | None = option(
        None, "AdamW's decay", low=0, by={"pos": 0.01, "topic": 0.0}, mark="inferred",
        source="appendix B, the POS table",
    )  # fmt: skip
    dropout: float | None = option(
        None, "in the encoder and before the head", low=0, high=0.9, by={"full": 0.1, "linear": 0.0}
    )
    warmup: float = option(0.0, "share of the steps with a rising rate", low=0, high=1)
    bucket_batches: int = option(8, "batches sorted by length together; 1 = random batches", low=1)
    pooling: str = option("mean", "sentence vector of topic classification", choices=("mean", "cls"))
    label_on: str = option("first", "piece of a word that carries its tag", choices=("first", "first-nonblank"))
    select: str = option("last", "epoch whose weights are kept", choices=("last", "best-dev"))
    features: bool = option(True, "linear mode: encode once, train on the stored features", kind="execution")
    probe: bool = option(True, "linear mode: also a converged logistic probe")
    codeswitch: float = option(
        0.0, "share of the training words exchanged for a translation", low=0, high=1, source="Qin 2020, CoSDA-ML",
        late=True,
    )  # fmt: skip
    codeswitch_languages: tuple[str, ...] = option((), "languages of the translations", late=True)
    codeswitch_seed: int = option(42, "which words, and which translations", low=0, late=True)


@dataclass(frozen=True, kw_only=True)
class TransferConfig(TransformOptions, RunOptions):
    """Phase III: zero-shot evaluation of a fine-tuned model in other languages."""

    languages: tuple[str, ...] = option(
        LANGUAGES, "target languages; all: every one that the data has", mark="inferred", source="tables 1 and 2"
    )
    batch_size: int = option(64, "sentences encoded together", low=1, kind="execution")
    max_length: int = option(
        256, "tokens a sentence, special tokens included", low=8, mark="paper", source="appendix B"
    )
    max_sentences: int | None = option(None, "cap on a language's test set", low=1)
    transform_layer: str = option("1/1", "k of hidden_states[k], or a share of the depth, that is mapped", late=True)
    precision: str = option("auto", "fp32, bf16 or fp16; auto asks the device", choices=PRECISIONS, mark="user")


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(TrainingOptions):
    """Masked-LM pre-training of a small encoder and its tokenizer, from text alone."""

    model: str = option("none", "unused: the encoder starts from random weights", kind="execution")
    languages: tuple[str, ...] = option(("deu", "eng", "kaz", "jpn", "kor", "rus"), "languages of the text")
    vocab_size: int = option(4000, "entries of the tokenizer, at most", low=64)
    layers: int = option(12, "transformer layers", low=1)
    width: int = option(64, "hidden size", low=8)
    heads: int = option(4, "attention heads", low=1)
    feed_forward: int = option(256, "inner size of the feed-forward blocks", low=8)
    initializer_range: float = option(0.06, "sd of initial weights; narrow encoders want more than XLM-R's 0.02", low=0)
    steps: int = option(2000, "optimizer steps", low=1)
    batch_size: int = option(64, "sentences a step, over all processes", low=2)
    learning_rate: float = option(1e-3, "peak rate", low=0)
    weight_decay: float = option(0.01, "AdamW's decay", low=0)
    max_length: int = option(128, "tokens a sentence, special tokens included", low=8)
    max_sentences: int | None = option(None, "cap on each language's text", low=1)
    parallel_pairs: int = option(0, "pairs of each parallel corpus read as concatenated sentences", low=0)
    mlm_probability: float = option(0.15, "share of non-special tokens to predict", low=0.01, high=0.9)
    dropout: float = option(0.0, "during pre-training; the saved configuration says 0.1", low=0, high=0.9)
    seed: int = option(42, "weights, order, masks", low=0)


@dataclass(frozen=True, kw_only=True)
class GridConfig:
    """Which cells of the paper's matrix a grid runs."""

    pairs: tuple[str, ...] = option(
        ("de-en", "en-kk", "ja-kk", "kk-ko"), "alignment pairs", mark="paper", source="§4.2"
    )
    losses: tuple[str, ...] = option(
        LOSSES, "alignment losses", choices=LOSSES, mark="paper", source="table 1", also=further_losses
    )
    align_seeds: tuple[int, ...] = option((42,), "alignment seeds of each cell", low=0)
    tasks: tuple[str, ...] = option(TASKS, "downstream tasks", choices=TASKS, mark="paper", also=task_names)
    modes: tuple[str, ...] = option(MODES, "fine-tuning modes", choices=MODES, mark="paper")

    def __post_init__(self) -> None:
        resolve(self)
