"""FiftyOne: a model that turns the boxes of a field into masks, by ``dataset.apply_model``.

Example:
    >>> model = MaskAutoLabelerModel()
    >>> dataset.apply_model(model, label_field="masks", prompt_field="ground_truth")
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import fiftyone as fo
import fiftyone.core.models as fom
import numpy as np
import numpy.typing as npt

from mal.labeler import MaskAutoLabeler


class MaskAutoLabelerModel(fom.SamplesMixin, fom.Model):
    """Masks of the detections in the field that ``prompt_field`` names.

    Each gets the label of its box, the score as ``confidence``, and the id of its box as ``box_id``. Its bounding box
    is that of the mask, so that nothing of the mask is cut off.

    Args:
        checkpoint: the file; None takes the starter.
        settings: further arguments of `MaskAutoLabeler.from_checkpoint`, such as ``threshold`` and ``device``.
    """

    def __init__(self, checkpoint: str | None = None, **settings: Any) -> None:
        fom.SamplesMixin.__init__(self)
        self._labeler = MaskAutoLabeler.from_checkpoint(checkpoint, **settings)

    @property
    def media_type(self) -> str:
        """Pictures."""
        return "image"

    @property
    def ragged_batches(self) -> bool:
        """Pictures of one batch may differ in size."""
        return True

    @property
    def transforms(self) -> None:
        """Pictures are taken as FiftyOne reads them."""

    @property
    def preprocess(self) -> bool:
        """There is nothing to apply."""
        return False

    @preprocess.setter
    def preprocess(self, value: bool) -> None:
        pass

    def predict(self, arg: npt.NDArray[np.uint8], sample: Any = None) -> Any:
        """The masks of a sample.

        Args:
            arg: (H, W, 3) or (H, W) uint8 picture.
            sample: with the boxes.

        Raises:
            ValueError: nothing names the field of boxes.
        """
        field = self.needs_fields.get("prompt_field")
        if sample is None or field is None:
            raise ValueError(
                'name the field of boxes: dataset.apply_model(model, "masks", prompt_field="ground_truth")'
            )
        boxes = sample[field].detections if sample[field] is not None else []
        height, width = arg.shape[:2]
        corners = [_corners(box.bounding_box, width, height) for box in boxes]
        masks = self._labeler.label_instances(arg[..., :3] if arg.ndim == 3 else arg, corners)
        found = [
            fo.Detection.from_mask(mask.full(), label=box.label, confidence=mask.score, box_id=str(box.id))
            for box, mask in zip(boxes, masks, strict=True)
            if mask is not None and mask.window.any()
        ]
        return fo.Detections(detections=found)

    def predict_all(self, args: Iterable[npt.NDArray[np.uint8]], samples: Iterable[Any] = ()) -> list[Any]:
        """As `predict`, for several samples."""
        return [self.predict(arg, sample) for arg, sample in zip(args, samples, strict=True)]


def _corners(box: list[float], width: int, height: int) -> list[float]:
    """x0, y0, x1, y1 in pixels of FiftyOne's x, y, width, height as shares."""
    x, y, across, down = box
    return [x * width, y * height, (x + across) * width, (y + down) * height]
