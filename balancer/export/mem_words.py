"""Files of hexadecimal words, as Verilog's $readmemh reads them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from balancer.array_types import AnyArray, BoolArray
from balancer.errors import TicketError


def write_words(path: Path, words: Iterable[int], bits: int, comment: str) -> None:
    """Write one word a line, all with as many digits, behind a line of comment."""
    digits = -(-bits // 4)
    lines = [f"// {comment}", *(f"{word:0{digits}x}" for word in words)]
    path.write_text("\n".join(lines) + "\n", encoding="ascii", errors="replace")


def read_words(path: Path) -> list[int]:
    """Read the words of a file.

    Raises
    ------
    TicketError
        A file that is missing, or that holds something else.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        text = " ".join(line.partition("//")[0] for line in lines)
        return [int(word, 16) for word in text.split()]
    except (OSError, ValueError) as error:
        raise TicketError(f"no words in hexadecimal ({error})", about=path) from error


def word_of_bits(bits: BoolArray) -> int:
    """Put bits into one word, the first of them lowest."""
    packed = np.packbits(bits, bitorder="little")
    return int.from_bytes(packed.tobytes(), "little")


def bits_of_word(word: int, count: int) -> AnyArray:
    """Take the lowest bits out of a word, [count]."""
    raw = word.to_bytes(-(-max(count, word.bit_length(), 1) // 8), "little")
    return np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")[:count]
