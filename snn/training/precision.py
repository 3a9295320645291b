"""Which number format is faster here."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

from snn.training.config import Precision


def autocast(precision: Precision, device: str) -> AbstractContextManager[Any]:
    """Let layers compute in bfloat16 in the block, if that is asked for or faster.

    ``auto`` takes bfloat16 where the processor has instructions for it: on GPUs that
    support it, and on CPUs with AVX-512 BF16 or AMX. Weights stay float32.
    """
    kind = torch.device(device).type
    wanted = precision == "bfloat16" or (precision == "auto" and _is_fast(kind))
    return torch.autocast(kind, torch.bfloat16, enabled=wanted)


def _is_fast(kind: str) -> bool:
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
