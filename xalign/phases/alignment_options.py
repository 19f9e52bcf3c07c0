"""Which options of an alignment go together, and what they mean for what it reads."""

from __future__ import annotations

from xalign.config import AlignConfig
from xalign.config.fields import require_switched_on
from xalign.engine import launch
from xalign.errors import UsageError
from xalign.objective import active_losses


def check_combination(config: AlignConfig) -> None:
    """Refuse options that contradict each other or the launch.

    Raises:
        UsageError: which, and what to do.
    """
    processes, losses = launch.world_size(), active_losses(config.loss)
    if config.batch_size % (processes * config.accumulation):
        raise UsageError(
            f"batch_size={config.batch_size} does not divide over {processes} processes × "
            f"accumulation={config.accumulation}"
        )
    if config.share_forward and (config.mlm_input != "separate" or "M" not in losses):
        raise UsageError(
            "share_forward reads S from M's pass over single sentences: it needs M1 and mlm_input=separate"
        )
    if config.adapter == "none":
        require_switched_on(config, "adapter=lora", ("adapter_rank", "adapter_alpha", "adapter_targets"))
    if config.positives == "dropout":
        reading = "W" if "W" in losses else "mlm_input=tlm" if "M" in losses and config.mlm_input == "tlm" else None
        if reading:
            raise UsageError(f"positives=dropout takes sentences one by one, but {reading} needs translations")
        if "S" not in losses:
            raise UsageError(f"positives=dropout says what S draws together: choose a loss with S1, not {config.loss}")


def reads_translations(config: AlignConfig) -> bool:
    """Whether it matters to a training that the sentences of a pair translate each other.

    M on single sentences does not know which sentences stand beside them in a batch.
    """
    if active_losses(config.loss) == "M":
        return config.mlm_input == "tlm"
    return config.positives == "translations"
