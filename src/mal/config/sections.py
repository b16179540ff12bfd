"""The sections `dataset`, `evaluate`, `inference`, `masks`, `mlflow` and `wandb` of the spec."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import ValidationInfo, field_validator

from mal.config.fields import (
    LABELING,
    DeviceSection,
    PathText,
    Section,
    Task,
    path_field,
    path_or,
    spec_field,
    without_engine,
)
from mal.reading import DEFAULT_MEGAPIXELS, Reading

SourceFormat = Literal["coco", "yolo", "yolo-seg", "voc", "csv", "png", "labelme", "label-studio", "cvat", "cvat-xml"]
_ANY_FORMAT = "or any other file or folder that mal convert reads (docs/formats.md)"
_WHICH_FORMAT = "Format of {0}; null recognizes it."
_PICTURES = "Folder of {0}, or its URL; needed for a COCO file, other formats may say it themselves."


class DatasetConfig(Section):
    """Data sources and the crops made from them."""

    type: Literal["coco"] = spec_field("coco", "Format of the annotation files.", has_effect=False)
    train_ann_path: PathText = path_field(
        f"COCO JSON file with the boxes to train on, or its URL (s3://, gs://, https:// ...), {_ANY_FORMAT}.",
        tasks=["train"],
    )
    train_img_dir: PathText = path_field(_PICTURES.format("the training images"), tasks=["train"])
    train_ann_format: SourceFormat | None = spec_field(None, _WHICH_FORMAT.format("train_ann_path"), tasks=["train"])
    masks_ann_path: PathText = path_field(
        "COCO JSON file with true masks of some of the training boxes: of those with the same annotation id and image,"
        " else of those with nearly the same box. Needs train.target graph_cut. Masks that were accepted or drawn in"
        " mal review count without it, in the training file itself.",
        tasks=["train"],
    )
    val_ann_path: PathText = path_field(
        f"COCO JSON file to validate on during training and to evaluate, {_ANY_FORMAT}. Training without it skips"
        " validation.",
        tasks=["train", "evaluate"],
    )
    val_img_dir: PathText = path_field(_PICTURES.format("the validation images"), tasks=["train", "evaluate"])
    val_ann_format: SourceFormat | None = spec_field(
        None, _WHICH_FORMAT.format("val_ann_path"), tasks=["train", "evaluate"]
    )
    crop_size: int = spec_field(
        512,
        "Side in pixels of the square crop around each box that the network sees. TAO's lower limit is 256; smaller"
        " crops are faster and coarser.",
        from_checkpoint=True,
        flag="--crop-size",
        ge=32,
    )
    load_mask: bool = spec_field(
        True,
        "Read the masks of the validation file and compare with them. An annotation without a mask is named and left"
        " out of the comparison.",
        tasks=["train", "evaluate"],
    )
    min_obj_size: float = spec_field(
        2048, "Boxes are trained on only if their area in pixels is larger than this.", tasks=["train"], ge=0
    )
    max_obj_size: float = spec_field(
        1e10, "Boxes are trained on only if their area in pixels is smaller than this.", tasks=["train"], gt=0
    )
    num_workers_per_gpu: int = spec_field(
        2, "Processes that load data for each GPU; 0 loads in the main process.", flag="--workers", ge=0
    )
    border: Literal["wrap", "reflect"] = spec_field(
        "wrap",
        "What fills the part of a crop outside its image: the opposite side of the image (wrap, as public checkpoints"
        " were trained) or its mirror image (reflect).",
        from_checkpoint=True,
        flag="--border",
    )
    exif: Literal["stored", "upright"] = spec_field(
        "stored",
        "What boxes and masks go by where a photo has an EXIF orientation by which viewers turn it: the pixels as they"
        " are stored, or the upright picture that viewers show.",
        flag="--exif",
    )
    gray_range: Literal["full", "used"] = spec_field(
        "full",
        "What becomes black and white where a picture has grey of more than 8 bits: the ends of the full range (full),"
        " or the smallest and the largest value that it uses itself (used), as for 12 bits in a file of 16.",
        flag="--gray-range",
    )
    max_megapixels: float = spec_field(
        DEFAULT_MEGAPIXELS,
        "Pictures with more million pixels are refused, since each takes 3 MB of memory for a million in every process"
        " that reads pictures.",
        flag="--max-megapixels",
        ge=0.001,
    )

    @property
    def reading(self) -> Reading:
        """How images are read."""
        return Reading.of(self.exif, self.gray_range, self.max_megapixels)

    @field_validator("max_obj_size")
    @classmethod
    def _check_max_obj_size(cls, value: float, info: ValidationInfo) -> float:
        smallest = info.data.get("min_obj_size")
        if smallest is not None and value <= smallest:
            raise ValueError(f"{value:g} leaves no box to train on; must be above dataset.min_obj_size ({smallest:g})")
        return value


class PredictionSection(DeviceSection):
    """The task of a section reads them; training reads those of `evaluate` for its validation."""

    use_mixed_model_test: bool = spec_field(
        False, "Average the logits of student and teacher; goes before use_teacher_test.", from_checkpoint=True
    )
    use_teacher_test: bool = spec_field(False, "Use the teacher in place of the student.", from_checkpoint=True)
    use_flip_test: bool = spec_field(
        False,
        "Average with the logits of the mirrored crop; takes twice as long.",
        from_checkpoint=True,
        flag="--flip",
    )
    use_crf_test: bool = spec_field(
        False,
        "Refine each mask on its crop by the mean field of the train.crf_* fields; the same as refine: crf.",
        from_checkpoint=True,
        flag="--crf",
    )
    refine: Literal["none", "crf", "graph_cut", "auto"] | None = spec_field(
        None,
        "How each mask is refined by the colors of its crop: not at all (none), by the mean field of the train.crf_*"
        " fields (crf), after the threshold by a graph cut (graph_cut), or by such a cut only where that is expected to"
        " help (auto); docs/cleaning.md says what each brings. null means crf where use_crf_test is true, else none.",
        from_checkpoint=True,
        flag="--refine",
    )
    profile: Literal["exact", "fast"] = spec_field(
        "exact",
        "fast takes about half the time for nearly the same masks, with a vit-* architecture; what it costs and saves"
        " is in docs/performance.md.",
        tasks=LABELING,
        from_checkpoint=True,
        flag="--profile",
    )

    @field_validator("refine")
    @classmethod
    def _check_refine(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value not in (None, "crf") and info.data.get("use_crf_test"):
            raise ValueError(f"{value} contradicts use_crf_test (--crf), which means crf; set one of the two only")
        return value

    @property
    def refinement(self) -> Literal["none", "crf", "graph_cut", "auto"]:
        """How masks are refined, whichever of the two fields says it."""
        return self.refine or ("crf" if self.use_crf_test else "none")


_EVALUATE: tuple[Task, ...] = ("evaluate",)
_VALIDATE: tuple[Task, ...] = ("train", "evaluate")


class EvaluateConfig(PredictionSection):
    """How masks are compared with the ground truth."""

    checkpoint: PathText = path_field("Checkpoint to evaluate (.pth).", tasks=_EVALUATE)
    trt_engine: PathText = path_field("Not supported: leave it empty and use checkpoint.", tasks=(), has_effect=False)
    results_dir: PathText = path_field("Folder of the results; null means <results_dir>/evaluate.", tasks=_EVALUATE)
    batch_size: int = spec_field(4, "Boxes in one batch on each GPU.", tasks=_VALIDATE, ge=1)
    comp_clustering: bool = spec_field(
        False, "Also report how well the network's instance vectors tell the classes apart.", tasks=_EVALUATE
    )
    report: bool = spec_field(True, "Also write report.html, a page that shows the masks to trust.", tasks=_EVALUATE)
    _no_engine = field_validator("trt_engine")(without_engine)


DEFAULT_LABEL_DUMP_PATH = "instances_val2017_mal.json"
_INFERENCE: tuple[Task, ...] = ("inference",)


class InferenceConfig(PredictionSection):
    """What is labelled, with what, and where the labels go."""

    checkpoint: PathText = path_field(
        "Checkpoint to label with (.pth), or what mal export onnx made of one (.onnx).",
        tasks=_INFERENCE,
        flag="--checkpoint",
    )
    trt_engine: PathText = path_field("Not supported: leave it empty and use checkpoint.", tasks=(), has_effect=False)
    results_dir: PathText = path_field("Folder of the results; null means <results_dir>/inference.", tasks=_INFERENCE)
    ann_path: PathText = path_field(
        f"COCO JSON file with the boxes to label, or its URL (s3://, gs://, https:// ...), {_ANY_FORMAT}.",
        tasks=_INFERENCE,
        flag="--ann",
    )
    img_dir: PathText = path_field(_PICTURES.format("its images"), tasks=_INFERENCE, flag="--images")
    ann_format: SourceFormat | None = spec_field(
        None, _WHICH_FORMAT.format("ann_path"), tasks=_INFERENCE, flag="--from"
    )
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


_WHEREVER_MASKS_ARE: tuple[Task, ...] = ("train", *LABELING)


class MasksConfig(Section):
    """What is done to masks after the network; docs/cleaning.md says what each option brings."""

    min_part: float = spec_field(
        0.0,
        "Parts of a mask smaller than this share of its largest part are dropped; 0 keeps all.",
        tasks=_WHEREVER_MASKS_ARE,
        from_checkpoint=True,
        flag="--min-part",
        ge=0,
        le=1,
    )
    fill_holes: float = spec_field(
        0.0,
        "Holes of a mask up to this share of its area are filled; 0 leaves them.",
        tasks=_WHEREVER_MASKS_ARE,
        from_checkpoint=True,
        flag="--fill-holes",
        ge=0,
        le=1,
    )
    allow_outside: float = spec_field(
        0.0,
        "How far a mask may leave its box, as a share of the box's width and height; for boxes that are too tight.",
        tasks=_WHEREVER_MASKS_ARE,
        from_checkpoint=True,
        flag="--allow-outside",
        ge=0,
        le=1,
    )
    within_box: bool = spec_field(
        False,
        "Masks end where their box ends. Without it they reach a pixel farther, or as far as two pixels of the crop are"
        " large; those of boxes with a side of 2 pixels or fewer never do.",
        tasks=_WHEREVER_MASKS_ARE,
        from_checkpoint=True,
        flag="--within-box",
    )
    no_overlap: bool = spec_field(
        False,
        "A pixel that several masks of an image claim goes to the one with the smallest box, which most likely lies"
        " in front.",
        tasks=("inference",),
        from_checkpoint=True,
        flag="--no-overlap",
    )

    @field_validator("within_box")
    @classmethod
    def _check_within_box(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("allow_outside"):
            raise ValueError("contradicts masks.allow_outside; set one of the two to its default")
        return value


_TRAIN: tuple[Task, ...] = ("train",)


class MlflowConfig(Section):
    """Experiment tracking with MLflow; takes `pip install 'mask-auto-labeler[mlflow]'`."""

    enable: bool = spec_field(False, "Log to MLflow as well.", tasks=_TRAIN)
    tracking_uri: str | None = spec_field(
        None,
        "Address of the tracking server; null means MLFLOW_TRACKING_URI. A database on this machine, as in"
        " sqlite:////runs/mlflow.db, takes the whole mlflow package. A password belongs in MLFLOW_TRACKING_PASSWORD.",
        tasks=_TRAIN,
    )
    experiment_name: str = spec_field("mask-auto-labeler", "Experiment that the run belongs to.", tasks=_TRAIN)
    run_name: str | None = spec_field(None, "Name of the run; null leaves it to MLflow.", tasks=_TRAIN)


def _wandb_field(default: Any, description: str, tasks: Sequence[Any] = ("train",)) -> Any:
    return spec_field(default, description, tasks=tasks)


class WandbConfig(Section):
    """Experiment tracking; nothing is sent unless the wandb package is installed and logged in."""

    enable: bool = _wandb_field(
        True, "Log to Weights & Biases; takes effect only where the wandb package is installed and logged in."
    )
    project: str = _wandb_field("TAO Toolkit", "Project that the run belongs to.")
    entity: str | None = _wandb_field("", "User or team that owns the project; empty means the one logged in.")
    tags: list[str] = _wandb_field(["training", "tao-toolkit"], "Tags of the run.")
    name: str = _wandb_field("TAO Toolkit training experiment", "Name of the run.")
    reinit: bool = _wandb_field(False, "Allow several runs in one process.")
    sync_tensorboard: bool = _wandb_field(False, "Also send what is written for TensorBoard.")
    save_code: bool = _wandb_field(False, "Also send the source code of the run.")
