"""The library's front door: an image and boxes in, masks out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor

from mal.checkpoint.fitting import fitted_spec, held_model
from mal.checkpoint.matching import load_exactly
from mal.checkpoint.weights import Weights, read_weights
from mal.config.schema import ExperimentSpec
from mal.data.boxes import Box
from mal.data.coco import ImageRecord
from mal.data.crop_stream import CropBatch, CropSettings, crop_boxes
from mal.data.images import pixels_of, read_image
from mal.data.pixels import normalize
from mal.errors import UserError
from mal.export.onnx_network import ONNX_SUFFIX, OnnxNetwork, read_onnx
from mal.masks.paste import PastedMask, paste_mask, threshold_for
from mal.models.build import build_network
from mal.models.ema import make_teacher
from mal.models.network import MaskNetwork
from mal.models.predict import PredictionMode, predict_logits, predict_probs
from mal.training.saved_spec import spec_from_saved

ImageLike = str | Path | Image.Image | npt.NDArray[np.uint8]


class MaskAutoLabeler:
    """Turns boxes into masks with a trained network.

    Example:
        >>> labeler = MaskAutoLabeler.from_checkpoint("mal_model_latest.pth")
        >>> masks = labeler.label("photo.jpg", [[40, 30, 220, 180]])  # (1, H, W) bool

    Args:
        student: the trained network; or an exported one, whichever it is, which runs on the CPU.
        teacher: its moving average; or the same exported one.
        crop: how boxes are cut out.
        thresholds: a pixel is in the mask where its probability exceeds this; one value, or one each for small,
            medium and large boxes.
        mode: which network is asked, and how.
        device: where the networks run.
        autocast_dtype: half precision to compute in; None computes in float32.

    Raises:
        UserError: an exported network is another than the mode asks for, or takes crops of another size.
    """

    def __init__(
        self,
        student: MaskNetwork | OnnxNetwork,
        teacher: MaskNetwork | OnnxNetwork,
        *,
        crop: CropSettings,
        thresholds: Sequence[float],
        mode: PredictionMode,
        device: torch.device | str = "cpu",
        autocast_dtype: torch.dtype | None = None,
    ) -> None:
        if isinstance(student, OnnxNetwork):
            _check_export(student, crop, mode)
            device, autocast_dtype, mode = "cpu", None, replace(mode, network="student")
        self.device = torch.device(device)
        self.student = student.to(self.device).eval()
        self.teacher = teacher.to(self.device).eval()
        self.crop = crop
        self.thresholds = thresholds
        self.mode = mode
        self._autocast_dtype = autocast_dtype

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        *,
        mode: PredictionMode | None = None,
        threshold: float | None = None,
        device: torch.device | str | None = None,
    ) -> MaskAutoLabeler:
        """Load a checkpoint of ``mal train``, of NVlabs/mask-auto-labeler, or of TAO 5.x and 6.x, or an ONNX file.

        A file of another program says nothing about crops and thresholds; it gets the public defaults.

        Args:
            path: the file.
            mode: which network is asked, and how; None asks the student once, or the one that an ONNX file holds.
            threshold: probability threshold in 0..1; None takes the checkpoint's.
            device: None takes a GPU where there is one. An ONNX file runs on the CPU whatever it says.

        Raises:
            UserError: the file cannot be read or does not say which network it holds.
        """
        student: MaskNetwork | OnnxNetwork
        teacher: MaskNetwork | OnnxNetwork
        if Path(path).suffix == ONNX_SUFFIX:
            exported = read_onnx(Path(path))
            student = teacher = exported.network
            spec = spec_from_saved(exported.spec, Path(path))
            mode = mode or PredictionMode(network=exported.network.holds)
        else:
            weights = read_weights(Path(path))
            spec = checkpoint_spec(weights)
            student, teacher = load_networks(spec, weights)
        return cls(
            student,
            teacher,
            crop=crop_settings(spec),
            thresholds=spec.train.mask_thres if threshold is None else [threshold],
            mode=mode or PredictionMode(),
            device=device or best_device(),
        )

    def label(self, image: ImageLike, boxes_xyxy: ArrayLike, *, batch_size: int = 8) -> npt.NDArray[np.bool_]:
        """Masks of the objects in some boxes of an image.

        Args:
            image: a file path, a PIL image, or an (H, W, 3) or (H, W) uint8 array in RGB order.
            boxes_xyxy: (N, 4) boxes, x0 y0 x1 y1 in pixels of the image.
            batch_size: boxes that the network sees at once.

        Returns:
            (N, H, W) bool. The mask of a box that lies outside the image is empty.

        Raises:
            UserError: the image cannot be read.
            ValueError: a box is not a box.
        """
        pixels = _pixels(image)
        masks = np.zeros((len(_checked_boxes(boxes_xyxy)), *pixels.shape[:2]), dtype=np.bool_)
        for index, pasted in self._label_in_batches(pixels, boxes_xyxy, batch_size):
            masks[index] = pasted.full()
        return masks

    def label_instances(
        self, image: ImageLike, boxes_xyxy: ArrayLike, *, batch_size: int = 8
    ) -> list[PastedMask | None]:
        """As :meth:`label`, but each mask as a window of the image, with a score and :meth:`PastedMask.rle`.

        Returns:
            N masks; None for a box that lies outside the image.
        """
        found = dict(self._label_in_batches(_pixels(image), boxes_xyxy, batch_size))
        return [found.get(index) for index in range(len(_checked_boxes(boxes_xyxy)))]

    @torch.inference_mode()
    def probabilities(self, batch: CropBatch) -> Tensor:
        """Foreground probabilities of a batch of crops, (B, 1, S, S) float32 in 0..1, on the labeler's device."""
        batch = batch.to(self.device, non_blocking=True)
        with torch.autocast(self.device.type, self._autocast_dtype, enabled=self._autocast_dtype is not None):
            return predict_probs(
                self.student, self.teacher, normalize(batch.images), batch.box_mask, batch.box_area, self.mode
            )

    @torch.inference_mode()
    def logits(self, batch: CropBatch) -> Tensor:
        """Mask logits of a batch of crops, (B, 1, h, w) float32, h and w four times the backbone's grid."""
        batch = batch.to(self.device)
        return predict_logits(self.student, self.teacher, normalize(batch.images), batch.box_area, self.mode)

    @torch.inference_mode()
    def instance_vectors(self, batch: CropBatch) -> Tensor:
        """The student's instance vectors of a batch of crops, (B, D) float32.

        Raises:
            UserError: the network is an exported one, which gives masks only.
        """
        if isinstance(self.student, OnnxNetwork):
            raise UserError(f"{self.student.path}: gives masks only; instance vectors need the checkpoint")
        features = self.student.backbone(normalize(batch.images.to(self.device)))
        return self.student.roi_head(features)

    def masks(self, batch: CropBatch) -> list[PastedMask]:
        """The masks of a batch of crops, each at its place in its image."""
        if not len(batch):
            return []
        probs = self.probabilities(batch)
        return [
            paste_mask(
                probs[index, 0],
                batch.frames[index],
                (box.image.width, box.image.height),
                threshold_for(float(batch.box_area[index]), self.thresholds),
            )
            for index, box in enumerate(batch.boxes)
        ]

    def crops(self, image: ImageLike, boxes_xyxy: ArrayLike, *, batch_size: int = 8) -> Iterator[CropBatch]:
        """What the network is shown of an image: batches of crops around the boxes that touch it."""
        yield from self._crops(_pixels(image), boxes_xyxy, batch_size)

    def _label_in_batches(self, pixels: npt.NDArray[np.uint8], boxes_xyxy: ArrayLike, batch_size: int) -> Any:
        for batch in self._crops(pixels, boxes_xyxy, batch_size):
            yield from zip((box.position for box in batch.boxes), self.masks(batch), strict=True)

    def _crops(self, pixels: npt.NDArray[np.uint8], boxes_xyxy: ArrayLike, batch_size: int) -> Iterator[CropBatch]:
        height, width = pixels.shape[:2]
        record = ImageRecord(id=0, file_name="", width=width, height=height, position=0)
        boxes = [
            box
            for index, xyxy in enumerate(_checked_boxes(boxes_xyxy).tolist())
            if (box := _clipped_box(index, xyxy, record)) is not None
        ]
        for start in range(0, len(boxes), batch_size):
            yield crop_boxes(pixels, boxes[start : start + batch_size], self.crop)


