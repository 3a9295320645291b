"""Names of the mappings of arrays that annotations speak of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Masks: TypeAlias = Mapping[str, npt.NDArray[np.bool_]]
Scores: TypeAlias = Mapping[str, npt.NDArray[np.float32]]
