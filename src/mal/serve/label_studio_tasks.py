"""Label Studio's tasks: the tags of a labeling config, the rectangles of a task, and masks as its regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree.ElementTree import Element

from mal.coco.coco_file import show
from mal.errors import UserError
from mal.formats.label_studio_rle import encode
from mal.formats.label_studio_shapes import RegionShape, classify_region, read_box, read_outline
from mal.formats.outlines_of_shapes import box_around
from mal.formats.text_files import xml_root
from mal.limits import MAX_REQUEST_BOXES
from mal.masks.polygons import polygons_from_rle
from mal.masks.rle import Rle, mask_from_rle

Json = dict[str, Any]
Kind = Literal["brushlabels", "polygonlabels"]

_TAGS: dict[str, Kind] = {"BrushLabels": "brushlabels", "PolygonLabels": "polygonlabels"}
_CALLED = Path("the labeling config")
_NO_TAG = (
    "the labeling config has no BrushLabels and no PolygonLabels for an image: add one with the labels of the"
    " rectangles, since masks are written as its regions"
)


@dataclass(frozen=True, slots=True)
class Control:
    """The tag whose regions masks become.

    Attributes:
        name: of the tag.
        to_name: of the image that it is for.
        kind: of its regions; a brush where the config has both.
        labels: that it offers; None where the tasks themselves bring them.
        data_key: key of the picture in the data of a task.
    """

    name: str
    to_name: str
    kind: Kind
    labels: frozenset[str] | None
    data_key: str


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rectangle that a person or a program drew.

    Attributes:
        region_id: its id in Label Studio.
        value: x, y, width and height in per cent of the image, and the rotation.
        labels: its classes.
    """

    region_id: str
    value: Json
    labels: tuple[str, ...]

    def xyxy(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Its corners in pixels; of a turned one those of the upright box around it.

        Raises:
            ValueError: it is broken.
        """
        size = (width, height)
        box = box_around([read_outline(self.value, size)]) if self.value.get("rotation") else read_box(self.value, size)
        x, y, across, down = box
        return x, y, x + across, y + down


def find_control(config: str) -> Control:
    """Find the tag for masks in a labeling config.

    Raises:
        UserError: the config is no XML, or has no fitting tag.
    """
    root = xml_root(config.encode("utf-8", "surrogatepass"), _CALLED)
    images = {element.get("name"): element for element in root.iter("Image")}
    for tag, kind in _TAGS.items():
        for element in root.iter(tag):
            image = images.get(element.get("toName"))
            if image is not None:
                return Control(element.get("name", ""), image.get("name", ""), kind, _labels(element), _data_key(image))
    raise UserError(_NO_TAG)


def find_rectangles(task: Json, control: Control) -> list[Rectangle]:
    """The rectangles of a task: of the first annotation that has some and was not cancelled, else of a prediction."""
    annotations = [answer for answer in _objects(task.get("annotations")) if not answer.get("was_cancelled")]
    for answer in (*annotations, *_objects(task.get("predictions"))):
        found = rectangles_in(answer.get("result"), control)
        if found:
            return found
    return []


def picture_at(task: Json, control: Control) -> Any:
    """The address of the picture of a task.

    Raises:
        UserError: its data has none under the key of the control.
    """
    data = task.get("data")
    if not isinstance(data, dict) or control.data_key not in data:
        raise UserError(f"the data of the task has no {control.data_key!r}, where the labeling config has its picture")
    return data[control.data_key]


def rectangles_in(regions: Any, control: Control) -> list[Rectangle]:
    """The rectangles among regions, on the image of the control as it was not turned in Label Studio.

    Raises:
        UserError: there are more than a request may have.
    """
    found = [
        Rectangle(str(region.get("id", number)), region["value"], _labels_of(region["value"]))
        for number, region in enumerate(_objects(regions))
        if classify_region(region) is RegionShape.RECTANGLE
        and region.get("to_name", control.to_name) == control.to_name
        and not region.get("image_rotation")
    ]
    if len(found) > MAX_REQUEST_BOXES:
        raise UserError(f"a task has {len(found)} rectangles, more than the {MAX_REQUEST_BOXES} that are taken")
    return found


def require_labels(rectangles: Sequence[Rectangle], control: Control) -> None:
    """Check that the control offers the labels of the rectangles; Label Studio would drop others without a word.

    Raises:
        UserError: it does not.
    """
    used = {label for rectangle in rectangles for label in rectangle.labels}
    missing = sorted(used - control.labels) if control.labels is not None else []
    if missing:
        names = ", ".join(show(label) for label in missing)
        raise UserError(f"the tag {control.name!r} of the labeling config lacks labels of rectangles: add {names}")


def regions_of_mask(
    rle: Rle, score: float | None, rectangle: Rectangle, control: Control, size: tuple[int, int]
) -> list[Json]:
    """A mask as regions of the control: one brush stroke, or a polygon for each component.

    Args:
        rle: the mask; an empty one has no regions.
        score: expected IoU.
        rectangle: whose labels it gets.
        control: the tag.
        size: width and height of the image.
    """
    if control.kind == "brushlabels":
        mask = mask_from_rle(rle)
        values: list[Json] = [{"format": "rle", "rle": encode(mask)}] if mask.any() else []
    else:
        polygons = polygons_from_rle(rle)
        values = [{"points": (polygon / size * 100).tolist(), "closed": True} for polygon in polygons]
    return [
        {
            "id": f"mal-{rectangle.region_id}" + (f"-{part}" if part else ""),
            "type": control.kind,
            "from_name": control.name,
            "to_name": control.to_name,
            "original_width": size[0],
            "original_height": size[1],
            "image_rotation": 0,
            "value": value | {control.kind: list(rectangle.labels)},
        }
        | ({} if score is None else {"score": score})
        for part, value in enumerate(values)
    ]


def _labels(element: Element) -> frozenset[str] | None:
    """The labels of a tag; None where they come from the data (``value="$labels"``)."""
    if element.get("value") or element.get("apiUrl"):
        return None
    return frozenset(label.get("alias") or label.get("value") or "" for label in element.iter("Label"))


def _data_key(image: Element) -> str:
    value = image.get("value", "")
    key = value.removeprefix("$")
    if not value.startswith("$") or not key:
        raise UserError(
            f"the Image tag {image.get('name')!r} of the labeling config shows value={value!r}; only the address under"
            ' one key of the data is read, as in value="$image"'
        )
    return key


def _labels_of(value: Json) -> tuple[str, ...]:
    return tuple(
        str(label)
        for key, labels in value.items()
        if key.endswith("labels") and isinstance(labels, list)
        for label in labels
    )


def _objects(values: Any) -> list[Json]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
