"""Write Label Studio tasks as JSON, with brush masks or polygons, and the matching labeling config."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from mal.coco.coco_file import CocoFile
from mal.coco.tables import ImageRecord
from mal.files import atomic_file, dumps
from mal.formats.builder import CARRIED, carried
from mal.formats.by_image import EMPTY_MASK, AnnotatedImage, Annotation, Json, by_image, class_names, written
from mal.formats.folders import WriteOptions
from mal.formats.label_studio_config import TAGS, config_file, config_text
from mal.formats.label_studio_rle import encode
from mal.formats.tally import Tally
from mal.masks.polygons import flat, polygons_from_rle
from mal.masks.rle import mask_from_rle, rle_from_segmentation

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
    polygons = polygons_from_rle(annotation.rle, options.tolerance)
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
