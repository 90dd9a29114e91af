"""How bytes go wrong: flipped bits, cuts, holes, doubled and strange parts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def damaged(content: bytes, rng: np.random.Generator, count: int) -> Iterator[tuple[str, bytes]]:
    """Damage in turn of each kind, with a name for it."""
    size = len(content)
    for number in range(count):
        at, length = int(rng.integers(size)), int(rng.integers(1, max(2, size // 4)))
        match number % 6:
            case 0 | 1:
                bit = int(rng.integers(8 * size))
                yield f"bit {bit} flipped", flipped(content, bit)
            case 2:
                yield f"cut at {at} of {size}", content[:at]
            case 3:
                yield f"hole of {length} at {at}", content[:at] + bytes(length) + content[at + length :]
            case 4:
                noise = rng.integers(0, 256, length, np.uint8).tobytes()
                yield f"noise of {length} at {at}", content[:at] + noise + content[at + length :]
            case _:
                yield f"{length} bytes at {at} twice", content[: at + length] + content[at:]


def changed_text(text: str, rng: np.random.Generator, count: int) -> Iterator[tuple[str, str]]:
    """A text with one word in another's place, or with a line lost or doubled."""
    odd = (
        "", "nan", "-inf", "1e999999", "9" * 5000, "0x10", "-0", "1e308", "\0", "\ud800", "~nobody/x",
        "../../x", "/dev/zero", "[" * 3000, "{", "'", '"', ",", "\n", "\r", "é" * 1000, "true", "null",
        "1_000", "!!python/name:os.system",
    )  # fmt: skip
    lines = text.split("\n")
    for _ in range(count):
        row = int(rng.integers(len(lines)))
        new = list(lines)
        kind = int(rng.integers(4))
        if kind == 0:
            del new[row]
        elif kind == 1:
            new.insert(row, lines[int(rng.integers(len(lines)))])
        else:
            words = new[row].replace(",", " , ").replace("=", " = ").replace(":", " : ").split(" ")
            words[int(rng.integers(len(words)))] = odd[int(rng.integers(len(odd)))]
            new[row] = " ".join(words).replace(" , ", ",")
        yield f"line {row}: {new[row : row + 1]!r:.60}", "\n".join(new)
