"""The labeler that a task's spec and checkpoint ask for."""

from __future__ import annotations

from mal.checkpoint.weights import Weights
from mal.config.schema import ExperimentSpec
from mal.errors import UserError
from mal.labeler import MaskAutoLabeler, crop_settings, load_networks
from mal.models.predict import PredictionMode
from mal.tasks.crop_run import Processes


def labeler_of(weights: Weights, spec: ExperimentSpec, mode: PredictionMode, processes: Processes) -> MaskAutoLabeler:
    """Load a checkpoint as the spec's network.

    Raises:
        UserError: the checkpoint belongs to another network than the spec describes.
    """
    trained = weights.spec.get("model", {})
    if trained and trained.get("arch") != spec.model.arch:
        raise UserError(f"model.arch: {spec.model.arch} in the spec, but {weights.path} holds {trained.get('arch')}")
    return MaskAutoLabeler(
        *load_networks(spec, weights),
        crop=crop_settings(spec),
        thresholds=spec.train.mask_thres,
        mode=mode,
        device=processes.device,
        autocast_dtype=processes.autocast_dtype,
    )
