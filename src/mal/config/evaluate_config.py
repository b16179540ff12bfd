"""The `evaluate` section: validation during training and the evaluation task."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from mal.config.fields import DeviceSection, PathText, Task, path_field, spec_field, without_engine

_EVALUATE: tuple[Task, ...] = ("evaluate",)
_VALIDATE: tuple[Task, ...] = ("train", "evaluate")


class EvaluateConfig(DeviceSection):
    """How masks are compared with the ground truth."""

    checkpoint: PathText = path_field("Checkpoint to evaluate (.pth).", tasks=_EVALUATE)
    trt_engine: PathText = path_field("Not supported: leave it empty and use checkpoint.", tasks=())
    results_dir: PathText = path_field("Folder of the results; null means <results_dir>/evaluate.", tasks=_EVALUATE)
    batch_size: int = spec_field(4, "Boxes in one batch on each GPU.", tasks=_VALIDATE, ge=1)
    use_mixed_model_test: bool = spec_field(
        False, "Average the logits of student and teacher; goes before use_teacher_test.", tasks=_VALIDATE
    )
    use_teacher_test: bool = spec_field(False, "Use the teacher in place of the student.", tasks=_VALIDATE)
    use_flip_test: bool = spec_field(False, "Average with the logits of the mirrored crop.", tasks=_VALIDATE)
    use_crf_test: bool = spec_field(
        False, "Refine each mask on its crop by the mean field of the train.crf_* fields.", tasks=_VALIDATE
    )
    comp_clustering: bool = spec_field(
        False, "Also report how well the network's instance vectors tell the classes apart.", tasks=_EVALUATE
    )
    report: bool = spec_field(True, "Also write report.html, a page that shows the masks to trust.", tasks=_EVALUATE)
    profile: Literal["exact", "fast"] = spec_field(
        "exact",
        "fast takes about half the time for nearly the same masks, with a vit-* architecture; what it costs and saves"
        " is in docs/performance.md.",
        tasks=_EVALUATE,
    )

    _no_engine = field_validator("trt_engine")(without_engine)