def checkpoint_spec(weights: Weights) -> ExperimentSpec:
    """The spec that a checkpoint was trained with; of another program's file, the defaults and the network found in it.

    Raises:
        UserError: there is no telling which network the weights belong to.
    """
    if weights.spec or "arch" not in held_model(weights) or not weights.has_heads:
        return spec_from_saved(weights.spec, weights.path)
    return fitted_spec(ExperimentSpec(), weights)


def load_networks(spec: ExperimentSpec, weights: Weights) -> tuple[MaskNetwork, MaskNetwork]:
    """Student and teacher of a checkpoint.

    Raises:
        UserError: the weights are not those of the spec's network.
    """
    student = build_network(spec, weights.stem or "patch")
    teacher = make_teacher(student)
    load_exactly(student, weights.network("student"), weights.path)
    load_exactly(teacher, weights.network("teacher"), weights.path)
    return student, teacher


def _check_export(network: OnnxNetwork, crop: CropSettings, mode: PredictionMode) -> None:
    if mode.network != network.holds:
        raise UserError(
            f"{network.path}: holds the {network.holds} network, but the {mode.network} is asked for; export that one,"
            f" or ask for the {network.holds} (--network, use_teacher_test, use_mixed_model_test)"
        )
    if crop.crop_size != network.crop_size:
        raise UserError(
            f"dataset.crop_size: {crop.crop_size} in the spec, but {network.path} takes crops of"
            f" {network.crop_size}; set it to that"
        )


