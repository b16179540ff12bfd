"""The labeler that a task's spec and checkpoint ask for."""

from __future__ import annotations

from pathlib import Path

from mal.checkpoint.fitting import fitted_spec
from mal.checkpoint.weights import Weights, read_weights
from mal.config.load import save_spec
from mal.config.schema import ExperimentSpec
from mal.export.onnx_network import ONNX_SUFFIX, OnnxNetwork, read_onnx
from mal.labeler import MaskAutoLabeler, crop_settings, load_networks
from mal.models.network import MaskNetwork
from mal.models.predict import PredictionMode
from mal.tasks.crop_run import Processes


def labeler_of(
    path: str, spec: ExperimentSpec, mode: PredictionMode, processes: Processes, folder: Path
) -> MaskAutoLabeler:
    """Load a checkpoint, or an exported one; what the spec leaves open about the network comes from it.

    Args:
        path: the file.
        spec: of the run.
        mode: which network is asked, and how.
        processes: where it runs.
        folder: of the run; gets the completed spec where it is not the given one.

    Raises:
        UserError: the file cannot be read, or contradicts the spec.
    """
    student: MaskNetwork | OnnxNetwork
    teacher: MaskNetwork | OnnxNetwork
    if path.endswith(ONNX_SUFFIX):
        exported = read_onnx(Path(path))
        student = teacher = exported.network
        fitted = fitted_spec(spec, Weights.of_spec(Path(path), exported.spec))
    else:
        weights = read_weights(Path(path))
        fitted = fitted_spec(spec, weights)
        student, teacher = load_networks(fitted, weights)
    if fitted != spec:
        save_spec(fitted, folder / "spec.yaml")
    return MaskAutoLabeler(
        student,
        teacher,
        crop=crop_settings(spec),
        thresholds=spec.train.mask_thres,
        mode=mode,
        device=processes.device,
        autocast_dtype=processes.autocast_dtype,
    )
