"""Match the same box across evaluations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mal.metrics.comparison import PairedBoxes
from mal.metrics.instance_file import InstanceRow

NEAR = 1.0  # pixels that the sides of one box may differ between files, as where one of them has rounded

Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class MatchedBoxes:
    """The boxes that all of R runs have.

    Attributes:
        rows: (N, R) int64, the row of each box in each run's list, in the order of the first run.
        alone: for each run, how many of its boxes another run lacks.
        moved: number of boxes with the same image and id, but other coordinates in some run; not among ``rows``.
        other_truth: boxes among ``rows`` whose true masks are of different area.
    """

    rows: npt.NDArray[np.int64]
    alone: tuple[int, ...]
    moved: int
    other_truth: int


def match_boxes(runs: Sequence[Sequence[InstanceRow]]) -> MatchedBoxes:
    """Find the boxes that all runs have: those with the same image file and annotation id.

    Of annotations that share an id, the first of one run goes with the first of another, and so on.

    Args:
        runs: the rows of each; at least one run.
    """
    places = [{key: row for row, key in enumerate(_keys(run))} for run in runs]
    common = [key for key in places[0] if all(key in place for place in places[1:])]
    rows = np.array([[place[key] for place in places] for key in common], np.int64).reshape(-1, len(runs))
    boxes = np.stack([_column(run, rows[:, number]) for number, run in enumerate(runs)], axis=1)
    at_one_place = (np.ptp(boxes[..., :4], axis=1) <= NEAR).all(axis=1)
    other_truth = np.ptp(boxes[..., 4], axis=1) > 0
    return MatchedBoxes(
        rows=rows[at_one_place],
        alone=tuple(len(run) - len(common) for run in runs),
        moved=int((~at_one_place).sum()),
        other_truth=int((other_truth & at_one_place).sum()),
    )


def paired_boxes(runs: Sequence[Sequence[InstanceRow]], matched: MatchedBoxes) -> tuple[PairedBoxes, list[str]]:
    """The figures of the matched boxes, with images, classes and sizes as the first run has them.

    Returns:
        The boxes, and the names of the classes by the numbers that they use.
    """
    first = [runs[0][row] for row in matched.rows[:, 0]]
    chosen = [[run[row] for row in matched.rows[:, number]] for number, run in enumerate(runs)]
    _, images = _factorize([box.file_name for box in first])
    names, classes = _factorize([box.category for box in first])
    shape = (len(runs), len(first))
    paired = PairedBoxes(
        iou=np.array([[_as_written(box.iou) for box in run] for run in chosen]).reshape(shape).T,
        boundary_iou=np.array([[_as_written(box.boundary_iou) for box in run] for run in chosen]).reshape(shape).T,
        images=images,
        classes=classes,
        box_areas=np.array([box.box_area for box in first], np.float64),
    )
    return paired, names


def _keys(run: Sequence[InstanceRow]) -> list[Key]:
    seen: Counter[tuple[str, str]] = Counter()
    keys = []
    for row in sorted(range(len(run)), key=lambda row: run[row].annotation_index):
        who = run[row].file_name, run[row].annotation_id
        keys.append((row, (*who, seen[who])))
        seen[who] += 1
    return [key for _, key in sorted(keys)]


def _column(run: Sequence[InstanceRow], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(N, 5): left, upper, right and lower side of the boxes, and area of the true masks."""
    boxes = (run[row] for row in rows)
    values = [[box.x, box.y, box.x + box.w, box.y + box.h, box.true_area] for box in boxes]
    return np.array(values, np.float64).reshape(-1, 5)


def _as_written(value: float) -> float:
    """As ``instances.csv`` has it: else the same mask, read from a label file, differs in the seventh digit."""
    return float(f"{value:.6g}")


def _factorize(values: Sequence[str]) -> tuple[list[str], npt.NDArray[np.int64]]:
    numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
    return list(numbers), np.array([numbers[value] for value in values], np.int64)
