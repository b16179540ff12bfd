"""The curves of a training, from what it logged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mal.errors import UserError

Points = list[tuple[float, float]]

POINTS_SHOWN = 400


@dataclass(frozen=True, slots=True)
class TrainingCurves:
    """Values by name (``train/loss``, ``val/mIoU``, ...), as points (step or epoch, value) from left to right.

    Attributes:
        unit: what is counted along the curves: "step" or "epoch".
        values: the points by name.
        folder: where they were logged.
    """

    unit: str
    values: dict[str, Points]
    folder: Path


def training_curves(folder: Path) -> TrainingCurves:
    """The curves of a training's results folder, from TensorBoard's files or, where there are none, ``status.json``.

    Raises:
        UserError: the folder holds neither.
    """
    values, unit = _from_events(folder / "tensorboard"), "step"
    if not values:
        values, unit = _from_status(folder / "status.json"), "epoch"
    if not values:
        raise UserError(f"{folder}: holds no curves of a training (no tensorboard/ and no epoch in status.json)")
    return TrainingCurves(unit, {name: _thinned(points) for name, points in values.items()}, folder)


def _from_events(folder: Path) -> dict[str, Points]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader  # slow to import
    from tensorboard.compat.proto.event_pb2 import SessionLog

    values: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(path)).Load():
            if event.session_log.status == SessionLog.START:  # a resumed run hides what it does again
                values = {name: {s: v for s, v in at.items() if s < event.step} for name, at in values.items()}
            for value in event.summary.value:
                if value.tensor.float_val:
                    values.setdefault(value.tag, {})[event.step] = value.tensor.float_val[0]
    return {name: sorted((step + 1.0, value) for step, value in at.items()) for name, at in values.items() if at}


def _from_status(path: Path) -> dict[str, Points]:
    values: dict[str, dict[float, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            entry = json.loads(line)
        except ValueError:  # the last line of a run that was killed
            continue
        words = entry["message"].split()
        if words[:1] == ["epoch"] and words[2:] == ["done"]:
            for name, value in entry.get("metrics", {}).items():
                if value is not None:
                    values.setdefault(name, {})[float(words[1])] = value
    return {name: sorted(at.items()) for name, at in values.items()}


def _thinned(points: Points) -> Points:
    """So many points as a chart can show, each the mean of its neighbours."""
    group = -(-len(points) // POINTS_SHOWN)
    parts = [points[start : start + group] for start in range(0, len(points), group)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]
