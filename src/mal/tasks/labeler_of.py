"""The labeler that a task's spec and checkpoint ask for."""

from __future__ import annotations

from pathlib import Path

from mal.config.load import save_spec
from mal.config.schema import ExperimentSpec
from mal.config.secrets import encryption_key_of
from mal.held_networks import held_networks
from mal.labeler import MaskAutoLabeler
from mal.models.build import crop_settings, mask_cleaning
from mal.models.predict import PredictionMode
from mal.tasks.crop_run import Processes


def labeler_of(
    path: str,
    spec: ExperimentSpec,
    mode: PredictionMode,
    processes: Processes,
    folder: Path,
    *,
    scored: bool = True,
) -> MaskAutoLabeler:
    """Load a checkpoint, or an exported one; what the spec leaves open about the network comes from it.

    Args:
        path: the file.
        spec: of the run.
        mode: which network is asked, and how.
        processes: where it runs.
        folder: of the run; gets the completed spec where it is not the given one.
        scored: whether each mask gets a score.

    Raises:
        UserError: the file cannot be read, or contradicts the spec.
    """
    held = held_networks(Path(path), spec, encryption_key=encryption_key_of(spec))
    if held.spec != spec and not processes.rank:
        save_spec(held.spec, folder / "spec.yaml")
    return MaskAutoLabeler(
        held.student,
        held.teacher,
        crop=crop_settings(spec),
        thresholds=spec.train.mask_thres,
        mode=mode,
        cleaning=mask_cleaning(spec),
        scored=scored,
        device=processes.device,
        autocast_dtype=processes.autocast_dtype,
    )
