"""Which number format is faster here."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

from snn.training.config import Precision


def autocast(precision: Precision, device: str) -> AbstractContextManager[Any]:
    """Let layers compute in bfloat16 in the block, if that is asked for or faster.

    ``auto`` takes bfloat16 where the processor has instructions for it: on GPUs that
    support it, and on CPUs with AVX-512 BF16 or AMX, whatever the size of the images.
    With AVX-512 BF16 and images stored channels last, training steps were 1.2 to 1.4
    times as fast for 8 x 8 pixels and 1.1 to 2.5 times for 16 x 16 to 32 x 32. Weights
    stay float32.
    """
    kind = torch.device(device).type
    wanted = precision == "bfloat16" or (precision == "auto" and _is_fast(kind))
    return torch.autocast(kind, torch.bfloat16, enabled=wanted)


def _is_fast(kind: str) -> bool:
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
