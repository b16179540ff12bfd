"""Recipes: values of the spec that were measured to work together, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mal.config.load import spec_from_values
from mal.config.schema import ExperimentSpec
from mal.starter.files import STARTER


@dataclass(frozen=True, slots=True)
class Recipe:
    """Values for a kind of data.

    Attributes:
        about: what they are for, in one sentence.
        values: by the key of the field; every other field keeps its default.
    """

    about: str
    values: dict[str, Any]

    def spec(self) -> ExperimentSpec:
        """The spec with these values."""
        return spec_from_values(self.values)


# docs/quality.md has the measurements behind each value. Some defaults suit long runs on large sets only and would
# spoil a short one: min_obj_size drops small objects, border wrap shows the far side of the photo, loss_mil_step
# ramps for longer than the run, and lr and mask_thres are those of the publication.
_FROM_IMAGENET: dict[str, Any] = {
    "dataset.crop_size": 160,
    "dataset.min_obj_size": 64,
    "dataset.border": "reflect",
    "dataset.num_workers_per_gpu": 1,
    "model.arch": "timm/tf_efficientnet_lite0",
    "model.pretrained": True,
    "model.decoder": "fpn",
    "model.batch_norm": "frozen",
    "model.teacher_momentum": 0.98,
    "model.teacher_warmup": True,
    "train.target": "graph_cut",
    "train.num_epochs": 4,
    "train.min_steps": 400,
    "train.ellipse_epochs": 1.5,
    "train.ellipse_share": 0.25,
    "train.box_jitter": 0.0,
    "train.box_dropout": 0.0,
    "train.batch_size": 16,
    "train.lr": 1.25e-4,
    "train.backbone_lr_rate": 0.2,
    "train.min_lr_rate": 0.05,
    "train.warmup_epochs": 0,
    "train.optim_betas": [0.9, 0.99],
    "train.clip_grad_norm": 5.0,
    "train.loss_mil_weight": 0.1,
    "train.loss_mil_step": 0,
    "train.validation_interval": 4,
    "train.checkpoint_interval": 4,
    "train.mask_thres": [0.4],
    "train.test_margin_rate": [0.3, 0.3],
    "evaluate.batch_size": 16,
    "evaluate.use_teacher_test": True,
    "inference.batch_size": 16,
    "inference.use_teacher_test": True,
}

RECIPES = {
    "small-data": Recipe(
        "Tens to thousands of boxes, minutes of a CPU: a small convolutional network from ImageNet weights, taught by"
        " graph cuts.",
        _FROM_IMAGENET,
    ),
    "from-starter": Recipe(
        "The same network from the starter that comes with mal, which draws good masks already: three quarters of"
        " a target are its own mask, one quarter the cut of that.",
        {
            **_FROM_IMAGENET,
            "dataset.min_obj_size": 16,
            "model.pretrained": False,
            "train.pretrained_model_path": STARTER,
            "train.num_epochs": 3,
            "train.min_steps": 100,
            "train.ellipse_epochs": 0,
            "train.ellipse_share": 0.0,
            "train.target_softness": 0.75,  # cuts alone leave out soft rims, more from round to round
            "train.lr": 1.6e-5,
            "train.loss_mil_weight": 0.5,
            "train.mask_thres": [0.5],
            "train.validation_interval": 3,
            "train.checkpoint_interval": 3,
        },
    ),
}
