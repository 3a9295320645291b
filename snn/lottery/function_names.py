"""What a function that stands in for a score or a method is called."""

from __future__ import annotations

from functools import partial
from typing import Any


def function_name(function: Any) -> str:
    """Name a score or method as tickets record it: as its function is called."""
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))
