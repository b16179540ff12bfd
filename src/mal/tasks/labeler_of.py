"""The labeler that a task's spec and checkpoint ask for."""

from __future__ import annotations

from pathlib import Path

from mal.checkpoint.fitting import fitted_spec
from mal.checkpoint.weights import Weights, read_weights
from mal.config.load import save_spec
from mal.config.schema import ExperimentSpec
from mal.labeler import MaskAutoLabeler, crop_settings, load_networks
from mal.models.predict import PredictionMode
from mal.tasks.crop_run import Processes


def checkpoint_and_spec(path: str, spec: ExperimentSpec, folder: Path) -> tuple[Weights, ExperimentSpec]:
    """Read a checkpoint and fill in, from it, what the spec leaves open about the network; the folder gets this spec.

    Raises:
        UserError: the file cannot be read, or contradicts the spec.
    """
    weights = read_weights(Path(path))
    fitted = fitted_spec(spec, weights)
    if fitted != spec:
        save_spec(fitted, folder / "spec.yaml")
    return weights, fitted


def labeler_of(weights: Weights, spec: ExperimentSpec, mode: PredictionMode, processes: Processes) -> MaskAutoLabeler:
    """Load a checkpoint as the network of a spec that fits it; see `checkpoint_and_spec`.

    Raises:
        UserError: the weights are not those of the spec's network.
    """
    return MaskAutoLabeler(
        *load_networks(spec, weights),
        crop=crop_settings(spec),
        thresholds=spec.train.mask_thres,
        mode=mode,
        device=processes.device,
        autocast_dtype=processes.autocast_dtype,
    )
