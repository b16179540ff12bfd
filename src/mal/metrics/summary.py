"""Aggregate metrics of boxes by method, class and size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mal.coco.boxes import Box
from mal.coco.coco_file import CocoFile, category_name, show
from mal.metrics import results
from mal.metrics.bootstrap import percentile_interval, resampled_class_means, resampled_means
from mal.metrics.instance_table import METHODS, MODEL, InstanceTable
from mal.metrics.iou import IouSummary, dice_from_iou, iou_summary


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


SHARES = {"share_iou_50": 0.5, "share_iou_75": 0.75, "share_iou_90": 0.9}

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MethodSummary:
    """Figures of one method, but for mask AP.

    Attributes:
        iou: means over classes, boxes and sizes of boxes.
        by_mask_area: the same where sizes go by the true mask's area.
        means: over boxes, by name: ``boundary_iou_instances``, ``dice_instances`` and those of :data:`SHARES`; empty
            without a box.
        class_means: of each class by its number: ``boundary_iou``, ``dice`` and those of :data:`SHARES`.
        class_images: number of images of each class.
        samples: what each draw of images gave, (resamples,) by name; those of ``means``, ``miou_classes`` and
            ``miou_instances``. Empty where there are fewer than two images.
    """

    iou: IouSummary
    by_mask_area: IouSummary
    means: dict[str, float]
    class_means: dict[int, dict[str, float]]
    class_images: dict[int, int]
    samples: dict[str, Values]

    @property
    def figures(self) -> dict[str, float]:
        """Those that have intervals, by name."""
        if not self.means:
            return {}
        assert self.iou.all.classes is not None
        assert self.iou.all.instances is not None
        return {"miou_classes": self.iou.all.classes, "miou_instances": self.iou.all.instances, **self.means}


def summarize(table: InstanceTable) -> dict[str, MethodSummary]:
    """Compute metrics by method; all methods share the resamples."""
    return {method: _summary(table, number) for number, method in enumerate(METHODS)}


def _summary(table: InstanceTable, method: int) -> MethodSummary:
    columns = _columns(table, method)
    by_box, by_mask = (
        iou_summary(columns["miou_instances"], table["category"], table[area]) for area in ("box_area", "true_area")
    )
    others = {name: column for name, column in columns.items() if name != "miou_instances"}
    pairs = np.unique(table[["category", "image"]])
    classes, images = np.unique(pairs["category"], return_counts=True)
    return MethodSummary(
        iou=by_box,
        by_mask_area=by_mask,
        means={name: float(column.mean()) for name, column in others.items()} if len(table) else {},
        class_means=_class_means(others, table["category"]),
        class_images=dict(zip(classes.tolist(), images.tolist(), strict=True)),
        samples=_samples(table, columns) if len(np.unique(table["image"])) > 1 else {},
    )


def _columns(table: InstanceTable, method: int) -> dict[str, Values]:
    """Figures of each box by name."""
    iou = table["iou"][:, method].copy()
    shares = {name: (iou >= least).astype(np.float64) for name, least in SHARES.items()}
    return {
        "miou_instances": iou,
        "boundary_iou_instances": table["boundary_iou"][:, method].copy(),
        "dice_instances": dice_from_iou(iou),
        **shares,
    }


def _class_means(columns: dict[str, Values], category: npt.NDArray[np.int64]) -> dict[int, dict[str, float]]:
    keys, rows, counts = np.unique(category, return_inverse=True, return_counts=True)
    means = {
        name.removesuffix("_instances"): np.bincount(rows, column, len(keys)) / counts
        for name, column in columns.items()
    }
    return {key: {name: float(mean[row]) for name, mean in means.items()} for row, key in enumerate(keys.tolist())}


def _samples(table: InstanceTable, columns: dict[str, Values]) -> dict[str, Values]:
    over_boxes = resampled_means(np.column_stack(list(columns.values())), table["image"])
    over_classes = resampled_class_means(columns["miou_instances"][:, None], table["image"], table["category"])
    return {"miou_classes": over_classes[:, 0], **dict(zip(columns, over_boxes.T, strict=True))}


def evaluation_figures(
    summaries: dict[str, MethodSummary],
    mask_ap: dict[str, dict[str, float | None]],
    class_names: Sequence[str],
    **others: Any,
) -> results.EvaluationFigures:
    """Assemble all metrics of an evaluation.

    Args:
        summaries: by method.
        mask_ap: by method, of `mal.metrics.average_precision`.
        class_names: by the numbers that the table uses.
        others: what `EvaluationFigures` has besides: ``checkpoint``, ``images``, ``failed``,
            ``no_truth``, ``clustering``.
    """
    methods = {method: _method_figures(summary, mask_ap[method], class_names) for method, summary in summaries.items()}
    against = {f"{MODEL}_minus_{other}": _differences(summaries[MODEL], summaries[other]) for other in METHODS[1:]}
    return results.EvaluationFigures(**methods, **against, **others)


def _method_figures(
    summary: MethodSummary, mask_ap: dict[str, float | None], class_names: Sequence[str]
) -> results.MethodFigures:
    known: dict[str, Any] = {
        **dict.fromkeys(("boundary_iou_instances", "dice_instances", *SHARES)),
        **summary.iou.as_dict(),
        **summary.means,
    }
    by_class = {
        class_names[key]: results.ClassFigures(
            miou=entry.mean, n=entry.n, images=summary.class_images[key], **summary.class_means[key]
        )
        for key, entry in summary.iou.by_class.items()
    }
    by_mask_area = {
        size: results.SizeFigures(miou_classes=group.classes, miou_instances=group.instances, n=group.n)
        for size, group in summary.by_mask_area.by_size.items()
    }
    intervals = {name: percentile_interval(draws) for name, draws in summary.samples.items()}
    return results.MethodFigures(
        **known | {"by_class": by_class},
        by_mask_area=by_mask_area,
        **mask_ap,
        intervals=results.Intervals(**intervals) if intervals else None,
    )


def _differences(model: MethodSummary, other: MethodSummary) -> results.Differences | None:
    found = {
        name: results.DifferenceFigures(
            mean=value - other.figures[name],
            interval=percentile_interval(model.samples[name] - other.samples[name]) if model.samples else None,
        )
        for name, value in model.figures.items()
    }
    return results.Differences(**found) if found else None
