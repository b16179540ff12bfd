"""Build networks and prediction settings from a spec; the only file of models that imports specs."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Literal

from mal.config.model_config import ModelConfig
from mal.config.schema import ExperimentSpec
from mal.config.sections import PredictionSection
from mal.data.label_dataset import CropSettings
from mal.masks.postprocess import PostprocessOptions
from mal.models.prediction_mode import MeanFieldSettings, Network, PredictionMode

if TYPE_CHECKING:
    from mal.models.backbones.freezing import FreezableBackbone
    from mal.models.backbones.vit import Stem
    from mal.models.fpn_network import AnyMaskNetwork, FpnNetwork
    from mal.models.network import MaskNetwork


def build_network(spec: ExperimentSpec, stem: Stem) -> AnyMaskNetwork:
    """The network that ``spec.model`` describes, with random weights.

    Raises:
        UserError: the architecture is not available, or not for this decoder.
    """
    return _fpn_network(spec.model) if spec.model.decoder == "fpn" else build_mal_network(spec, stem)


def _fpn_network(model: ModelConfig) -> FpnNetwork:
    from mal.models.backbones.registry import build_pyramid  # PyTorch; the other settings need none
    from mal.models.fpn_network import FpnNetwork

    backbone = build_pyramid(model.arch, num_blocks=model.num_blocks, drop_path=model.vit_dpr)
    _freeze(backbone, model)
    return FpnNetwork(backbone)


def build_mal_network(spec: ExperimentSpec, stem: Stem) -> MaskNetwork:
    """The network with the paper's decoder, as :func:`build_network`."""
    from mal.models.backbones.registry import build_backbone
    from mal.models.network import MaskNetwork

    model = spec.model
    backbone = build_backbone(model.arch, stem=stem, num_blocks=model.num_blocks, drop_path=model.vit_dpr)
    _freeze(backbone, model)
    return MaskNetwork(
        backbone,
        num_convs=model.mask_head_num_convs,
        hidden_channels=model.mask_head_hidden_channel,
        out_channels=model.mask_head_out_channel,
        mask_scale_ratio=model.mask_scale_ratio,
        mask_scale_ratio_pre=model.mask_scale_ratio_pre,
        adjust_scale=not model.not_adjust_scale,
    )


def _freeze(backbone: FreezableBackbone, model: ModelConfig) -> None:
    backbone.freeze(model.frozen_stages)
    if model.batch_norm == "frozen":
        backbone.freeze_batch_norm()


def mean_field_settings(spec: ExperimentSpec) -> MeanFieldSettings:
    """The mean-field options of ``spec.train``."""
    train = spec.train
    return MeanFieldSettings(
        kernel_size=train.crf_kernel_size,
        num_iter=train.crf_num_iter,
        zeta=train.crf_zeta,
        low=train.crf_value_low_thres,
        high=train.crf_value_high_thres,
    )


def crop_settings(spec: ExperimentSpec) -> CropSettings:
    """The crop options of a spec, for labeling."""
    return CropSettings(
        spec.dataset.crop_size, spec.train.test_margin_rate, spec.dataset.border, spec.masks.allow_outside
    )


def postprocess_options(spec: ExperimentSpec) -> PostprocessOptions:
    """The post-processing options of a spec."""
    return PostprocessOptions(
        **{option.name: getattr(spec.masks, option.name) for option in fields(PostprocessOptions)}
    )


def prediction_mode(spec: ExperimentSpec, task: PredictionSection) -> PredictionMode:
    """The prediction mode of a task section; ``mixed`` overrides ``teacher``, as in the public code."""
    network: Network = "mixed" if task.use_mixed_model_test else "teacher" if task.use_teacher_test else "student"
    crf = mean_field_settings(spec) if task.refinement == "crf" else None
    return PredictionMode(
        network, flip=task.use_flip_test, crf=crf, graph_cut=graph_cut_choice(task), profile=task.profile
    )


def graph_cut_choice(task: PredictionSection) -> bool | Literal["auto"]:
    """Whether masks are refined by graph cut; ``auto`` where that is expected to help."""
    return "auto" if task.refinement == "auto" else task.refinement == "graph_cut"
