"""Read Label Studio: tasks in JSON, exported or for import."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mal.data.coco import CocoFile
from mal.data.coco_document import document_as_a_whole
from mal.errors import UserError
from mal.formats.builder import CocoBuilder
from mal.formats.by_image import Json
from mal.formats.label_studio_rle import decode
from mal.formats.options import ReadOptions
from mal.formats.restore import CARRIED, restored, restored_box
from mal.formats.tally import Tally
from mal.masks.rle import Rle, rle_from_mask, rle_from_segmentation

_TAGS = ("brushlabels", "polygonlabels", "rectanglelabels")
_SAME = 1e-4  # pixels that the side of an unedited box may differ by, after its way through per cents


def read_label_studio(path: Path, _: ReadOptions, tally: Tally) -> CocoFile:
    """Read exported or imported tasks: of each the first annotation that was not cancelled, else the first prediction.

    Raises:
        UserError: the file is damaged or holds no tasks; a task or region that is broken is named.
    """
    tasks, _strict = document_as_a_whole(path)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and "data" in task for task in tasks):
        raise UserError(f"{path}: Label Studio's JSON is a list of tasks with data, this is something else")
    builder = CocoBuilder()
    for number, task in enumerate(tasks):
        where = f"{path}, task {task.get('id', number)}"
        try:
            _read_task(task, where, builder, tally)
        except (KeyError, TypeError, AttributeError) as error:
            tally.broken(where, f"not as Label Studio writes it: {error!r}")
    return builder.build(path, tally)


def _read_task(task: Json, where: str, builder: CocoBuilder, tally: Tally) -> None:
    finished = [result for result in task.get("annotations") or () if not result.get("was_cancelled")]
    results = finished or list(task.get("predictions") or ())
    if len(results) > 1:
        tally.left_out["a task has several answers, the first is used"] += [where] * (len(results) - 1)
    regions = results[0].get("result") or [] if results else []
    data = task["data"]
    record = dict(data.get(CARRIED) or {})
    size = _size(regions, record)
    address = str(data.get("image") or next(value for value in data.values() if isinstance(value, str)))
    builder.image(str(record.pop("file_name", _file_name(address))), size, record)
    for group in _groups(regions).values():
        try:
            _read_annotation(group, size, where, builder, tally)
        except ValueError as error:
            tally.broken(f"{where}, region {group[0].get('id')}", str(error))


def _size(regions: list[Json], record: Json) -> tuple[int, int] | None:
    """Width and height in pixels."""
    for region in regions:
        if "original_width" in region:
            return int(region["original_width"]), int(region["original_height"])
    return (record["width"], record["height"]) if "width" in record and "height" in record else None


def _file_name(address: str) -> str:
    local = address.partition("?d=")[2]
    return unquote(local or address.partition("?")[0].rpartition("/")[2])


def _groups(regions: list[Json]) -> dict[Any, list[Json]]:
    """Regions by annotation: polygons that carry the same record are parts of one."""
    groups: dict[Any, list[Json]] = {}
    for number, region in enumerate(regions):
        carrier = _carrier(region)
        is_part = region.get("type") == "polygonlabels" and isinstance(carrier, dict)
        groups.setdefault(str(carrier["record"].get("id")) if is_part else number, []).append(region)
    return groups


def _carrier(region: Json) -> Any:
    return (region.get("meta") or {}).get(CARRIED)


def _read_annotation(
    group: list[Json], size: tuple[int, int] | None, where: str, builder: CocoBuilder, tally: Tally
) -> None:
    first, kind = group[0], str(group[0].get("type"))
    name = f"{where}, region {first.get('id')}"
    if kind not in _TAGS or first["value"].get("rotation"):
        tally.left_out[f"regions of the type {kind}{' that are turned' if kind in _TAGS else ''}"].append(name)
        return
    assert size is not None
    label = str((first["value"].get(kind) or ["object"])[0])
    carrier = _carrier(first)
    if kind == "rectanglelabels":
        value = first["value"]
        numbers = [float(value[key]) / 100 for key in ("x", "y", "width", "height")]
        box = [round(share * side, 4) for share, side in zip(numbers, (*size, *size), strict=True)]
        builder.annotation(label, *restored_box(carrier, box, name, tally, label, _SAME))
        return
    rle = _read_brush(first, size) if kind == "brushlabels" else _read_polygons(group, size)
    builder.annotation(label, *restored(carrier, rle, name, tally, label))


def _read_brush(region: Json, size: tuple[int, int]) -> Rle:
    return rle_from_mask(decode(region["value"]["rle"], size[1], size[0]))


def _read_polygons(group: list[Json], size: tuple[int, int]) -> Rle:
    polygons = [
        [share / 100 * side for point in region["value"]["points"] for share, side in zip(point, size, strict=True)]
        for region in group
    ]
    return rle_from_segmentation(polygons, size[1], size[0])
