"""Use any timm model as a backbone: plain ViTs, or hierarchical networks at about stride 16."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, MutableMapping
from typing import Any

import timm
import torch
from timm.models import get_model_input_config
from torch import Tensor, nn
from torch.nn import functional as F

from mal.data.crops import IMAGENET_MEAN, IMAGENET_STD
from mal.errors import UserError
from mal.models.backbones.freezing import FreezableBackbone
from mal.models.backbones.vit import resize_to, resize_to_multiple

WANTED_STRIDE = 16
_STEM_NAMES = ("patch_embed", "patch_embeds", "stem")
_STAGES_NAMES = ("blocks", "stages", "layers", "levels")


class TimmBackbone(FreezableBackbone):
    """A timm model that returns one feature map.

    Of a plain transformer it is the patch tokens of the last block after the last norm (SAM's: its neck); of a
    hierarchical network the stage whose stride is nearest to 16, each position's channels brought to mean 0 and
    deviation 1, because no norm of the network follows there. Its tensors have timm's own names.

    Args:
        name: timm's name, with or without the tag of a set of weights.
        num_blocks: use the first blocks of a plain transformer only; None uses all.
        drop_path: stochastic depth rate of the last block, 0..1.

    Attributes:
        embed_dim: channels of the feature map.
        stride: pixels per position of the feature map.
        stem: None, since each model comes with one stem only.
        fixed_size: height and width that crops are resized to, where the model takes no others; else None.

    Raises:
        UserError: timm has no such model, it gives no feature map, or it has no such number of blocks.
    """

    stem = None
    color_scale: Tensor
    color_shift: Tensor

    def __init__(self, name: str, *, num_blocks: int | None = None, drop_path: float = 0.0) -> None:
        super().__init__()
        self._name = name
        _check_name(name)
        # On the meta device: inspects the model without memory or arithmetic before it is built.
        with torch.device("meta"):
            self._set_outline(_pruned(name, num_blocks, drop_path))
        self.model, self._index, self._is_plain = _pruned(name, num_blocks, drop_path)
        self._match_colors(self.model.pretrained_cfg)
        self.register_state_dict_post_hook(_drop_prefix)
        self.register_load_state_dict_pre_hook(_add_prefix)

    def forward(self, images: Tensor) -> Tensor:
        """Feature map of a batch.

        Args:
            images: (B, 3, H, W) float, normalized by ImageNet's mean and deviation. A side that is no multiple of the
                stride is resized to the nearest.

        Returns:
            (B, C, h, w) float.
        """
        if self._has_own_colors:
            images = images * self.color_scale + self.color_shift
        images = resize_to(images, self.fixed_size) if self.fixed_size else resize_to_multiple(images, self.stride)
        return _feature_map(self.model, images, self._index, self._is_plain)

    def _set_outline(self, pruned: tuple[Any, int, bool]) -> None:
        model, index, is_plain = pruned
        config = get_model_input_config(model)
        size = config["input_size"][-2:]
        self.fixed_size: tuple[int, int] | None = size if config["fixed_input_size"] else None
        try:
            maps = _feature_map(model.eval(), torch.zeros(1, 3, *size, device="meta"), index, is_plain)
            _, self.embed_dim, height, _ = maps.shape
        # Models of other kinds fail with many error types.
        except Exception as error:
            raise UserError(f"model.arch: timm/{self._name} gives no feature map ({type(error).__name__})") from error
        self.stride = round(size[0] / height)

    def _match_colors(self, config: Mapping[str, Any]) -> None:
        """Prepare the conversion from ImageNet's normalization to the one the model was trained with."""
        self._has_own_colors = (tuple(config["mean"]), tuple(config["std"])) != (IMAGENET_MEAN, IMAGENET_STD)
        mean, std, imagenet_mean, imagenet_std = (
            torch.tensor(values).view(3, 1, 1)
            for values in (config["mean"], config["std"], IMAGENET_MEAN, IMAGENET_STD)
        )
        self.register_buffer("color_scale", imagenet_std / std, persistent=False)
        self.register_buffer("color_shift", (imagenet_mean - mean) / std, persistent=False)

    def _all_stages(self) -> list[nn.Module]:
        parts = dict(self.model.named_children())
        stem = next((parts[name] for name in _STEM_NAMES if name in parts), None)
        stages = next((parts[name] for name in _STAGES_NAMES if name in parts), None)
        if stem is None or not isinstance(stages, nn.Sequential | nn.ModuleList):
            raise UserError(
                f"model.frozen_stages: the stages of timm/{self._name} are not known here; leave it at [-1]"
            )
        return [stem, *stages]


def create_timm_model(name: str, *, drop_path: float = 0.0, pretrained: bool = False) -> Any:
    """A whole timm model without classifier that takes crops of any size, as far as its kind allows."""
    options: dict[str, Any] = {"drop_path_rate": drop_path} if drop_path else {}
    with torch.device("meta"):
        model_type = type(timm.create_model(name, num_classes=0))
    kinds = [kind for kind in model_type.__mro__ if issubclass(kind, nn.Module)]
    if any("dynamic_img_size" in inspect.signature(kind).parameters for kind in kinds):
        options["dynamic_img_size"] = True
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except TypeError as error:
        if "drop_path_rate" in str(error):
            raise UserError(f"model.vit_dpr: timm/{name} has no stochastic depth; leave it at 0") from error
        raise


def _check_name(name: str) -> None:
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3)
        hint = f"; did you mean {' or '.join(f'timm/{other}' for other in near)}?" if near else ""
        raise UserError(f"model.arch: timm has no model {architecture}{hint}")
    known = [other.partition(".")[2] for other in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in known:
        hint = f"there are {', '.join(known)}" if known else "leave it out"
        raise UserError(f"model.arch: timm has no weights {tag} of {architecture}; {hint}")


def _pruned(name: str, num_blocks: int | None, drop_path: float) -> tuple[Any, int, bool]:
    """A timm model up to the block or stage that is used; the index of that, and whether the model is plain."""
    model = create_timm_model(name, drop_path=drop_path)
    strides = [info["reduction"] for info in model.feature_info]
    is_plain = len(set(strides)) == 1
    if num_blocks is not None and not is_plain:
        raise UserError(f"model.num_blocks: timm/{name} has stages of different strides; leave it at null")
    if num_blocks is not None and num_blocks > len(strides):
        raise UserError(f"model.num_blocks: {num_blocks} is more than the {len(strides)} blocks of timm/{name}")
    index = (num_blocks or len(strides)) - 1 if is_plain else _nearest(strides)
    model.prune_intermediate_layers([index], prune_norm=not is_plain, prune_head=True)
    return model, index, is_plain


def _nearest(strides: list[int]) -> int:
    """Index of the last stage whose stride is nearest to 16, the finer one of two equally near."""
    return min(range(len(strides)), key=lambda index: (abs(strides[index] - WANTED_STRIDE), strides[index], -index))


def _feature_map(model: Any, images: Tensor, index: int, is_plain: bool) -> Tensor:
    (maps,) = model.forward_intermediates(
        images, indices=[index], norm=is_plain, stop_early=True, intermediates_only=True
    )
    if is_plain:
        return maps
    channels_last = maps.permute(0, 2, 3, 1)
    return F.layer_norm(channels_last, channels_last.shape[-1:]).permute(0, 3, 1, 2)


def _drop_prefix(module: nn.Module, state: MutableMapping[str, Any], prefix: str, _: Any) -> None:
    """Name the tensors as timm does, so that files of timm fit."""
    _rename(state, f"{prefix}model.", prefix)


def _add_prefix(module: nn.Module, state: MutableMapping[str, Any], prefix: str, *_: Any) -> None:
    _rename(state, prefix, f"{prefix}model.")


def _rename(state: MutableMapping[str, Any], old: str, new: str) -> None:
    for name in [name for name in state if name.startswith(old)]:
        state[new + name.removeprefix(old)] = state.pop(name)
