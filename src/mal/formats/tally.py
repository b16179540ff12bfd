"""Count what a conversion wrote, changed, lost and left out, for its report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from mal.errors import UserError

_BROKEN = "broken: "
_NAMED = 3  # records a line on the terminal names


class Tally:
    """Counters and notes of a conversion.

    Args:
        skip_broken: broken records are left out and named; else the first one is an error.

    Attributes:
        images, boxes, masks, classes: written; an annotation is either a box alone or a mask.
        left_out: by reason, the names of the records that are not in the output.
        changed: by reason, the names of the records that were written in another way than they were read.
        lost: by what it is, how often the new format had no place for a part of a record.
        outlines: by the name of an annotation whose polygons were given few corners, their number and the IoU of the
            polygons and the mask.
        notes: what else is worth knowing about the output.
    """

    def __init__(self, *, skip_broken: bool = False) -> None:
        self.skip_broken = skip_broken
        self.images = self.boxes = self.masks = self.classes = 0
        self.left_out: defaultdict[str, list[str]] = defaultdict(list)
        self.changed: defaultdict[str, list[str]] = defaultdict(list)
        self.lost: Counter[str] = Counter()
        self.outlines: dict[str, tuple[int, float]] = {}
        self.notes: list[str] = []

    def broken(self, where: str, reason: str) -> None:
        """A record that cannot be used.

        Raises:
            UserError: unless ``skip_broken``.
        """
        if not self.skip_broken:
            raise UserError(f"{where}: {reason} (--skip-broken leaves such records out and names them)")
        self.left_out[_BROKEN + reason].append(where)

    def count(self, *, has_mask: bool) -> None:
        """An annotation was written."""
        if has_mask:
            self.masks += 1
        else:
            self.boxes += 1

    @property
    def has_broken(self) -> bool:
        """Whether a record was left out that another input would not have had."""
        return any(map(is_broken, self.left_out))

    def lines(self) -> Iterator[str]:
        """The report for the terminal."""
        counts = ((self.images, "image"), (self.boxes, "box"), (self.masks, "mask"), (self.classes, "class"))
        yield ", ".join(_several(count, unit) for count, unit in counts)
        yield from (f"left out, {line}" for line in self.left_out_lines())
        for reason, names in self.changed.items():
            if names:
                yield f"changed, {reason}: {_some(names)}"
        for what, count in self.lost.items():
            yield f"no place in the format for {what}: {count}"
        if self.outlines:
            yield self._outlines_line()
        yield from self.notes

    def _outlines_line(self) -> str:
        corners, ious = zip(*self.outlines.values(), strict=True)
        lowest = min(self.outlines, key=lambda name: self.outlines[name][1])
        return (
            f"polygons: {sum(corners) / len(corners):.1f} corners an object, {max(corners)} at most; IoU with the masks"
            f" {sum(ious) / len(ious):.3f} on average, lowest {min(ious):.3f} ({lowest})"
        )

    def left_out_lines(self) -> Iterator[str]:
        """Each reason for which records are not in the output, with some of their names."""
        return (f"{reason}: {_some(names)}" for reason, names in self.left_out.items())

    def as_json(self) -> dict[str, Any]:
        """The report with every name."""
        outlines = [
            {"annotation": name, "corners": corners, "iou": iou} for name, (corners, iou) in self.outlines.items()
        ]
        return {
            "written": {"images": self.images, "boxes": self.boxes, "masks": self.masks, "classes": self.classes},
            "left_out": dict(self.left_out),
            "changed": {reason: names for reason, names in self.changed.items() if names},
            "no_place_for": dict(self.lost),
            "notes": self.notes,
        } | ({"polygons": outlines} if outlines else {})


def is_broken(reason: str) -> bool:
    """Whether a reason for leaving records out says that they are broken."""
    return reason.startswith(_BROKEN)


def _several(count: int, unit: str) -> str:
    if count == 1:
        return f"1 {unit}"
    return f"{count} {unit}{'es' if unit.endswith(('x', 's')) else 's'}"


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return f"{len(names)} ({shown}{', ...' if len(names) > _NAMED else ''})"
