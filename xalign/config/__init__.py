"""Configurations: dataclasses with provenance, presets, and overrides from the command line."""

from xalign.config.advise import AdviseConfig
from xalign.config.analyses import CalibrateConfig, DistancesConfig, GradientsConfig, RetrieveConfig
from xalign.config.fields import Provenance, as_dict, identity, keyed, plain
from xalign.config.joint import JointConfig
from xalign.config.methods import LangalignConfig
from xalign.config.phases import (
    ALL_LANGUAGES,
    LOSSES,
    MODES,
    TASKS,
    AlignConfig,
    FinetuneConfig,
    GridConfig,
    PretrainConfig,
    TransferConfig,
)
from xalign.config.presets import build, default_preset, parse_assignments, preset_names, show
from xalign.config.realign import RealignConfig

__all__ = [
    "ALL_LANGUAGES",
    "LOSSES",
    "MODES",
    "TASKS",
    "AdviseConfig",
    "AlignConfig",
    "CalibrateConfig",
    "DistancesConfig",
    "FinetuneConfig",
    "GradientsConfig",
    "GridConfig",
    "JointConfig",
    "LangalignConfig",
    "PretrainConfig",
    "Provenance",
    "RealignConfig",
    "RetrieveConfig",
    "TransferConfig",
    "as_dict",
    "build",
    "default_preset",
    "identity",
    "keyed",
    "parse_assignments",
    "plain",
    "preset_names",
    "show",
]
