"""Write and read the labeling config of a Label Studio project: tags and classes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from mal.coco.coco_file import CocoFile, show
from mal.coco.tables import ImageRecord
from mal.files import atomic_file, dumps
from mal.formats.builder import CARRIED, carried
from mal.formats.by_image import (
    EMPTY_MASK,
    NO_CLASSES,
    AnnotatedImage,
    Annotation,
    Json,
    by_image,
    category_records,
    class_names,
    written,
)
from mal.formats.folders import WriteOptions
from mal.formats.label_studio_rle import encode
from mal.formats.outlines import outline
from mal.formats.tally import Tally
from mal.formats.text_files import read_text_file, xml_root
from mal.masks.polygons import flat
from mal.masks.rle import mask_from_rle, rle_from_segmentation

TAGS = {"brushlabels": "brush", "polygonlabels": "polygon", "rectanglelabels": "box"}
_ELEMENTS = {"brush": "BrushLabels", "polygon": "PolygonLabels", "box": "RectangleLabels"}
_SUFFIX = ".label_config.xml"
_RECORDS = re.compile(r"<!-- mal: (.*) -->")  # Label Studio passes over comments
_NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def config_file(tasks: Path) -> Path:
    """Path of the labeling config for a file of tasks."""
    return tasks.with_name(tasks.stem + _SUFFIX)


def config_text(coco: CocoFile, tally: Tally) -> str:
    """Make the labeling config for the classes of a file; a comment stores their records for `classes_beside`.

    Args:
        coco: the file.
        tally: notes classes whose names no XML can hold.
    """
    names = list(coco.categories.values()) or [NO_CLASSES]
    for name in filter(_NOT_IN_XML.search, names):
        tally.changed["XML cannot hold its name, so that the settings lack the class"].append(f"class {show(name)}")
    usable = [name for name in names if not _NOT_IN_XML.search(name)]
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in usable)
    elements = _ELEMENTS.items()
    controls = "".join(f'  <{tag} name="{name}" toName="image">\n{labels}  </{tag}>\n' for name, tag in elements)
    records = json.dumps(category_records(coco)).replace("--", r"-\u002d")  # which would end the comment
    image = '  <Image name="image" value="$image" zoom="true"/>\n'
    return f"<View>\n{image}{controls}</View>\n<!-- mal: {records} -->\n"


def classes_beside(tasks: Path, tally: Tally) -> list[Json]:
    """Read the records of all classes from the labeling config next to a file of tasks.

    Args:
        tasks: the file.
        tally: notes that there are no settings; then the classes are those in use.

    Raises:
        UserError: the settings are damaged.
    """
    file = config_file(tasks)
    if not file.is_file():
        tally.notes.append(f"the classes are those in use, since no {file.name} lies beside the tasks")
        return []
    text = read_text_file(file)
    found = _RECORDS.search(text)
    records = [record for record in _parsed(found[1]) if _is_class(record)] if found else []
    known = {record["name"] for record in records}
    labels = [label.get("alias") or label.get("value") or "" for label in xml_root(text.encode(), file).iter("Label")]
    return records + [{"name": name} for name in dict.fromkeys(labels) if name and name not in known]


def _parsed(text: str) -> list[Any]:
    try:
        records = json.loads(text)
    except (ValueError, RecursionError):
        return []  # a comment of somebody else
    return records if isinstance(records, list) else []


def _is_class(record: Any) -> bool:
    return isinstance(record, dict) and isinstance(record.get("name"), str)


_KEPT = {"images", "annotations", "categories"}
_SETTING = "LABEL_STUDIO_LOCAL_FILES"
_LOCAL_FILES = "/data/local-files/?d="  # where Label Studio serves the files below its document root


def write_label_studio(coco: CocoFile, out: Path, options: WriteOptions, tally: Tally) -> None:
    """Write a JSON file of tasks, streamed, and ``<name>.label_config.xml`` beside it, for the project's settings.

    Masks become brush strokes, exact; or polygons in per cent of the image, one per component, holes joined by bridges.
    Annotations without a mask become rectangles. Each region carries its record under ``meta``, each task that of its
    image under ``data``. ``mask_score``, where there is one, becomes the region's score.

    Raises:
        UserError: a record is broken and the tally may not skip it, or a file cannot be written.
    """
    names = class_names(coco)
    with atomic_file(out) as file, atomic_file(config_file(out)) as config:
        file.write(b"[")
        for item in by_image(coco, tally, options.images):
            with written(item, tally):
                task = dumps(_task(item, options, tally))
                file.write((b",\n" if tally.images else b"\n") + task)
        file.write(b"]\n")
        config.write(config_text(coco, tally).encode())
    tally.classes = len(names)
    tally.lost["keys of the file (info, licenses)"] += len(set(coco.document) - _KEPT)
    if options.image_prefix is None:
        tally.notes.append(_pictures_note(options))


def _image_prefix(options: WriteOptions) -> str:
    """What stands before the file names. Label Studio serves no folder but those below its document root."""
    if options.image_prefix is not None:
        return options.image_prefix
    return _LOCAL_FILES + (f"{quote(options.images.resolve().name)}/" if options.images is not None else "")


def _pictures_note(options: WriteOptions) -> str:
    """Explain how to make Label Studio show the images; see docs/formats.md."""
    if options.images is None:
        return (
            "Label Studio shows no picture whose address has no folder: --images DIR puts the name of DIR before the"
            " file names, --image-prefix TEXT what you say"
        )
    folder = options.images.resolve()
    return (
        f"Label Studio shows the pictures with {_SETTING}_SERVING_ENABLED=true,"
        f" {_SETTING}_DOCUMENT_ROOT={folder.parent} and a local storage for {folder}"
    )


def _task(item: AnnotatedImage, options: WriteOptions, tally: Tally) -> Json:
    regions = [region for annotation in item.annotations for region in _regions(annotation, item.image, options, tally)]
    address = _image_prefix(options) + quote(item.file_name.as_posix(), safe="/")
    result: Json = {"result": regions}
    if options.as_predictions:
        scores = [region["score"] for region in regions if "score" in region]
        result |= {"model_version": "mal"} | ({"score": min(scores)} if scores else {})
    kind = "predictions" if options.as_predictions else "annotations"
    return {"data": {"image": address, CARRIED: item.record}, kind: [result]}


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
        yield _region(annotation, image, "rectanglelabels", place, carried(annotation, None))
        return
    if options.shapes == "masks" or annotation.is_group:
        value = {"format": "rle", "rle": encode(mask_from_rle(annotation.rle))}
        yield _region(annotation, image, "brushlabels", value, carried(annotation, annotation.rle))
        return
    polygons = outline(annotation.rle, options, tally, f"{annotation.name} of {image.file_name}")
    written = rle_from_segmentation([flat(polygon) for polygon in polygons], image.height, image.width)
    carrier = carried(annotation, written)
    for part, polygon in enumerate(polygons):
        points = (polygon / (image.width, image.height) * 100).tolist()
        yield _region(annotation, image, "polygonlabels", {"points": points, "closed": True}, carrier, part)


def _region(annotation: Annotation, image: ImageRecord, kind: str, value: Json, carrier: Json, part: int = 0) -> Json:
    name = f"{annotation.record.get('id')}" + (f"-{part}" if part else "")
    score = annotation.record.get("mask_score")
    return {
        "id": name,
        "type": kind,
        "from_name": TAGS[kind],
        "to_name": "image",
        "original_width": image.width,
        "original_height": image.height,
        "image_rotation": 0,
        "value": value | {kind: [annotation.category]},
        "meta": {CARRIED: carrier},
    } | ({"score": score} if isinstance(score, (int, float)) else {})
