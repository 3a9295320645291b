"""Spiking networks in torch: what needs torch, and nothing that does not.

>>> from snn import LotteryConfig
>>> LotteryConfig(rounds=12).method
'optimal-order'

`run_lottery` runs such a configuration.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snn.lottery.config import LotteryConfig
    from snn.lottery.run import LotteryResult, run_lottery
    from snn.lottery.watcher import Watcher

__all__ = ["LotteryConfig", "LotteryResult", "Watcher", "run_lottery"]

_HOMES = {
    "LotteryConfig": "snn.lottery.config",
    "Watcher": "snn.lottery.watcher",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for only then: torch takes seconds, and may not be there."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "snn.lottery.run")), name)