def crop_settings(spec: ExperimentSpec) -> CropSettings:
    """How a spec cuts boxes out for labelling."""
    return CropSettings(spec.dataset.crop_size, spec.train.test_margin_rate, spec.dataset.border)


def best_device() -> str:
    """A GPU where there is one, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _pixels(image: ImageLike) -> npt.NDArray[np.uint8]:
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        return pixels_of(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise ValueError(f"image must be (H, W, 3) or (H, W) uint8, not {image.shape} {image.dtype}")
    return np.broadcast_to(image.reshape(*image.shape[:2], -1), (*image.shape[:2], 3))


def _checked_boxes(boxes_xyxy: ArrayLike) -> npt.NDArray[np.float64]:
    boxes = np.asarray(boxes_xyxy, dtype=np.float64)
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes_xyxy must be (N, 4), not {boxes.shape}")
    bad = ~np.isfinite(boxes).all(1) | (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
    if bad.any():
        index = int(np.flatnonzero(bad)[0])
        raise ValueError(f"boxes_xyxy[{index}] is not a box with x0 < x1 and y0 < y1: {boxes[index].tolist()}")
    return boxes


def _clipped_box(index: int, xyxy: Sequence[float], image: ImageRecord) -> Box | None:
    x0, y0, x1, y1 = xyxy
    clipped = (max(x0, 0.0), max(y0, 0.0), min(x1, float(image.width)), min(y1, float(image.height)))
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        return None
    return Box(
        position=index,
        annotation_id=index,
        image=image,
        category_id=None,
        xyxy=clipped,
        xywh=(x0, y0, x1 - x0, y1 - y0),
    )
