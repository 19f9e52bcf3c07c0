"""Libraries below that would send usage data are told not to, before any of them is imported.

They read these variables when they are first imported, and child processes inherit them. Who sets one keeps it. A
program that imports mlflow or huggingface_hub before xalign has to set them itself.
"""

from __future__ import annotations

import os

# mlflow takes "true" for the last one and nothing else; huggingface_hub takes "true" and "1".
DEFAULTS = {"MLFLOW_DISABLE_TELEMETRY": "true", "HF_HUB_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


def send_none() -> None:
    """Set what is not set yet."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
