"""The networks of a task's checkpoint, and the spec that is complete once it has been asked."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mal.config.schema import ExperimentSpec
from mal.config.secrets import encryption_key_of
from mal.console import console
from mal.held_networks import HeldNetworks, held_networks
from mal.labeler import MaskAutoLabeler
from mal.tasks.crop_run import Processes

LabellingTask = Literal["evaluate", "inference"]


def load_networks(path: str, spec: ExperimentSpec, task: LabellingTask) -> HeldNetworks:
    """Load a checkpoint, or an exported network, and print which settings came from it and which did not.

    Args:
        path: the file.
        spec: as the user gave it; the result's is complete.
        task: what the networks are for.

    Raises:
        UserError: the file cannot be read, or contradicts the spec.
    """
    held = held_networks(Path(path), spec, encryption_key=encryption_key_of(spec))
    for line in held.effective.log_lines(task):
        console.print(line, markup=False, soft_wrap=True)
    return held


def make_labeler(held: HeldNetworks, processes: Processes, task: LabellingTask = "inference") -> MaskAutoLabeler:
    """The labeler of a task, on the device of this process.

    Args:
        held: networks and complete spec.
        processes: say where it runs.
        task: the section that says which network is asked, and how; measuring always scores.
    """
    return MaskAutoLabeler.from_spec(
        held.student,
        held.teacher,
        held.spec,
        task,
        scored=task == "evaluate" or held.spec.inference.score,
        device=processes.device,
        autocast_dtype=processes.autocast_dtype,
    )
