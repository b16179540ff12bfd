"""Label Studio: tasks in JSON, with brush masks or polygons in them, and the labelling config that fits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import quoteattr

import numpy as np

from mal.data.coco import CocoFile
from mal.data.coco_document import document_as_a_whole
from mal.data.image_table import ImageRecord
from mal.data.json_out import dumps
from mal.errors import UserError
from mal.files import atomic_file
from mal.formats.builder import CocoBuilder
from mal.formats.by_image import EMPTY_MASK, AnnotatedImage, Annotation, Json, by_image, class_names
from mal.formats.label_studio_rle import decode, encode
from mal.formats.options import ReadOptions, WriteOptions
from mal.formats.restore import carried, restored
from mal.formats.tally import Tally
from mal.masks.polygons import flat, polygons_from_rle
from mal.masks.rle import Rle, mask_from_rle, rle_from_mask, rle_from_segmentation

_CARRIED = "mal"
_TAGS = {"brushlabels": "brush", "polygonlabels": "polygon", "rectanglelabels": "box"}
_CONFIG = ".label_config.xml"


def write_label_studio(coco: CocoFile, out: Path, options: WriteOptions, tally: Tally) -> None:
    """Write a JSON file of tasks, streamed, and ``<name>.label_config.xml`` beside it, for the project's settings.

    Masks become brush strokes, exact; or polygons in per cent of the image, one for each part, holes joined by bridges.
    Annotations without a mask become rectangles. Each region carries its record under ``meta``, each task that of its
    image under ``data``. ``mask_score``, where there is one, becomes the region's score.

    Raises:
        UserError: a record is broken and the tally may not skip it, or a file cannot be written.
    """
    names = class_names(coco)
    with atomic_file(out) as file:
        file.write(b"[")
        for number, item in enumerate(by_image(coco, tally)):
            file.write((b",\n" if number else b"\n") + dumps(_task(item, options, tally)))
        file.write(b"]\n")
    with atomic_file(out.with_name(out.stem + _CONFIG)) as file:
        file.write(_config(names).encode())
    tally.classes = len(names)
    tally.lost["keys of the file (info, licenses, keys of classes)"] += len(coco.document) - 2


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


def _task(item: AnnotatedImage, options: WriteOptions, tally: Tally) -> Json:
    regions = [region for annotation in item.annotations for region in _regions(annotation, item.image, options, tally)]
    address = options.image_prefix + quote(item.image.file_name, safe="/")
    result: Json = {"result": regions}
    if options.as_predictions:
        scores = [region["score"] for region in regions if "score" in region]
        result |= {"model_version": "mal"} | ({"score": min(scores)} if scores else {})
    kind = "predictions" if options.as_predictions else "annotations"
    return {"data": {"image": address, _CARRIED: item.record}, kind: [result]}


def _regions(annotation: Annotation, image: ImageRecord, options: WriteOptions, tally: Tally) -> Iterator[Json]:
    tally.count(has_mask=annotation.has_pixels)
    if annotation.rle is None or not annotation.has_pixels:
        if annotation.rle is not None:
            tally.changed[EMPTY_MASK].append(f"{annotation.name} of {image.file_name}")
        x, y, width, height = annotation.xywh
        place = {
            "x": x / image.width * 100,
            "y": y / image.height * 100,
            "width": width / image.width * 100,
            "height": height / image.height * 100,
            "rotation": 0,
        }
        yield _region(annotation, image, "rectanglelabels", place, carried(annotation.record, None))
        return
    if options.shapes == "masks" or annotation.is_group:
        value = {"format": "rle", "rle": encode(mask_from_rle(annotation.rle))}
        yield _region(annotation, image, "brushlabels", value, carried(annotation.record, annotation.rle))
        return
    polygons = polygons_from_rle(annotation.rle, options.tolerance)
    written = rle_from_segmentation([flat(polygon) for polygon in polygons], image.height, image.width)
    carrier = carried(annotation.record, written)
    for part, polygon in enumerate(polygons):
        points = (polygon / (image.width, image.height) * 100).tolist()
        yield _region(annotation, image, "polygonlabels", {"points": points, "closed": True}, carrier, part)


def _region(annotation: Annotation, image: ImageRecord, kind: str, value: Json, carrier: Json, part: int = 0) -> Json:
    name = f"{annotation.record.get('id')}" + (f"-{part}" if part else "")
    score = annotation.record.get("mask_score")
    return {
        "id": name,
        "type": kind,
        "from_name": _TAGS[kind],
        "to_name": "image",
        "original_width": image.width,
        "original_height": image.height,
        "image_rotation": 0,
        "value": value | {kind: [annotation.category]},
        "meta": {_CARRIED: carrier},
    } | ({"score": score} if isinstance(score, (int, float)) else {})


def _config(names: list[str]) -> str:
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in names)
    tags = {"brush": "BrushLabels", "polygon": "PolygonLabels", "box": "RectangleLabels"}
    controls = "".join(f'  <{tag} name="{name}" toName="image">\n{labels}  </{tag}>\n' for name, tag in tags.items())
    return f'<View>\n  <Image name="image" value="$image" zoom="true"/>\n{controls}</View>\n'


def _read_task(task: Json, where: str, builder: CocoBuilder, tally: Tally) -> None:
    finished = [result for result in task.get("annotations") or () if not result.get("was_cancelled")]
    results = finished or list(task.get("predictions") or ())
    if len(results) > 1:
        tally.left_out["a task has several answers, the first is used"] += [where] * (len(results) - 1)
    regions = results[0].get("result") or [] if results else []
    data = task["data"]
    record = dict(data.get(_CARRIED) or {})
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
    return (region.get("meta") or {}).get(_CARRIED)


def _read_annotation(
    group: list[Json], size: tuple[int, int] | None, where: str, builder: CocoBuilder, tally: Tally
) -> None:
    first, kind = group[0], str(group[0].get("type"))
    name = f"{where}, region {first.get('id')}"
    if kind not in _TAGS or first["value"].get("rotation"):
        tally.left_out[f"regions of the type {kind}{' that are turned' if kind in _TAGS else ''}"].append(name)
        return
    assert size is not None
    labels = first["value"].get(kind) or ["object"]
    carrier = _carrier(first)
    if kind == "rectanglelabels":
        value = first["value"]
        numbers = [float(value[key]) / 100 for key in ("x", "y", "width", "height")]
        box = [share * side for share, side in zip(numbers, (*size, *size), strict=True)]
        record = dict(carrier["record"]) if isinstance(carrier, dict) else {}
        old = record.pop("bbox", None)
        is_same = old is not None and np.allclose(old, box, atol=1e-4)
        builder.annotation(str(labels[0]), old if is_same else [round(side, 4) for side in box], record)
        return
    rle = _read_brush(first, size) if kind == "brushlabels" else _read_polygons(group, size)
    builder.annotation(str(labels[0]), *restored(carrier, rle, name, tally))


def _read_brush(region: Json, size: tuple[int, int]) -> Rle:
    return rle_from_mask(decode(region["value"]["rle"], size[1], size[0]))


def _read_polygons(group: list[Json], size: tuple[int, int]) -> Rle:
    polygons = [
        [share / 100 * side for point in region["value"]["points"] for share, side in zip(point, size, strict=True)]
        for region in group
    ]
    return rle_from_segmentation(polygons, size[1], size[0])
