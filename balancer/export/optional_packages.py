"""Packages that only some exports need."""

from __future__ import annotations

import importlib
from typing import Any

from balancer.errors import ExportError


def optional_package(module: str, extra: str) -> Any:
    """Import a module of an optional package.

    Parameters
    ----------
    module : str
        Its dotted name.
    extra : str
        The extra of this project that installs it.

    Raises
    ------
    ExportError
        It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ExportError(
            f"this export needs {package}, which is not installed ({error}); "
            f"python -m pip install -e '.[{extra}]'"
        ) from error
