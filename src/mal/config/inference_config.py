"""The `inference` section: masks for the boxes of a COCO file."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import ValidationInfo, field_validator

from mal.config.fields import PathText, Task, path_field, path_or, spec_field, without_engine
from mal.config.prediction_config import PredictionSection

DEFAULT_LABEL_DUMP_PATH = "instances_val2017_mal.json"
_INFERENCE: tuple[Task, ...] = ("inference",)


class InferenceConfig(PredictionSection):
    """What is labelled, with what, and where the labels go."""

    checkpoint: PathText = path_field(
        "Checkpoint to label with (.pth), or what mal export onnx made of one (.onnx).",
        tasks=_INFERENCE,
        flag="--checkpoint",
    )
    trt_engine: PathText = path_field("Not supported: leave it empty and use checkpoint.", tasks=())
    results_dir: PathText = path_field("Folder of the results; null means <results_dir>/inference.", tasks=_INFERENCE)
    ann_path: PathText = path_field(
        "COCO JSON file with the boxes to label, or its URL (s3://, gs://, https:// ...).",
        tasks=_INFERENCE,
        flag="--ann",
    )
    img_dir: PathText = path_field("Folder of its images, or its URL.", tasks=_INFERENCE, flag="--images")
    label_dump_path: Annotated[str, path_or(DEFAULT_LABEL_DUMP_PATH)] = path_field(
        "COCO JSON file to write; a relative path lies in the results folder of inference. It may be a URL.",
        default=DEFAULT_LABEL_DUMP_PATH,
        tasks=_INFERENCE,
    )
    batch_size: int = spec_field(4, "Boxes in one batch on each GPU.", tasks=_INFERENCE, ge=1, flag="--batch-size")
    load_mask: bool = spec_field(
        False, "Compare with the masks that ann_path holds and write the iou of each annotation.", tasks=_INFERENCE
    )
    keep_existing_masks: bool = spec_field(
        False,
        "Leave annotations that have a mask as they are, and label only the others.",
        tasks=_INFERENCE,
        flag="--keep-existing-masks",
    )
    score: bool = spec_field(
        True,
        "Write the mask_score of each annotation: an estimate of its IoU without a true mask. docs/scores.md says how"
        " far to trust it. It takes no pass through a network, and about a millisecond of a processor for each box.",
        tasks=_INFERENCE,
        flag="--score",
    )
    min_score: float | None = spec_field(
        None,
        "Masks with a lower score are marked as doubtful, in the label file and in the report; null marks none.",
        tasks=_INFERENCE,
        flag="--min-score",
        ge=0,
        le=1,
    )
    report: bool = spec_field(
        True,
        "Also write report.html, a page that shows which masks need a look, and the first of them as review_queue.csv"
        " and .json.",
        tasks=_INFERENCE,
    )
    engine: Literal["processes", "ray"] = spec_field(
        "processes",
        "ray labels on a Ray cluster, or on this machine's cores where there is none; it needs the extra [ray].",
        tasks=_INFERENCE,
    )
    ray_actors: int | None = spec_field(
        None,
        "Workers on the Ray cluster; null means one for each of its GPUs, or one for each core where it has none.",
        tasks=_INFERENCE,
        ge=1,
    )
    shards_url: PathText = spec_field(
        None,
        "URL of a folder that keeps a copy of what a run on Ray has labelled so far, so that any machine can go on.",
        tasks=_INFERENCE,
    )

    @field_validator("label_dump_path")
    @classmethod
    def _check_label_dump_path(cls, path: str) -> str:
        if path.endswith(("/", os.sep)):
            raise ValueError(f"{path} is a folder; give the name of the file to write")
        return path

    @field_validator("min_score")
    @classmethod
    def _check_min_score(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("score") is False:
            raise ValueError("needs scores, and inference.score is false; set that to true, or min_score to null")
        return value

    _no_engine = field_validator("trt_engine")(without_engine)

    @field_validator("shards_url")
    @classmethod
    def _check_shards_url(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is not None and info.data.get("engine") == "processes":
            raise ValueError("is for inference.engine: ray; other processes write into the results folder")
        return url
