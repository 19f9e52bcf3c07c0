"""Every phase and analysis by name: where its options are."""

from __future__ import annotations

from xalign.config.advise import AdviseConfig
from xalign.config.analyses import CalibrateConfig, DistancesConfig, GradientsConfig, RetrieveConfig
from xalign.config.joint import JointConfig
from xalign.config.methods import LangalignConfig
from xalign.config.phases import AlignConfig, FinetuneConfig, GridConfig, PretrainConfig, TransferConfig
from xalign.config.realign import RealignConfig

PHASES: dict[str, type] = {
    "align": AlignConfig,
    "finetune": FinetuneConfig,
    "transfer": TransferConfig,
    "pretrain": PretrainConfig,
    "retrieve": RetrieveConfig,
    "distances": DistancesConfig,
    "gradients": GradientsConfig,
    "calibrate": CalibrateConfig,
    "langalign": LangalignConfig,
    "joint": JointConfig,
    "advise": AdviseConfig,
    "realign": RealignConfig,
    "grid": GridConfig,
}
