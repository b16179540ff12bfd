"""Quantize an exported network to int8 by onnxruntime, calibrated on crops; docs/performance.md says what it brings."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from mal.data.crops import normalize
from mal.data.label_dataset import BoxCropIterable, CropBatch, CropSettings
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError

CALIBRATION_BOXES = 64
Inputs = dict[str, npt.NDArray[np.float32]]


class _Crops(CalibrationDataReader):
    def __init__(self, inputs: Iterator[Inputs]) -> None:
        self._inputs = inputs

    def get_next(self) -> Inputs | None:
        return next(self._inputs, None)


def quantize(
    exported: Path, path: Path, batches: Iterable[CropBatch], *, only_convolutions: bool = False, bits: int = 7
) -> None:
    """Write an exported network with the box as an input in int8: weights by channel, activations of one range each.

    The last convolution stays in float32: it makes the logits.

    Args:
        exported: a file of ``mal export onnx``; its metadata are kept.
        path: where to write.
        batches: crops that the ranges of activations are taken from.
        only_convolutions: leave sums and resizing in float32.
        bits: of weights, 8 or 7. Processors without VNNI cut off sums of products with 8, and give other masks.
    """
    inputs = ({"images": normalize(each.images), "box": each.network_box.astype(np.float32)} for each in batches)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(exported), str(prepared), skip_symbolic_shape=True)
        last = [node.name for node in onnx.load(prepared).graph.node if node.op_type == "Conv"][-1]
        options: dict[str, Any] = {"op_types_to_quantize": ["Conv"]} if only_convolutions else {}
        quantize_static(
            str(prepared),
            str(path),
            _Crops(inputs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=bits == 7,
            nodes_to_exclude=[last],
            **options,
        )
    _keep_metadata(exported, path)


def calibration_crops(ann_path: Path, img_dir: Path, settings: CropSettings) -> list[CropBatch]:
    """Crops of some boxes of a COCO file, evenly spread over it, in batches of 4.

    Raises:
        UserError: the file cannot be read, or gives no crop.
    """
    photos = AnnotatedImages(ann_path, img_dir)
    boxes = photos.boxes_to_label
    chosen = np.unique(np.linspace(0, max(len(boxes) - 1, 0), min(len(boxes), CALIBRATION_BOXES)).astype(np.intp))
    stream = BoxCropIterable(boxes.take(chosen), photos.img_dir, settings, batch_size=4)
    batches = [batch for batch in stream if len(batch)]
    if not batches:
        raise UserError(f"{ann_path}: no box has a crop in {img_dir}; int8 takes the ranges of its numbers from crops")
    return batches


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back the advice that onnxruntime logs about its own steps."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _keep_metadata(exported: Path, path: Path) -> None:
    graph = onnx.load(path)
    del graph.metadata_props[:]
    graph.metadata_props.extend(onnx.load(exported).metadata_props)
    onnx.save(graph, path)
