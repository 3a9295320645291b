"""Load what needs torch, or say how to get it."""

from __future__ import annotations

import logging

from hwmodel.commands.contract import UsageError


def require_torch(what: str = "training") -> None:
    """Load torch and spikingjelly.

    Raises
    ------
    UsageError
        They are not installed.
    """
    # On machines without a GPU torch says twice that Triton is not there.
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)
    try:
        import snn.lottery.run  # noqa: F401 (only to see whether it can be loaded)
    except ImportError as error:
        raise UsageError(
            f"{what} needs torch and spikingjelly ({error}); install them with "
            "python -m pip install -e '.[snn]'"
        ) from error
