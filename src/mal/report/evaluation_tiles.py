"""The figures at the head of an evaluation's report, and the sentences above them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mal.report.findings import Tile
from mal.report.instances import Instances
from mal.report.page import share_text

FIGURES = (
    ("miou_classes", "mIoU over classes", "mean of the classes' mean IoU; the published definition"),
    ("miou_instances", "mIoU over boxes", "mean IoU of all masks"),
    ("boundary_iou_instances", "Boundary IoU", "agreement along the outline only"),
    ("dice_instances", "Dice", "mean over all masks"),
    ("share_iou_50", "IoU ≥ 0.5", "share of masks: the object is found"),
    ("share_iou_75", "IoU ≥ 0.75", "share of masks: good for most uses"),
    ("share_iou_90", "IoU ≥ 0.9", "share of masks: as a careful annotator draws"),
    ("mask_ap", "Mask AP", "COCO AP with the true boxes given"),
)
METHODS = (("ellipse", "ellipse in box"), ("box", "filled box"))
LOW = 0.5  # a mask below this IoU is called poor


def evaluation_tiles(metrics: Mapping[str, Any]) -> list[Tile]:
    """Tiles of the figures that `metrics.json` holds."""
    tiles = []
    for key, name, note in FIGURES:
        value = _figure(metrics, "model", key)
        if value is not None:
            others = [(title, _figure(metrics, method, key)) for method, title in METHODS]
            known = [(title, other) for title, other in others if other is not None]
            tiles.append(Tile(name, value, _interval(metrics, key), known, note))
    return tiles


def story(tiles: list[Tile], instances: Instances) -> str:
    """What was found, in two or three sentences."""
    if not tiles:
        return ""
    tile = tiles[0]
    sentences = [f"The masks reach {tile.value:.3f} {tile.name}{_range(tile)}"]
    if tile.others:
        title, best = max(tile.others, key=lambda other: other[1])
        sentences[0] += f"; the {title} alone reaches {best:.3f}"
    iou = instances.measures.get("iou")
    if iou is not None:
        known = iou[~np.isnan(iou)]
        poor = int((known < LOW).sum())
        sentences.append(
            f"{poor:,} of {len(known):,} masks ({share_text(poor / max(1, len(known)))}) stay below an IoU of 0.5"
        )
        worse = instances.measures.get("ellipse_iou")
        if worse is not None:
            lost = int((iou < worse).sum())
            sentences.append(
                f"{lost:,} ({share_text(lost / max(1, len(known)))}) are worse than the plain ellipse in their box"
            )
    return ". ".join(sentences) + "."


def _range(tile: Tile) -> str:
    return f" (95 % interval {tile.interval[0]:.3f} to {tile.interval[1]:.3f})" if tile.interval else ""


def _figure(metrics: Mapping[str, Any], method: str, key: str) -> float | None:
    value = metrics.get(method, {}).get(key)
    return float(value) if isinstance(value, (int, float)) else None


def _interval(metrics: Mapping[str, Any], key: str) -> tuple[float, float] | None:
    found = (metrics.get("model", {}).get("intervals") or {}).get(key)
    return (float(found[0]), float(found[1])) if found else None
