"""Load an exported ONNX file as a network."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mal.data.crops import normalize
from mal.data.label_dataset import CropBatch, CropSettings
from mal.errors import UserError
from mal.extras import is_installed, require_training_packages
from mal.file_kinds import describe_file_kind
from mal.models.prediction_mode import Array, MeanFieldSettings, Network, PendingArray, PredictionMode
from mal.ops.arrays import resize_bilinear, sigmoid
from mal.size_bins import BIN_ENDS


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


class OnnxNetwork:
    """Crops to masks by onnxruntime on the CPU, without PyTorch; see `mal.models.prediction_mode.CropNetworks`.

    Args:
        session: an ``onnxruntime.InferenceSession`` of a file that ``mal export onnx`` wrote.
        path: that file.
        network_name: which network is in it.
        crop_size: side in pixels of the crops that it takes.

    Attributes:
        takes_box: whether the box is an input of the graph.
    """

    device = "cpu"

    def __init__(self, session: Any, path: Path, network_name: Network, crop_size: int) -> None:
        self._session = session
        self.path = path
        self.network_name = network_name
        self.crop_size = crop_size
        self.takes_box = any(each.name == "box" for each in session.get_inputs())

    def require_use(self, crop: CropSettings, mode: PredictionMode) -> None:
        """Refuse crops or a mode that the graph, or what is installed, cannot serve.

        Raises:
            UserError: the network is not the one of the mode, or takes crops of another size; the profile is ``fast``;
                or the mean field is asked for, and PyTorch is not there.
        """
        if mode.profile != "exact":
            raise UserError(
                f"{self.path}: an exported network has no profile {mode.profile}; use exact, or the checkpoint that it"
                " was made from"
            )
        if mode.network != self.network_name:
            raise UserError(
                f"{self.path}: holds the {self.network_name} network, but the {mode.network} is asked for; export"
                f" that one, or ask for the {self.network_name} (--network, use_teacher_test, use_mixed_model_test)"
            )
        if crop.crop_size != self.crop_size:
            raise UserError(
                f"dataset.crop_size: {crop.crop_size} in the spec, but {self.path} takes crops of"
                f" {self.crop_size}; set it to that"
            )
        if mode.crf is not None:
            require_training_packages("refinement by mean field (crf)")

    @contextmanager
    def on_one_thread(self) -> Iterator[None]:
        """Run on one thread within the block; see `mal.models.prediction_mode.CropNetworks`."""
        with_threads = self._session
        self._session = open_session(self.path, threads=1)
        try:
            yield
        finally:
            self._session = with_threads

    def start(self, batch: CropBatch, mode: PredictionMode) -> PendingArray:
        """Compute probabilities; there is nothing to wait for."""
        probs = self._probabilities(batch, mode)
        return lambda: probs

    def logits(self, batch: CropBatch, mode: PredictionMode) -> Array:
        """Mask logits, (B, 1, h, w) float32."""
        return self._logits(normalize(batch.images), batch, flip=mode.flip)

    def instance_vectors(self, batch: CropBatch) -> Array:
        """Refused: the graph gives masks only."""
        raise UserError(f"{self.path}: gives masks only; instance vectors need the checkpoint")

    def _probabilities(self, batch: CropBatch, mode: PredictionMode) -> Array:
        images = normalize(batch.images)
        logits = self._logits(images, batch, flip=mode.flip)
        if mode.crf is None:
            with np.errstate(invalid="ignore"):  # of infinite logits, which fail below
                probs = sigmoid(resize_bilinear(logits, images.shape[-2:])) * batch.box_mask
        else:
            probs = _refined(images, logits, batch.box_mask, mode.crf)
        probs[~np.isfinite(logits).all(axis=(1, 2, 3))] = np.nan
        return probs

    def _logits(self, images: Array, batch: CropBatch, *, flip: bool) -> Array:
        box = batch.network_box.astype(np.float32)
        logits = self._of_crops(images, box, batch.box_area)
        if not flip:
            return logits
        mirrored = self._of_crops(images[..., ::-1], box[..., ::-1], batch.box_area)[..., ::-1]
        return (logits + mirrored) / np.float32(2)

    def _of_crops(self, images: Array, box: Array, box_area: Array) -> Array:
        return self._run(images, box=box) if self.takes_box else self._of_each_size(images, box_area)

    def _of_each_size(self, images: Array, box_area: Array) -> Array:
        """Run the rows of each size bin together: the graph computes a scale for all rows or for none."""
        bins = np.searchsorted(np.array(BIN_ENDS, np.float32), box_area)
        rows = [np.flatnonzero(bins == index) for index in np.unique(bins)]
        parts = [self._run(images[chosen], box_area=box_area[chosen]) for chosen in rows]
        return np.concatenate(parts)[np.concatenate(rows).argsort()]

    def _run(self, images: Array, **others: Array) -> Array:
        logits: Array = self._session.run(None, {"images": images, **others})[0]
        return logits


def _refined(images: Array, logits: Array, box_mask: npt.NDArray[np.uint8], settings: MeanFieldSettings) -> Array:
    """Probabilities after the mean field, the one step of an exported network that PyTorch computes."""
    import torch

    from mal.models.predict import crf_probs

    image_tensor, logit_tensor, mask_tensor = (torch.from_numpy(array) for array in (images, logits, box_mask))
    probs: Array = crf_probs(image_tensor, logit_tensor, mask_tensor, settings).numpy()
    return probs


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
    import_onnx_package("onnxruntime")
    if not path.is_file():
        raise UserError(f"{path}: no such ONNX file")
    _require_numbers(path)
    try:
        session = open_session(path)
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


def open_session(path: Path, *, threads: int = 0) -> Any:
    """An ``onnxruntime.InferenceSession`` on the CPU.

    Args:
        path: an ONNX file.
        threads: it computes with; 0 takes as many as there are cores. With 1 it starts none, so that it works on in
            forked processes.
    """
    onnxruntime = import_onnx_package("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _require_numbers(path: Path) -> None:
    """Check the weights in a graph for NaN; infinities are allowed, constants of a graph may be infinite."""
    if not is_installed("onnx"):
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
