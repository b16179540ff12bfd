"""Quantize an exported network to int8 by onnxruntime, calibrated on crops."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from mal.data.crops import normalize
from mal.data.label_dataset import CropBatch

Inputs = dict[str, npt.NDArray[np.float32]]


class _Crops(CalibrationDataReader):
    def __init__(self, inputs: Iterator[Inputs]) -> None:
        self._inputs = inputs

    def get_next(self) -> Inputs | None:
        return next(self._inputs, None)


def quantize(
    exported: Path, path: Path, batches: Iterable[CropBatch], *, only_convolutions: bool = False, bits: int = 8
) -> None:
    """Write an exported network with the box as an input in int8: weights by channel, activations of one range each.

    The last convolution stays in float32: it makes the logits.

    Args:
        exported: a file of ``mal export onnx``; its metadata are kept.
        path: where to write.
        batches: crops that the ranges of activations are taken from.
        only_convolutions: leave sums and resizing in float32.
        bits: of weights, 8 or 7. Processors without VNNI cut off sums of products with 8, and give worse masks.
    """
    logging.getLogger().setLevel(logging.ERROR)
    inputs = ({"images": normalize(each.images), "box": each.network_box.astype(np.float32)} for each in batches)
    with tempfile.TemporaryDirectory() as folder:
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


def _keep_metadata(exported: Path, path: Path) -> None:
    graph = onnx.load(path)
    del graph.metadata_props[:]
    graph.metadata_props.extend(onnx.load(exported).metadata_props)
    onnx.save(graph, path)
