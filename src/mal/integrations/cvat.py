"""CVAT: a box that is drawn becomes a mask, and so do the boxes of a file; for the agents and commands of `cvat-cli`.

`cvat-cli` loads this module by `--function-module mal.integrations.cvat`, and calls `create` with its `-p` parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cvat_sdk.auto_annotation as cvataa
import numpy as np
import numpy.typing as npt
from cvat_sdk import models
from cvat_sdk.masks import encode_mask
from PIL import Image

from mal.coco.boxes import select_boxes
from mal.coco.coco_file import read_coco
from mal.errors import UserError
from mal.labeler import MaskAutoLabeler
from mal.masks.polygons import flat, polygons_from_rle


def create(
    checkpoint: str | None = None, boxes: str | None = None, threshold: str | None = None, device: str | None = None
) -> BoxInteractor | BoxFileDetector:
    """Make the function.

    Args:
        checkpoint: the file; None takes the starter.
        boxes: a COCO file; the function then detects the masks of its boxes, by the names of the frames. Without it, it
            turns boxes that are drawn into masks.
        threshold: a probability in 0..1, or ``box_fit``; None takes the checkpoint's.
        device: None takes a GPU if there is one.

    Raises:
        UserError: a file cannot be read.
    """
    asked: Any = threshold if threshold in (None, "box_fit") else float(threshold or 0)
    labeler = MaskAutoLabeler.from_checkpoint(checkpoint, threshold=asked, device=device)
    return BoxInteractor(labeler) if boxes is None else BoxFileDetector(labeler, Path(boxes))


class BoxInteractor:
    """Turns a box that a person draws into a mask, with the score as confidence."""

    spec = cvataa.InteractionFunctionSpec(min_pos_points=0, min_neg_points=None, min_bounding_boxes=1)

    def __init__(self, labeler: MaskAutoLabeler) -> None:
        self._labeler = labeler

    def preprocess_image(self, context: Any, image: Image.Image) -> npt.NDArray[np.uint8]:
        """Decode a frame once for all boxes drawn on it."""
        return np.asarray(image.convert("RGB"))

    def detect(self, context: Any, pp_image: npt.NDArray[np.uint8], prompts: Any) -> Sequence[Any]:
        """The mask of the box; none where it lies outside the frame or the mask is empty."""
        (x0, y0), (x1, y1) = prompts.bounding_box
        corners = [min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)]
        (found,) = self._labeler.label_instances(pp_image, [corners])
        if found is None or not found.window.any():
            return []
        confidence = cvataa.InteractionResultAttributes.CONFIDENCE
        attributes = [models.AttributeValRequest(spec_id=confidence, value=f"{found.score:.3f}")]
        points = encode_mask(found.full())
        return [cvataa.InteractionResultShape(type="mask", points=points, attributes=attributes)]


class BoxFileDetector:
    """Detects, in each frame, the masks of the boxes that a COCO file has for a picture of its name.

    Args:
        labeler: makes the masks.
        ann_path: the file; its boxes must lie on the frames as CVAT shows them.

    Raises:
        UserError: the file cannot be read, or a box has no category.
    """

    def __init__(self, labeler: MaskAutoLabeler, ann_path: Path) -> None:
        coco = read_coco(ann_path)
        self._labeler = labeler
        self._categories = list(coco.categories)
        labels = [cvataa.label_spec(name, number, type="mask") for number, name in enumerate(coco.categories.values())]
        self.spec = cvataa.DetectionFunctionSpec(labels=labels)
        self._boxes: dict[str, list[Any]] = {}
        for box in select_boxes(coco)[0]:
            if box.category_id not in coco.categories:
                raise UserError(f"{ann_path}, annotation {box.annotation_id}: CVAT needs a category for each box")
            self._boxes.setdefault(box.image.file_name, []).append(box)

    def detect(self, context: Any, image: Image.Image) -> Sequence[Any]:
        """The masks of a frame; as polygons where CVAT asks for those."""
        boxes = self._boxes.get(context.frame_name, [])
        pixels = np.asarray(image.convert("RGB"))
        shapes: list[Any] = []
        for box, found in zip(boxes, self._labeler.label_instances(pixels, [box.xyxy for box in boxes]), strict=True):
            if found is None or not found.window.any():
                continue
            label = self._categories.index(box.category_id)
            if context.conv_mask_to_poly:
                polygons = polygons_from_rle(found.rle())
                shapes += [cvataa.polygon(label, [float(value) for value in flat(polygon)]) for polygon in polygons]
            else:
                shapes.append(cvataa.mask(label, encode_mask(found.full())))
        return shapes
