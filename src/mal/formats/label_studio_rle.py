"""Encode and decode the run-length code of Label Studio's brush, a bit string in bytes.

Its layout is that of the JavaScript package rle-pack: 32 bits for the number of values, 5 for the width of a value less
1, four times 4 for widths of lengths less 1; then pieces: 1 bit (a run, or single values), 2 bits (which of the four
widths), the length less 1, and the value or values. The values are the RGBA bytes of a picture, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_CHANNELS = 4
_VALUE_BITS = 8
_LENGTH_BITS = (4, 8, 12, 16)
_LARGEST_RUN = 2 ** _LENGTH_BITS[-1]


def encode(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Encode a mask to bytes.

    Args:
        mask: (H, W) bool.
    """
    values = mask.ravel()
    starts = np.flatnonzero(np.diff(values, prepend=~values[:1]))
    lengths = np.diff(starts, append=len(values)) * _CHANNELS
    bits = [f"{len(values) * _CHANNELS:032b}", f"{_VALUE_BITS - 1:05b}", *(f"{size - 1:04b}" for size in _LENGTH_BITS)]
    for is_set, length in zip(values[starts].tolist(), lengths.tolist(), strict=True):
        while length > 0:
            run = min(length, _LARGEST_RUN)
            bits.append(_run(run, is_set=is_set))
            length -= run
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def decode(code: Sequence[int], height: int, width: int) -> npt.NDArray[np.bool_]:
    """Decode to a mask, (H, W) bool: where the image is not transparent.

    Raises:
        ValueError: the code is cut off, or that of a picture of another size.
    """
    stream = _Bits(bytes(code))
    total, value_bits = stream.take(32), stream.take(5) + 1
    if total != height * width * _CHANNELS:
        raise ValueError(f"the brush code holds {total} values, an image of {width} x {height} has {_CHANNELS} a pixel")
    sizes = [stream.take(4) + 1 for _ in range(4)]
    pieces: list[npt.NDArray[np.int64]] = []
    done = 0
    while done < total:
        is_run = stream.take(1)
        length = stream.take(sizes[stream.take(2)]) + 1
        if is_run:
            pieces.append(np.full(min(length, total - done), stream.take(value_bits)))
        else:
            pieces.append(np.array([stream.take(value_bits) for _ in range(length)]))
        done += length
    picture = np.concatenate(pieces)[:total].reshape(height, width, _CHANNELS)
    return picture[:, :, -1] > 0


def _run(length: int, *, is_set: bool) -> str:
    which = next(index for index, size in enumerate(_LENGTH_BITS) if length <= 2**size)
    return f"1{which:02b}{length - 1:0{_LENGTH_BITS[which]}b}" + ("1" if is_set else "0") * _VALUE_BITS


class _Bits:
    """A reader of unsigned integers from a bit string."""

    def __init__(self, content: bytes) -> None:
        self._text = f"{int.from_bytes(content, 'big'):0{len(content) * 8}b}" if content else ""
        self._at = 0

    def take(self, count: int) -> int:
        """Read the next bits as a number.

        Raises:
            ValueError: there are not as many.
        """
        bits = self._text[self._at : self._at + count]
        if len(bits) < count:
            raise ValueError("the brush code is cut off")
        self._at += count
        return int(bits, 2)
