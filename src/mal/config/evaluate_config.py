"""The `evaluate` section: validation during training and the evaluation task."""

from __future__ import annotations

from pydantic import field_validator

from mal.config.fields import PathText, Task, path_field, spec_field, without_engine
from mal.config.prediction_config import PredictionSection

_EVALUATE: tuple[Task, ...] = ("evaluate",)
_VALIDATE: tuple[Task, ...] = ("train", "evaluate")


class EvaluateConfig(PredictionSection):
    """How masks are compared with the ground truth."""

    checkpoint: PathText = path_field("Checkpoint to evaluate (.pth).", tasks=_EVALUATE)
    trt_engine: PathText = path_field("Not supported: leave it empty and use checkpoint.", tasks=())
    results_dir: PathText = path_field("Folder of the results; null means <results_dir>/evaluate.", tasks=_EVALUATE)
    batch_size: int = spec_field(4, "Boxes in one batch on each GPU.", tasks=_VALIDATE, ge=1)
    comp_clustering: bool = spec_field(
        False, "Also report how well the network's instance vectors tell the classes apart.", tasks=_EVALUATE
    )
    report: bool = spec_field(True, "Also write report.html, a page that shows the masks to trust.", tasks=_EVALUATE)
    _no_engine = field_validator("trt_engine")(without_engine)
