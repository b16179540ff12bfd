"""Use any timm model as a backbone: plain ViTs and hierarchical networks, for one feature map or a pyramid."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import timm
import torch
from timm.models import get_model_input_config
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from mal.data.crops import IMAGENET_MEAN, IMAGENET_STD
from mal.errors import UserError
from mal.models.backbones.freezing import FreezableBackbone
from mal.models.backbones.vit import resize_to, resize_to_multiple
from mal.runtime.lightning_internals import is_batch_norm

WANTED_STRIDE = 16
PYRAMID_STRIDES = (4, 8, 16, 32)
_STEM_NAMES = ("patch_embed", "patch_embeds", "stem")
_STAGES_NAMES = ("blocks", "stages", "layers", "levels")


@dataclass(frozen=True, slots=True)
class _Pruned:
    """A timm model without the parts that nothing uses.

    Attributes:
        model: of timm.
        indices: the blocks or stages that give feature maps.
        is_plain: whether all of them have one stride.
    """

    model: Any
    indices: list[int]
    is_plain: bool


class TimmModel(FreezableBackbone):
    """A timm model under timm's own names of tensors; subclasses choose what it returns.

    Args:
        name: timm's name, with or without the tag of a set of weights.
        num_blocks: use the first blocks of a plain transformer only; None uses all.
        drop_path: stochastic depth rate of the last block, 0..1.

    Attributes:
        embed_dim: channels of the feature map, the last one where there are several.
        stride: pixels per position of that map.
        channels: of each map.
        stem: None, since each model comes with one stem only.
        fixed_size: height and width that crops are resized to, where the model takes no others; else None.

    Raises:
        UserError: timm has no such model, it gives no feature map, or it has no such number of blocks.
    """

    stem = None
    coarsest_stride: int | None = None  # of hierarchical networks, where it is always the same
    color_scale: Tensor
    color_shift: Tensor

    def __init__(self, name: str, *, num_blocks: int | None = None, drop_path: float = 0.0) -> None:
        super().__init__()
        self._name = name
        _check_name(name)
        # On the meta device: inspects the model without memory or arithmetic before it is built.
        with torch.device("meta"), _WithoutRandomValues():
            self._set_outline(self._pruned(num_blocks, drop_path))
        pruned = self._pruned(num_blocks, drop_path)
        self.model, self._indices, self._is_plain = pruned.model, pruned.indices, pruned.is_plain
        self._match_colors(self.model.pretrained_cfg)
        self.register_state_dict_post_hook(_drop_prefix)
        self.register_load_state_dict_pre_hook(_add_prefix)

    def _maps(self, images: Tensor) -> list[Tensor]:
        if self._has_own_colors:
            images = images * self.color_scale + self.color_shift
        images = resize_to(images, self.fixed_size) if self.fixed_size else resize_to_multiple(images, self.stride)
        return _feature_maps(self.model, images, self._indices, norm=self._is_plain)

    def _pruned(self, num_blocks: int | None, drop_path: float) -> _Pruned:
        """The model up to the last block or stage that is used."""
        model = create_timm_model(self._name, drop_path=drop_path)
        strides = [info["reduction"] for info in model.feature_info]
        is_plain = len(set(strides)) == 1
        if num_blocks is not None and not is_plain:
            raise UserError(f"model.num_blocks: timm/{self._name} has stages of different strides; leave it at null")
        if num_blocks is not None and num_blocks > len(strides):
            raise UserError(
                f"model.num_blocks: {num_blocks} is more than the {len(strides)} blocks of timm/{self._name}"
            )
        indices = self._chosen(strides[:num_blocks], is_plain)
        model.prune_intermediate_layers(indices, prune_norm=not is_plain, prune_head=True)
        return _Pruned(model, indices, is_plain)

    def _chosen(self, strides: list[int], is_plain: bool) -> list[int]:
        """Choose the blocks or stages that give feature maps, by the strides of all."""
        raise NotImplementedError

    def _set_outline(self, pruned: _Pruned) -> None:
        model = pruned.model
        config = get_model_input_config(model)
        size = config["input_size"][-2:]
        self.fixed_size: tuple[int, int] | None = size if config["fixed_input_size"] else None
        stages = [model.feature_info[index] for index in pruned.indices]
        # Asked by every start of the recommended networks: without a pass.
        if isinstance(model, EfficientNet) and size[0] % stages[-1]["reduction"] == 0:
            self.channels = tuple(stage["num_chs"] for stage in stages)
            self.embed_dim, self.stride = self.channels[-1], self.coarsest_stride or stages[-1]["reduction"]
            return
        try:
            images = torch.zeros(1, 3, *size, device="meta")
            maps = _feature_maps(model.eval(), images, pruned.indices, norm=pruned.is_plain)
            self.channels = tuple(each.shape[1] for each in maps)
            height = maps[-1].shape[2]
        # Models of other kinds fail with many error types.
        except Exception as error:
            raise UserError(f"model.arch: timm/{self._name} gives no feature map ({type(error).__name__})") from error
        self.embed_dim = self.channels[-1]
        known = None if pruned.is_plain else self.coarsest_stride
        self.stride = known or round(size[0] / height)

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
        if "conv_stem" in parts:  # of EfficientNets and alike, which keep its norm beside it
            stem = nn.ModuleList([parts["conv_stem"], parts["bn1"]])
        stages = next((parts[name] for name in _STAGES_NAMES if name in parts), None)
        if stem is None or not isinstance(stages, nn.Sequential | nn.ModuleList):
            raise UserError(
                f"model.frozen_stages: the stages of timm/{self._name} are not known here; leave it at [-1]"
            )
        return [stem, *stages]


class TimmBackbone(TimmModel):
    """A timm model that returns one feature map.

    Of a plain transformer it is the patch tokens of the last block after the last norm (SAM's: its neck); of a
    hierarchical network the stage whose stride is nearest to 16, each position's channels brought to mean 0 and
    deviation 1, because no norm of the network follows there.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Feature map of a batch.

        Args:
            images: (B, 3, H, W) float, normalized by ImageNet's mean and deviation. A side that is no multiple of the
                stride is resized to the nearest.

        Returns:
            (B, C, h, w) float.
        """
        (features,) = self._maps(images)
        return features if self._is_plain else _unit_channels(features)

    def _chosen(self, strides: list[int], is_plain: bool) -> list[int]:
        return [len(strides) - 1 if is_plain else _nearest(strides)]


class TimmPyramid(TimmModel):
    """A timm model that returns four feature maps, from fine to coarse.

    Of a hierarchical network they are the last stages of strides 4, 8, 16 and 32; without batch normalization in it
    each position's channels are brought to mean 0 and deviation 1. Of a plain transformer they are the tokens after
    each quarter of its blocks, after the last norm, all on the one grid that it has.

    Raises:
        UserError: as :class:`TimmModel`; or the network lacks one of these strides, or has fewer than four blocks.
    """

    coarsest_stride = PYRAMID_STRIDES[-1]

    def forward(self, images: Tensor) -> list[Tensor]:
        """The four maps (B, C, h, w) float of images as for :meth:`TimmBackbone.forward`."""
        maps = self._maps(images)
        has_own_norm = self._is_plain or any(map(is_batch_norm, self.model.modules()))
        return maps if has_own_norm else [_unit_channels(each) for each in maps]

    def _chosen(self, strides: list[int], is_plain: bool) -> list[int]:
        count = len(PYRAMID_STRIDES)
        if is_plain and len(strides) >= count:
            return [(quarter * len(strides)) // count - 1 for quarter in range(1, count + 1)]
        if is_plain or not set(PYRAMID_STRIDES) <= set(strides):
            held = f"{len(strides)} blocks" if is_plain else f"strides {', '.join(map(str, sorted(set(strides))))}"
            raise UserError(
                f"model.decoder: fpn takes a network with strides 4, 8, 16 and 32 (timm/tf_efficientnet_lite0,"
                f" timm/convnext_tiny, timm/resnet50, ...) or a plain transformer of 4 blocks or more;"
                f" timm/{self._name} has {held}"
            )
        last = {stride: index for index, stride in enumerate(strides)}
        return [last[stride] for stride in PYRAMID_STRIDES]


def create_timm_model(name: str, *, drop_path: float = 0.0, pretrained: bool = False) -> Any:
    """A whole timm model without classifier that takes crops of any size, as far as its kind allows."""
    options: dict[str, Any] = {"drop_path_rate": drop_path} if drop_path else {}
    with torch.device("meta"), _WithoutRandomValues():
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


class _WithoutRandomValues(TorchFunctionMode):
    """Draws no initial weights, which the meta device has no place for: to learn that, PyTorch loads its compiler."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func.__name__ in _DRAWING:  # of tensors, and of torch.nn.init
            return args[0] if args else named["tensor"]
        return func(*args, **named)


_DRAWING = {"normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_", "xavier_normal_", "xavier_uniform_"}


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


def _nearest(strides: list[int]) -> int:
    """Index of the last stage whose stride is nearest to 16, the finer one of two equally near."""
    return min(range(len(strides)), key=lambda index: (abs(strides[index] - WANTED_STRIDE), strides[index], -index))


def _feature_maps(model: Any, images: Tensor, indices: Sequence[int], *, norm: bool) -> list[Tensor]:
    return model.forward_intermediates(
        images, indices=list(indices), norm=norm, stop_early=True, intermediates_only=True
    )


def _unit_channels(features: Tensor) -> Tensor:
    """The channels of each position of (B, C, h, w) brought to mean 0 and deviation 1."""
    channels_last = features.permute(0, 2, 3, 1)
    return F.layer_norm(channels_last, channels_last.shape[-1:]).permute(0, 3, 1, 2)


def _drop_prefix(module: nn.Module, state: MutableMapping[str, Any], prefix: str, _: Any) -> None:
    """Name the tensors as timm does, so that files of timm fit."""
    _rename(state, f"{prefix}model.", prefix)


def _add_prefix(module: nn.Module, state: MutableMapping[str, Any], prefix: str, *_: Any) -> None:
    _rename(state, prefix, f"{prefix}model.")


def _rename(state: MutableMapping[str, Any], old: str, new: str) -> None:
    for name in [name for name in state if name.startswith(old)]:
        state[new + name.removeprefix(old)] = state.pop(name)
