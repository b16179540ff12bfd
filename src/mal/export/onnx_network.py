"""Load an exported ONNX file as a network."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mal.errors import UserError
from mal.file_kinds import describe_file_kind
from mal.models.network import FEATURE_SCALES, bin_areas
from mal.models.predict import Network


def import_onnx_package(name: str) -> Any:
    """Import a package of the extra ``onnx``.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"ONNX files need {name}: pip install 'mask-auto-labeler[onnx]'") from error


ONNX_SUFFIX = ".onnx"
METADATA_PREFIX = "mal."


class OnnxNetwork(nn.Module):
    """Crops to mask logits by onnxruntime on the CPU; called as a :class:`MaskNetwork` is.

    Args:
        session: an ``onnxruntime.InferenceSession`` of a file that ``mal export onnx`` wrote.
        path: that file.
        network_name: which network is in it.
        crop_size: side in pixels of the crops that it takes.
    """

    def __init__(self, session: Any, path: Path, network_name: Network, crop_size: int) -> None:
        super().__init__()
        self._session = session
        self.path = path
        self.network_name = network_name
        self.crop_size = crop_size

    def forward(self, images: Tensor, box_area: Tensor) -> Tensor:
        """Mask logits (B, 1, h, w) of normalized crops (B, 3, S, S) and box areas (B,), float32 on the CPU."""
        logits: list[Tensor] = []
        rows: list[Tensor] = []
        bins = bin_areas(box_area)
        for index in range(len(FEATURE_SCALES)):
            # The graph computes a scale for all rows or for none, so that rows of one size cost least together.
            chosen = torch.nonzero(bins == index).flatten()
            if len(chosen):
                rows.append(chosen)
                logits.append(self._run(images[chosen], box_area[chosen]))
        return torch.cat(logits)[torch.cat(rows).argsort()]

    def _run(self, images: Tensor, box_area: Tensor) -> Tensor:
        inputs = {"images": images.float().cpu().numpy(), "box_area": box_area.float().cpu().numpy()}
        return torch.from_numpy(self._session.run(None, inputs)[0])


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A file of ``mal export onnx``: the network, and the spec that it was trained with as plain values."""

    network: OnnxNetwork
    spec: dict[str, Any]


def read_onnx(path: Path) -> OnnxModel:
    """Load a file that ``mal export onnx`` wrote.

    Raises:
        UserError: no such file, no ONNX file of ours, damaged, with weights that are not numbers (checked if the
            package onnx is installed), or the extra is not installed.
    """
    onnxruntime = import_onnx_package("onnxruntime")
    if not path.is_file():
        raise UserError(f"{path}: no such ONNX file")
    _require_numbers(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    # onnxruntime defines its exception types in C++, without a common base class.
    except Exception as error:
        said = describe_file_kind(path, "an ONNX file")
        raise UserError(f"{path}: {said or f'not an ONNX file, or damaged ({type(error).__name__})'}") from error
    stored = session.get_modelmeta().custom_metadata_map
    facts = {
        name.removeprefix(METADATA_PREFIX): value for name, value in stored.items() if name.startswith(METADATA_PREFIX)
    }
    try:
        facts = {name: json.loads(value) for name, value in facts.items()}
        return OnnxModel(OnnxNetwork(session, path, facts["network"], facts["crop_size"]), facts["spec"])
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: an ONNX file, but not one that `mal export onnx` wrote") from error


def _require_numbers(path: Path) -> None:
    """Check the weights in a graph for NaN; infinities are allowed, constants of a graph may be infinite."""
    if find_spec("onnx") is None:
        return  # a session does not show them: each box of such a network fails
    import onnx
    from onnx import numpy_helper

    try:
        weights = [(each.name, numpy_helper.to_array(each)) for each in onnx.load(path).graph.initializer]
    # Damage is reported when the session loads, in one way for all.
    except Exception:  # noqa: BLE001
        return
    for name, values in weights:
        if values.dtype.kind in "fc" and np.isnan(values).any():
            raise UserError(f"{path}: {name} holds values that are not numbers; export an earlier checkpoint")
