"""A column of ids or other JSON values, which are nearly always small integers."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt


class JsonColumn:
    """Values of any JSON type: 64-bit integers lie in an array, anything else in a dict beside it.

    Attributes:
        others: by row, the values that are no 64-bit integers.
    """

    def __init__(self) -> None:
        self._integers = array("q")
        self.others: dict[int, Any] = {}

    def append(self, value: Any) -> None:
        """Add a row."""
        if type(value) is not int or not -(2**63) <= value < 2**63:
            self.others[len(self._integers)] = value
            value = 0
        self._integers.append(value)

    @property
    def integers(self) -> npt.NDArray[np.int64]:
        """(N,) int64; 0 in the rows of ``others``. No row can be added while someone holds it."""
        return np.frombuffer(self._integers, np.int64)

    def __len__(self) -> int:
        return len(self._integers)

    def __getitem__(self, row: int) -> Any:
        return self.others[row] if row in self.others else self._integers[row]
