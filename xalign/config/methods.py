"""The options of each method beyond the paper's alignment. Marks are those of `xalign.config.phases`."""

from __future__ import annotations

from dataclasses import dataclass

from xalign.config.fields import option
from xalign.config.phases import PRECISIONS, TASKS, RunOptions


@dataclass(frozen=True, kw_only=True)
class LangalignConfig(RunOptions):
    """LangAlign: an adapter between encoder and head. Source: Kim et al. 2025, arXiv 2503.18603."""

    task: str = option(help="downstream task", choices=TASKS)
    pair: str = option(help="English and the target language, for example de-en")
    architecture: str = option(
        "fc", "fully connected, or an autoencoder", choices=("fc", "ae"), mark="lineage", source="Kim 2025"
    )
    adapter_layers: int = option(6, "linear layers of the adapter", low=1, mark="lineage", source="Kim 2025")
    adapter_dropout: float = option(0.1, "between its layers", low=0, high=0.9)
    adapter_steps: int = option(4000, "steps of the adapter, however many translations there are", low=1)
    adapter_learning_rate: float = option(1e-3, "peak rate of the adapter", low=0)
    adapter_batch_size: int = option(32, "translations a step", low=1)
    reverse: bool = option(False, "map the target language to English, for a head trained on English")
    skip_step1: bool = option(False, "leave the encoder as it is: no fine-tuning on English first")
    step1: str | None = option(
        None, "where the fine-tuned encoder is, or will be kept, so that several runs share it", kind="place"
    )
    parallel: str = option(
        "in-domain", "translations of task sentences, or of any", choices=("in-domain", "general"), mark="lineage",
        source="Kim 2025",
    )  # fmt: skip
    sentences: int | None = option(None, "translated sentences; None = all there are", low=20)
    unfrozen: bool = option(False, "a further network, whose encoder learns with it in step 2")
    noise: float = option(0.0, "share of translations exchanged for those of other sentences", low=0, high=1)
    seeds: tuple[int, ...] = option((15, 33, 42), "heads, one each", low=0, mark="paper", source="appendix B")
    epochs: int = option(15, "of heads, and of the encoder in step 1", low=1, mark="paper", source="appendix B")
    max_sentences: int | None = option(None, "cap on the task's training data", low=1)
    max_length: int = option(128, "tokens a sentence, special tokens included", low=8)
    learning_rate: float = option(2e-5, "peak rate of the encoder in step 1", low=0)
    head_learning_rate: float = option(1e-3, "peak rate of the heads", low=0)
    seed: int = option(42, "of step 1, the adapter, and which translations are taken", low=0)
    batch_size: int = option(64, "sentences encoded together", kind="execution", low=1)
    precision: str = option("auto", "fp32, bf16 or fp16; auto asks the device", choices=PRECISIONS, mark="user")

    @property
    def variant(self) -> str:
        """What sets this run apart from others with the same task, pair and encoder: ``fc``, ``ae-reverse-n200``."""
        words = {
            "adapter_layers": "layers{}", "adapter_dropout": "dropout{:g}", "adapter_steps": "steps{}",
            "reverse": "reverse", "skip_step1": "no-step1", "parallel": "{}", "sentences": "n{}",
            "unfrozen": "unfrozen", "noise": "noise{:g}", "seed": "seed{}",
        }  # fmt: skip
        fields = type(self).__dataclass_fields__
        changed = {name: getattr(self, name) for name in words if getattr(self, name) != fields[name].default}
        return "-".join([self.architecture, *(words[name].format(value) for name, value in changed.items())])
