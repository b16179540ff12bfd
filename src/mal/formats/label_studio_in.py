"""Read Label Studio tasks from JSON, exported or for import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mal.coco.coco_file import CocoFile, parse_whole_document
from mal.errors import UserError
from mal.formats.builder import CARRIED, CocoBuilder, restored, restored_box
from mal.formats.by_image import NO_CLASSES, Json
from mal.formats.folders import ReadOptions, size_or_picture
from mal.formats.label_studio import classes_beside
from mal.formats.label_studio_shapes import (
    RegionShape,
    classify_region,
    named_for,
    picture_names,
    read_box,
    read_mask,
    read_outline,
)
from mal.formats.outlines_of_shapes import box_around, polygon_record
from mal.formats.tally import Tally
from mal.formats.text_files import an_object, list_at, object_at, pixels_or_none
from mal.masks.rle import rle_from_segmentation

_SAME = 1e-4  # pixels that the side of an unedited box may differ by, after its way through per cents
_TURNED_IMAGE = "regions on an image that was turned in Label Studio"
_OTHER_IMAGE = "regions of another image of their task"
_SEVERAL = "it has several labels: the first is its class"
_NO_LABEL = f'a region without a label gets the class "{NO_CLASSES}"'


def read_label_studio(path: Path, options: ReadOptions, tally: Tally) -> CocoFile:
    """Read exported or imported tasks: of each the first annotation that was not cancelled, else the first prediction.

    A region is all that has one id: its shape, and its labels where those come in a part of their own. Brush strokes,
    polygons, ellipses and turned rectangles become masks, upright rectangles boxes. Other data of a region is kept
    under ``attributes``.

    Args:
        path: the file.
        options: with ``images`` a size that no region says comes from the picture.
        tally: notes broken records.

    Raises:
        UserError: the file is damaged or holds no tasks; a task or region that is broken is named.
    """
    tasks, _ = parse_whole_document(path)
    tasks = [tasks] if isinstance(tasks, dict) and "data" in tasks else tasks
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and "data" in task for task in tasks):
        raise UserError(f"{path}: Label Studio's JSON is a list of tasks with data, this is something else")
    builder = CocoBuilder()
    builder.categories(classes_beside(path, tally))
    for number, task in enumerate(tasks):
        where = f"{path}, task {task.get('id', number)}"
        try:
            _read_task(task, where, options, builder, tally)
        except ValueError as error:
            tally.broken(where, str(error))
    return builder.build(path, tally)


def _read_task(task: Json, where: str, options: ReadOptions, builder: CocoBuilder, tally: Tally) -> None:
    data = object_at(task, "data")
    regions = _of_one_image(_regions(task, where, tally), data, where, tally)
    record = dict(data[CARRIED]) if isinstance(data.get(CARRIED), dict) else {}
    name = str(record.pop("file_name", "")) or named_for(data, options.images)
    groups = list(_groups(regions).values())
    shapes = [group for group in groups if _find_shape(group) is not None]
    size = _size(regions, record)
    if shapes:
        size = size_or_picture(size, name, options)
    builder.image(name, size, record)
    for group in groups:
        region = f"{where}, region {group[0].get('id')}"
        try:
            _read_region(group, size, region, builder, tally)
        except ValueError as error:
            tally.broken(region, str(error))


def _regions(task: Json, where: str, tally: Tally) -> list[Json]:
    """Regions of the chosen annotation or prediction of a task."""
    answers = _answers(task, "annotations") or _answers(task, "completions")
    results = [answer for answer in answers if not answer.get("was_cancelled")] or _answers(task, "predictions")
    if len(results) > 1:
        tally.left_out["a task has several answers, the first is used"] += [where] * (len(results) - 1)
    if not results or not results[0].get("result"):
        return []
    return [an_object(region, "a region") for region in list_at(results[0], "result")]


def _answers(task: Json, key: str) -> list[Json]:
    answers = list_at(task, key) if task.get(key) else []
    if any(isinstance(answer, int) for answer in answers):
        raise ValueError(f"of its {key} there are the ids alone: export the project as JSON")
    return [an_object(answer, f"an entry of {key}") for answer in answers]


def _of_one_image(regions: list[Json], data: Json, where: str, tally: Tally) -> list[Json]:
    """The regions on the image of the task; where it has several images, on the one that the first region is on."""
    names = list(dict.fromkeys(str(region.get("to_name")) for region in regions if "to_name" in region))
    if len(names) < 2 or len(picture_names(data)) < 2:
        return regions
    kept = [region for region in regions if str(region.get("to_name")) == names[0]]
    tally.left_out[_OTHER_IMAGE] += [where] * (len(regions) - len(kept))
    return kept


def _size(regions: list[Json], record: Json) -> tuple[int, int] | None:
    """Width and height in pixels, from a region or the record; None if unknown."""
    said = (pixels_or_none(region, "original_width", "original_height") for region in regions)
    return next((size for size in said if size is not None), None) or pixels_or_none(record, "width", "height")


def _groups(regions: list[Json]) -> dict[str, list[Json]]:
    """Regions by annotation: those of one id and place, and polygons that carry the same record, are parts of one."""
    groups: dict[str, list[Json]] = {}
    first_of_id: dict[str, str] = {}
    for number, region in enumerate(regions):
        own_id = repr(region.get("id", f"none {number}"))
        if classify_region(region) is not None:
            name = _record_name(region) or f"{own_id} at {_geometry(region)}"
            groups.setdefault(name, []).append(region)
            first_of_id.setdefault(own_id, name)
    for number, region in enumerate(regions):
        if classify_region(region) is None:
            own_id = repr(region.get("id", f"none {number}"))
            groups.setdefault(first_of_id.get(own_id, own_id), []).append(region)
    return groups


def _record_name(region: Json) -> str | None:
    """Key that the polygons of one annotation share; None for other regions."""
    carrier = _carrier(region)
    record = carrier.get("record") if isinstance(carrier, dict) else None
    is_part = classify_region(region) is RegionShape.POLYGON and isinstance(record, dict)
    return f"record {record.get('id')!r}" if is_part and record is not None else None


def _geometry(region: Json) -> str:
    return repr({key: value for key, value in region["value"].items() if not key.endswith("labels")})


def _carrier(region: Json) -> Any:
    meta = region.get("meta")
    return meta.get(CARRIED) if isinstance(meta, dict) else None


def _find_shape(group: list[Json]) -> Json | None:
    """The first part that is a shape with an area; None where there is none."""
    return next((region for region in group if classify_region(region) is not None), None)


def _read_region(
    group: list[Json], size: tuple[int, int] | None, where: str, builder: CocoBuilder, tally: Tally
) -> None:
    shape = _find_shape(group)
    if shape is None or size is None:
        tally.left_out[f"regions of the type {group[0].get('type')}"].append(where)
        return
    if shape.get("image_rotation"):
        tally.left_out[_TURNED_IMAGE].append(where)
        return
    label, carrier, kind = _label(group, where, tally), _carrier(shape), classify_region(shape)
    if kind is RegionShape.RECTANGLE and not shape["value"].get("rotation"):
        box = read_box(shape["value"], size)
        box, more = restored_box(carrier, box, where, tally, label, _SAME)
    elif kind in (RegionShape.BRUSH, RegionShape.POLYGON):
        parts = [part for part in group if classify_region(part) is kind] if _record_name(shape) else [shape]
        box, more = restored(carrier, read_mask(parts, size), where, tally, label)
    else:
        outline = read_outline(shape["value"], size)
        box, more = box_around([outline]), polygon_record([outline], size)
        if carrier:  # a box of ours that was turned, say
            rle = rle_from_segmentation(more["segmentation"], size[1], size[0])
            box, more = restored(carrier, rle, where, tally, label)
    builder.annotation(label, box, more | ({} if carrier else _score_and_answers(group, shape)))


def _label(group: list[Json], where: str, tally: Tally) -> str:
    """The class of a region: the first label of any of its parts."""
    labels = [
        str(label)
        for region in group
        if isinstance(value := region.get("value"), dict)
        for key, found in value.items()
        if key.endswith("labels") and isinstance(found, list)
        for label in found
    ]
    distinct = list(dict.fromkeys(labels))
    if len(distinct) > 1:
        tally.changed[_SEVERAL].append(f"{where} ({', '.join(distinct)})")
    if not distinct:
        tally.changed[_NO_LABEL].append(where)
    return distinct[0] if distinct else NO_CLASSES


def _score_and_answers(group: list[Json], shape: Json) -> Json:
    """The score of a region, and the answers to per-region questions by their names."""
    words = {str(region.get("from_name")): value for region in group if (value := _answer(region)) is not None}
    score = shape.get("score")
    is_score = isinstance(score, (int, float)) and not isinstance(score, bool)
    return ({"score": score} if is_score else {}) | ({"attributes": words} if words else {})


def _answer(region: Json) -> Any:
    value, kind = region.get("value"), region.get("type")
    known = ("choices", "taxonomy", "number", "rating", "textarea", "datetime")
    if not isinstance(value, dict) or kind not in known:
        return None
    return value.get("text" if kind == "textarea" else str(kind))
