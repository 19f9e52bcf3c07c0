"""MLflow as a mirror of run directories: one run (`mirror`), while it trains (`following`), the store it goes to
(`store`), and what MLflow's page shows first (`view`, `page`)."""

from xalign.tracking.following import following
from xalign.tracking.mirror import Mirror, sync

__all__ = ["Mirror", "following", "sync"]
