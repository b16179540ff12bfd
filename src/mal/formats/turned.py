"""Turn boxes and masks with their images, for tools that show images by their EXIF orientation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from mal.coco.coco_file import CocoFile, indexed, is_id
from mal.data.images import fill_missing_sizes
from mal.data.orientation import TURNS, turned_back, turned_pixels, turned_size
from mal.data.picture_remarks import (
    MARK,
    TurnedPicture,
    choose_reading,
    is_marked_upright,
    marked_upright,
    turned_line,
    turned_pictures,
)
from mal.formats.tally import Tally
from mal.masks.rle import mask_from_rle, rle_from_mask, rle_from_segmentation
from mal.reading import Exif, Reading

Json = dict[str, Any]

TURNING = ("yolo", "yolo-seg", "voc", "labelme", "label-studio", "cvat", "cvat-xml")
"""Formats of tools that show, measure and train on pictures as their EXIF orientation says."""

_TURNED_BY = "turned_by"  # key under `MARK` of an image's record: the orientation that its annotations were turned by
_FORWARD = "viewers turn this picture (EXIF orientation), so its size, boxes and masks are turned with it"
_BACK = "viewers turn this picture (EXIF orientation), so its size, boxes and masks are turned back to how it is stored"


def source_exif(name: str, coco: CocoFile, images: Path | None, exif: Exif) -> Exif:
    """What the boxes of a file are on; unknown sizes of its images are taken from the pictures.

    Args:
        name: of its format.
        coco: the file; its image table is changed.
        images: folder of the pictures; None where it is not known.
        exif: what boxes are on in formats that do not say it.
    """
    if name in TURNING:
        coco.images.exif = "upright"
    elif images is not None:
        choose_reading(coco, images, Reading(exif=exif))
    else:
        coco.images.exif = "upright" if is_marked_upright(coco.document) else exif
    if images is not None:
        fill_missing_sizes(coco, images)
    return coco.images.exif


def in_frame_of(
    target_format: str,
    coco: CocoFile,
    *,
    source_format: str,
    images: Path | None,
    looked_at: Path | None,
    exif: Exif,
    tally: Tally,
    keep_polygons: bool,
) -> tuple[CocoFile, list[str]]:
    """The file in the frame of another format, and at most one line on pictures that nobody has looked at.

    Args:
        target_format: the other format.
        coco: the file.
        source_format: of the file.
        images: folder of the pictures as the user or the format names it; None where it is not known.
        looked_at: ``images``, or the folder in which pictures are found without being named.
        exif: what boxes are on in formats that do not say it, and what COCO and PNG are to have.
        tally: notes what was turned.
        keep_polygons: as of `in_frame`, for formats that go by pictures as they are turned.
    """
    source_exif(source_format, coco, images, exif)
    wanted = _wanted_exif(source_format, target_format, coco, exif)
    lines = _turning_line(coco, looked_at, wanted, source_format, target_format)
    keep_polygons = keep_polygons or target_format not in TURNING
    return in_frame(coco, looked_at, wanted, tally, keep_polygons=keep_polygons), lines


def _wanted_exif(source_format: str, target_format: str, coco: CocoFile, exif: Exif) -> Exif:
    """The orientation that the output's boxes refer to."""
    if target_format in TURNING:
        return "upright"
    if source_format in TURNING:
        return "upright" if is_marked_upright(coco.document) else exif
    return coco.images.exif


def _turning_line(
    coco: CocoFile, images: Path | None, wanted: Exif, source_format: str, target_format: str
) -> list[str]:
    """A note on images that viewers turn, if shapes are not turned with them; at most one line."""
    if wanted != coco.images.exif and images is None:
        tool = target_format if target_format in TURNING else source_format
        return [
            f"{tool} goes by pictures as viewers show them (EXIF orientation), and without --images nobody has looked"
            " whether some are turned: their shapes stay as they are"
        ]
    if wanted == coco.images.exif == "stored" and images is not None:
        line = turned_line(coco.images, turned_pictures(coco.images, images), "--exif upright")
        return [line] if line else []
    return []


def in_frame(coco: CocoFile, images: Path | None, exif: Exif, tally: Tally, *, keep_polygons: bool = True) -> CocoFile:
    """The file with all boxes, masks, key points and sizes on its pictures as stored, or as viewers turn them.

    Numbers of up to 15 digits come back as they were when they are turned and turned back. A record with the size of
    only one of the two is taken by that. Where a picture is not at hand, the mark of an earlier turn counts.

    Args:
        coco: the file; ``coco.images.exif`` says what its boxes are on.
        images: folder of the pictures; None where it is not known.
        exif: what they are to be on.
        tally: notes what was turned.
        keep_polygons: turn the corners of polygons; else polygons of turned pictures become masks first, since the
            pixels of a turned polygon may differ by some at its border.
    """
    turned = {} if images is None or exif == coco.images.exif else turned_pictures(coco.images, images)
    marks = dict(_marks(coco))
    turns: dict[Any, _Turn] = {}
    for row, image_id in enumerate(coco.images):
        image = coco.images.at(row)
        orientation = _orientation((image.width, image.height), turned.get(row), marks.get(image_id, 1), exif)
        if exif != image.exif and image.has_size and orientation != 1:
            by = orientation if exif == "upright" else turned_back(orientation)
            turns[image_id] = _Turn(image.width, image.height, by, keep_polygons)
            tally.changed[_FORWARD if exif == "upright" else _BACK].append(image.file_name)
    if turns or marks or exif == coco.images.exif == "upright" or MARK in coco.document:
        return _turned(coco, turns, exif)
    coco.images.exif = exif
    return coco


