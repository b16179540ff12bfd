"""Names and sizes of the backbones, as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """The dimensions of a backbone.

    Attributes:
        name: the value of ``model.arch``.
        family: ``vit`` or ``fan``.
        depth: number of transformer blocks; ``model.num_blocks`` may not exceed it.
        patch_size: side in pixels of the square of one feature map position.
        hub_name: timm's name of the same network, whose weights `model.pretrained` downloads; None without one.
    """

    name: str
    family: str
    depth: int
    patch_size: int
    hub_name: str | None = None


TIMM_PREFIX = "timm/"  # prefix of the name of any timm backbone

ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        Architecture("vit-deit-tiny/16", "vit", depth=12, patch_size=16, hub_name="deit_tiny_patch16_224.fb_in1k"),
        Architecture("vit-deit-small/16", "vit", depth=12, patch_size=16, hub_name="deit_small_patch16_224.fb_in1k"),
        Architecture("vit-mae-base/16", "vit", depth=12, patch_size=16, hub_name="vit_base_patch16_224.mae"),
        Architecture("vit-mae-large/16", "vit", depth=24, patch_size=16, hub_name="vit_large_patch16_224.mae"),
        Architecture("vit-mae-huge/14", "vit", depth=32, patch_size=14, hub_name="vit_huge_patch14_224.mae"),
        Architecture("fan_tiny_12_p16_224", "fan", depth=12, patch_size=16),
        Architecture("fan_small_12_p16_224", "fan", depth=12, patch_size=16),
        Architecture("fan_base_18_p16_224", "fan", depth=18, patch_size=16),
        Architecture("fan_large_24_p16_224", "fan", depth=24, patch_size=16),
        Architecture("fan_tiny_8_p4_hybrid", "fan", depth=8, patch_size=16),
        Architecture("fan_small_12_p4_hybrid", "fan", depth=10, patch_size=16),
        Architecture("fan_base_16_p4_hybrid", "fan", depth=16, patch_size=16),
        Architecture("fan_large_16_p4_hybrid", "fan", depth=22, patch_size=16),
    )
}
