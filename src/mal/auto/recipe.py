"""The recipe by which `mal auto` trains: few boxes, few minutes, from a network that draws masks already."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from mal.config.load import spec_from_values
from mal.config.recipes import RECIPES
from mal.config.schema import ExperimentSpec

LEAST_BOXES = 20  # fewer teach a network nothing that the starter does not know
MAX_EPOCHS = 30  # more repeat what is known
LR_OF_TRANSFORMERS = 6e-6  # times batch_size: they bear less than networks with strides
SHARE_OF_TIME = 0.9  # of the minutes that epochs are planned for: the time limit is for what was not foreseen


def epochs_in(minutes: float, *, seconds_per_step: float, steps_per_epoch: int) -> int:
    """The number of epochs that fit into some minutes, at least 1: the schedule of the learning rate goes by it."""
    seconds = 60 * minutes * SHARE_OF_TIME
    return min(MAX_EPOCHS, max(1, int(seconds / max(seconds_per_step * steps_per_epoch, 1e-9))))


def training_spec(
    *,
    settings: Mapping[str, Any],
    decoder: Literal["mal", "fpn"],
    crop_size: int,
    boxes: Path,
    images: str,
    checkpoint: Path,
    results: Path,
    num_epochs: int,
    minutes: float,
    reading: Mapping[str, Any],
) -> ExperimentSpec:
    """The spec of the training.

    Args:
        settings: values of the checkpoint for the fields that decide masks, by dotted key.
        decoder: of the network.
        crop_size: of the network.
        boxes, images: COCO file and folder to train on.
        checkpoint: the network to start from.
        results: folder of the results.
        num_epochs: length of the schedule.
        minutes: limit of time.
        reading: fields about how pictures are read, by dotted key.
    """
    return spec_from_values(
        {
            **_of_training(_recipe(decoder, num_epochs)),
            **settings,
            **reading,
            "results_dir": str(results),
            "dataset.train_ann_path": str(boxes),
            "dataset.train_img_dir": images,
            "dataset.crop_size": crop_size,
            "train.pretrained_model_path": str(checkpoint),
            "train.num_epochs": num_epochs,
            "train.max_minutes": minutes,
            "train.checkpoint_interval": max(1, num_epochs),
            "train.checkpoint_every_n_minutes": 1.0,
            "train.keep_last_n": 1,
            "wandb.enable": False,
        }
    )


def _recipe(decoder: Literal["mal", "fpn"], num_epochs: int) -> dict[str, Any]:
    """The values for a decoder: with strides as for the starter; networks of the publication may draw anything."""
    if decoder == "fpn":
        return RECIPES["from-starter"].values
    return {
        **RECIPES["small-data"].values,
        "dataset.min_obj_size": 16,
        "train.lr": LR_OF_TRANSFORMERS,
        "train.ellipse_epochs": float(num_epochs),
        "train.ellipse_share": 1.0,
    }


def _of_training(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a recipe but for the network, which is the checkpoint's, and the length of the run."""
    left_out = {"model.arch", "model.pretrained", "model.decoder", "dataset.crop_size", "train.min_steps"}
    return {key: value for key, value in values.items() if key not in left_out}
