"""Names and sizes of the backbones, as plain data: the spec is checked against it before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """One backbone's outline.

    Attributes:
        name: the value of ``model.arch``.
        family: ``vit`` or ``fan``.
        depth: number of transformer blocks; ``model.num_blocks`` may not exceed it.
        patch_size: side in pixels of the square that one position of the feature map stands for.
    """

    name: str
    family: str
    depth: int
    patch_size: int


ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        Architecture("vit-deit-tiny/16", "vit", depth=12, patch_size=16),
        Architecture("vit-deit-small/16", "vit", depth=12, patch_size=16),
        Architecture("vit-mae-base/16", "vit", depth=12, patch_size=16),
        Architecture("vit-mae-large/16", "vit", depth=24, patch_size=16),
        Architecture("vit-mae-huge/14", "vit", depth=32, patch_size=14),
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