def _orientation(size: tuple[int, int], turned: TurnedPicture | None, mark: int, exif: Exif) -> int:
    """The orientation by which an image's annotations are to be turned; 1 where they are as wanted, or of neither."""
    if turned is None:
        return mark if exif == "stored" else 1
    stored, upright = turned.stored_size, turned_size(*turned.stored_size, turned.orientation)
    before = stored if exif == "upright" else upright
    return turned.orientation if size == before else 1


def _marks(coco: CocoFile) -> Iterator[tuple[Any, int]]:
    for record in coco.document["images"]:
        mark = record.get(MARK) if isinstance(record, dict) else None
        if isinstance(mark, dict) and mark.get(_TURNED_BY) in TURNS and is_id(record.get("id")):
            yield record["id"], mark[_TURNED_BY]


def _turned(coco: CocoFile, turns: Mapping[Any, _Turn], exif: Exif) -> CocoFile:
    """A file in memory, in which only turned images and their annotations are other than they were."""
    document = dict(coco.document)
    document["images"] = [_image(record, coco, turns, exif) for record in coco.document["images"]]
    if turns:
        document["annotations"] = [_annotation(record, turns) for record in coco.annotations]
    if exif == coco.images.exif == "upright":
        document = marked_upright(document)
    elif is_marked_upright(document):
        document = _with_mark(document, {"exif": None})
    result = indexed(coco.path, document)
    result.strict_json = coco.strict_json
    result.images.exif = exif
    return result


def _image(record: Any, coco: CocoFile, turns: Mapping[Any, _Turn], exif: Exif) -> Any:
    if not isinstance(record, dict) or not is_id(record.get("id")) or record["id"] not in coco.images:
        return record
    image, turn = coco.images[record["id"]], turns.get(record["id"])
    result = _with_mark(record, {_TURNED_BY: turn.orientation if turn and exif == "upright" else None})
    if not image.has_size:
        return result
    width, height = turned_size(image.width, image.height, turn.orientation if turn else 1)
    return result | {"width": width, "height": height}


def _with_mark(record: Json, changes: Json) -> Json:
    """A record with other values under its mark, None for none, and without an empty mark."""
    mark = record.get(MARK)
    if mark is not None and not isinstance(mark, dict):
        return record
    values = {key: value for key, value in ((mark or {}) | changes).items() if value is not None}
    rest = {key: value for key, value in record.items() if key != MARK}
    return rest | ({MARK: values} if values else {})


def _annotation(record: Any, turns: Mapping[Any, _Turn]) -> Any:
    if not isinstance(record, dict) or not is_id(record.get("image_id")) or record["image_id"] not in turns:
        return record
    turn = turns[record["image_id"]]
    changes = {"bbox": turn.box, "segmentation": turn.segmentation, "keypoints": turn.keypoints}
    return record | {key: change(record[key]) for key, change in changes.items() if record.get(key)}


@dataclass(frozen=True, slots=True)
class _Turn:
    """Turns what a record says of a picture of some size in pixels; what is broken stays, for others to name."""

    width: int
    height: int
    orientation: int
    keep_polygons: bool

    def point(self, x: float, y: float) -> tuple[float, float]:
        transposed, mirrored, upside_down = TURNS[self.orientation]
        width, height = turned_size(self.width, self.height, self.orientation)
        x, y = (y, x) if transposed else (x, y)
        return _from_end(x, width) if mirrored else x, _from_end(y, height) if upside_down else y

    def box(self, value: Any) -> Any:
        if not _is_numbers(value, lambda length: length == 4):
            return value
        x, y, width, height = value
        (x0, y0), (x1, y1) = self.point(x, y), self.point(_sum(x, width), _sum(y, height))
        return [min(x0, x1), min(y0, y1), *turned_size(width, height, self.orientation)]

    def segmentation(self, value: Any) -> Any:
        if isinstance(value, list) and self.keep_polygons:
            return [self._polygon(part) for part in value]
        try:
            mask = mask_from_rle(rle_from_segmentation(value, self.height, self.width))
        except ValueError:
            return value
        return rle_from_mask(turned_pixels(mask, self.orientation))

    def _polygon(self, value: Any) -> Any:
        if not _is_numbers(value, lambda length: length % 2 == 0):
            return value
        return [side for x, y in zip(value[0::2], value[1::2], strict=True) for side in self.point(x, y)]

    def keypoints(self, value: Any) -> Any:
        if not _is_numbers(value, lambda length: length % 3 == 0):
            return value
        points = zip(value[0::3], value[1::3], value[2::3], strict=True)
        return [side for x, y, seen in points for side in ((*self.point(x, y), seen) if seen else (x, y, seen))]


def _from_end(value: float, length: int) -> float:
    # In decimals, so that 100.1 becomes 699.9 of 800, and that 100.1 again.
    return type(value)(length - Decimal(repr(value)))


def _sum(a: float, b: float) -> float:
    return type(a + b)(Decimal(repr(a)) + Decimal(repr(b)))


def _is_numbers(value: Any, is_length: Callable[[int], bool]) -> bool:
    return (
        isinstance(value, list)
        and is_length(len(value))
        and all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in value)
        and all(abs(number) < float("inf") for number in value)
    )
