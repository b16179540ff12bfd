"""A set of positions in a list, a byte for each place of the list."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt


class Positions(Collection[int]):
    """The places where an array holds True.

    Args:
        is_in: (N,) bool.
    """

    def __init__(self, is_in: npt.NDArray[np.bool_]) -> None:
        self._is_in = is_in

    def __contains__(self, position: object) -> bool:
        return isinstance(position, int) and 0 <= position < len(self._is_in) and bool(self._is_in[position])

    def __iter__(self) -> Iterator[int]:
        return (int(position) for position in np.flatnonzero(self._is_in))

    def __len__(self) -> int:
        return int(self._is_in.sum())
