"""The options of joint training. Marks are those of `xalign.config.phases`."""

from __future__ import annotations

from dataclasses import dataclass

from xalign.config.fields import option
from xalign.config.phases import LOSSES, FinetuneConfig, further_losses
from xalign.errors import UsageError

COMBINATIONS = ("sum", "pcgrad", "cagrad", "mgda", "gradvac", "random", "alternate")


@dataclass(frozen=True, kw_only=True)
class JointConfig(FinetuneConfig):
    """Alignment and the English task in one training; the task's options are those of ``finetune``."""

    mode: str = option("full", "unused: the encoder is trained", choices=("full",), kind="execution")
    features: bool = option(False, "unused, stays false: the encoder is trained", kind="execution")
    probe: bool = option(False, "unused, stays false: the encoder is trained", kind="execution")
    pair: str = option(help="language pair, for example de-en")
    bucket_batches: int = option(
        8, "batches sorted by length together, of the task and of the pairs; 1 = random batches", low=1
    )
    combine: str = option("pcgrad", "how gradients become one; random and alternate are controls", choices=COMBINATIONS)
    align_weight: float = option(1.0, "factor of the alignment losses, before gradients are combined", low=0)
    objectives: str = option(
        "two", "combine the task with alignment as one, or with each of its losses", choices=("two", "each-loss")
    )
    cagrad_c: float = option(0.5, "CAGrad: radius around the mean gradient, in its norms", low=0)
    gradvac_beta: float = option(0.01, "GradVac: how far a step moves the wanted cosines", low=0, high=1)
    freeze: str = option("none", "what nothing trains: embeddings and the lower half", choices=("none", "lower"))
    loss: str = option(
        "S1W0M0", "alignment losses: sentence, word, masked-LM; on or off", choices=LOSSES, also=further_losses
    )
    pairs_batch_size: int = option(32, "pairs a step, over all processes", low=2, source="as in align")
    pairs_max_length: int = option(128, "tokens a sentence of a pair, special tokens included", low=8)
    max_pairs: int | None = option(
        None, "cap on the corpus", low=2, by={"en-kk": 80_000, "other": 100_000}, mark="paper", source="§4.2"
    )
    held_out: int = option(2000, "pairs set aside before the cap", low=2)
    temperature: float = option(
        0.1, "τ of both contrasts", low=1e-6, mark="lineage", source="Gaschi 2023; Wu & Dredze 2020"
    )
    layer: str = option(
        "2/3", "k of hidden_states[k] that S and W read, or a share of the depth", mark="lineage",
        source="TransliCo, InfoXLM",
    )  # fmt: skip
    align_pooling: str = option(
        "mean", "sentence vector of S and W", choices=("mean", "cls"), mark="lineage", source="TransliCo, InfoXLM"
    )
    negatives: str = option(
        "both", "languages that supply a sentence's negatives", choices=("both", "cross"), mark="inferred"
    )
    word_negatives: int = option(512, "subword ids drawn against a pair's own", low=1)
    mlm_input: str = option(
        "separate", "mask sentences one by one, or the concatenated pair", choices=("separate", "tlm"), mark="lineage"
    )
    mlm_probability: float = option(0.15, "share of non-special tokens to predict", low=0.01, high=0.9, mark="lineage")
    grad_cache: bool = option(
        False, "S contrasts all micro-batches of a step at once, for one more forward pass", source="Gao et al. 2021"
    )
    eval_pairs: int = option(300, "held-out pairs that a validation encodes", low=2, kind="execution")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("features", "probe"):
            if getattr(self, name):
                raise UsageError(
                    f"{name}=true is for a head on a frozen encoder; joint trains the encoder: leave it out"
                )
