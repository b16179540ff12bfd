"""Numbers for the classes of an annotation file, whatever its ids are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mal.data.box import Box
from mal.data.coco import CocoFile, category_name, show


class ClassNumbers:
    """The classes that boxes have, numbered in the order of their first box.

    Args:
        coco: the annotation file.
        boxes: the boxes.

    Attributes:
        names: by number; where two ids share a name, the ids follow it, so that every name is there once.
        ids: category ids by number, as in the file.
    """

    def __init__(self, coco: CocoFile, boxes: Sequence[Box]) -> None:
        first = {repr(box.category_id): box.category_id for box in boxes}
        self._numbers = {key: number for number, key in enumerate(first)}
        self.ids: Sequence[Any] = list(first.values())
        names = [category_name(coco, category_id) for category_id in self.ids]
        uses = Counter(names)
        self.names: Sequence[str] = [
            f"{name} (id {show(category_id)})" if uses[name] > 1 else name
            for name, category_id in zip(names, self.ids, strict=True)
        ]

    def number(self, category_id: Any) -> int:
        """The number of a class.

        Raises:
            KeyError: no box has it.
        """
        return self._numbers[repr(category_id)]

    def __contains__(self, category_id: Any) -> bool:
        return repr(category_id) in self._numbers

    def __len__(self) -> int:
        return len(self.ids)
