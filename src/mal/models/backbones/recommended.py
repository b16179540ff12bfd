"""Recommended backbones with their licenses, for docs/backbones.md."""

from __future__ import annotations

from dataclasses import dataclass

APACHE, MIT = "Apache-2.0", "MIT"
MAE, FAN = "CC BY-NC 4.0: not for commercial use", "NVIDIA Source Code License-NC: not for commercial use"
DINOV3 = "DINOv3 License: commercial use allowed, on Meta's terms"
FILE = "weights as a file: `train.pretrained_model_path`"


@dataclass(frozen=True, slots=True)
class Recommended:
    """One backbone.

    Attributes:
        arch: the value of ``model.arch``.
        stride: pixels per position of the feature map.
        width: channels of the feature map.
        parameters: millions of them, of the part that is used.
        license: of the weights, not of the code.
        needs: what to know before choosing it.
    """

    arch: str
    stride: int
    width: int
    parameters: float
    license: str
    needs: str = ""


PUBLIC = (
    Recommended("vit-deit-tiny/16", 16, 192, 5.5, APACHE, "`pretrained`"),
    Recommended("vit-deit-small/16", 16, 384, 21.7, APACHE, "`pretrained`"),
    Recommended("vit-mae-base/16", 16, 768, 85.8, MAE, "`pretrained`; the paper's choice"),
    Recommended("vit-mae-large/16", 16, 1024, 303.3, MAE, "`pretrained`"),
    Recommended("vit-mae-huge/14", 14, 1280, 630.8, MAE, "`pretrained`; a crop of 512 is seen as 518"),
    Recommended("fan_tiny_12_p16_224", 16, 192, 7.1, FAN, FILE),
    Recommended("fan_small_12_p16_224", 16, 384, 28.0, FAN, FILE),
    Recommended("fan_base_18_p16_224", 16, 448, 53.9, FAN, FILE),
    Recommended("fan_large_24_p16_224", 16, 480, 80.1, FAN, FILE),
    Recommended("fan_tiny_8_p4_hybrid", 16, 192, 7.3, FAN, FILE),
    Recommended("fan_small_12_p4_hybrid", 16, 384, 25.7, FAN, FILE),
    Recommended("fan_base_16_p4_hybrid", 16, 448, 50.0, FAN, FILE),
    Recommended("fan_large_16_p4_hybrid", 16, 480, 76.4, FAN, FILE),
)

_SEEN_AS_518 = "a crop of 512 is seen as 518 (37 x 37 positions)"
_FINE_GRID = "four times the positions of stride 16: a crop of 256 costs what 512 does there"
_MASKS = "trained on masks, so it is no start of a boxes-only comparison"
_SAM = f"trained at 1024: crops of 512 and above; the map is SAM's neck; {_MASKS}"
_LITE = "weights by pip; meant for `model.decoder: fpn`, which uses all stages (3.0, 3.7 and 4.4 M)"
_TIPS = "a register token; upstream states CC BY for the weights"
_STAGE = "the stage of stride 16; later ones are left out"

TIMM = (
    Recommended("timm/tf_efficientnet_lite0.in1k", 16, 112, 0.7, APACHE, _LITE),
    Recommended("timm/tf_efficientnet_lite1.in1k", 16, 112, 1.0, APACHE, _LITE),
    Recommended("timm/tf_efficientnet_lite2.in1k", 15, 120, 1.2, APACHE, f"{_LITE}; trained at 260 pixels"),
    Recommended("timm/vit_small_patch14_dinov2.lvd142m", 14, 384, 22.1, APACHE, _SEEN_AS_518),
    Recommended(
        "timm/vit_small_patch14_reg4_dinov2.lvd142m", 14, 384, 22.1, APACHE, f"{_SEEN_AS_518}; register tokens"
    ),
    Recommended("timm/vit_base_patch14_dinov2.lvd142m", 14, 768, 86.6, APACHE, _SEEN_AS_518),
    Recommended("timm/vit_base_patch14_reg4_dinov2.lvd142m", 14, 768, 86.6, APACHE, f"{_SEEN_AS_518}; register tokens"),
    Recommended("timm/vit_large_patch14_dinov2.lvd142m", 14, 1024, 304.4, APACHE, _SEEN_AS_518),
    Recommended("timm/vit_base_patch14_reg1_tipsv2.webli", 14, 768, 86.3, APACHE, f"{_SEEN_AS_518}; {_TIPS}"),
    Recommended("timm/vit_pe_spatial_tiny_patch16_512.fb", 16, 192, 5.7, APACHE),
    Recommended("timm/vit_pe_spatial_small_patch16_512.fb", 16, 384, 22.0, APACHE),
    Recommended("timm/vit_small_patch16_dinov3.lvd1689m", 16, 384, 21.6, DINOV3, "register tokens"),
    Recommended("timm/vit_base_patch16_dinov3.lvd1689m", 16, 768, 85.6, DINOV3, "register tokens"),
    Recommended("timm/vit_large_patch16_dinov3.lvd1689m", 16, 1024, 303.1, DINOV3, "register tokens"),
    Recommended("timm/convnext_tiny.dinov3_lvd1689m", 16, 384, 12.3, DINOV3, _STAGE),
    Recommended("timm/convnext_base.dinov3_lvd1689m", 16, 512, 60.1, DINOV3, _STAGE),
    Recommended("timm/eva02_tiny_patch14_224.mim_in22k", 14, 192, 5.5, MIT, _SEEN_AS_518),
    Recommended("timm/eva02_small_patch14_224.mim_in22k", 14, 384, 21.6, MIT, _SEEN_AS_518),
    Recommended("timm/eva02_base_patch14_224.mim_in22k", 14, 768, 85.8, MIT, _SEEN_AS_518),
    Recommended("timm/samvit_base_patch16.sa1b", 16, 256, 89.7, APACHE, _SAM),
    Recommended("timm/samvit_large_patch16.sa1b", 16, 256, 308.3, APACHE, _SAM),
    Recommended("timm/sam2_hiera_tiny.fb_r896", 16, 384, 13.3, APACHE, f"{_STAGE}; {_MASKS}"),
    Recommended("timm/sam2_hiera_tiny.fb_r896_2pt1", 16, 384, 13.3, APACHE, f"{_STAGE}; {_MASKS}"),
    Recommended("timm/sam2_hiera_base_plus.fb_r896", 16, 448, 40.5, APACHE, f"{_STAGE}; {_MASKS}"),
    Recommended("timm/deit3_small_patch16_224.fb_in22k_ft_in1k", 16, 384, 21.7, APACHE),
    Recommended("timm/deit3_base_patch16_224.fb_in22k_ft_in1k", 16, 768, 85.8, APACHE),
    Recommended("timm/vit_small_patch16_224.dino", 16, 384, 21.7, APACHE),
    Recommended("timm/vit_small_patch8_224.dino", 8, 384, 21.7, APACHE, _FINE_GRID),
    Recommended("timm/vit_base_patch8_224.dino", 8, 768, 85.8, APACHE, _FINE_GRID),
    Recommended("timm/vit_base_patch16_siglip_gap_512.v2_webli", 16, 768, 86.4, APACHE, "no class token"),
    Recommended("timm/swin_tiny_patch4_window7_224.ms_in22k_ft_in1k", 16, 384, 12.2, MIT, _STAGE),
    Recommended("timm/swin_base_patch4_window7_224.ms_in22k", 16, 512, 59.4, MIT, _STAGE),
)


def recommended_tables() -> str:
    """Both lists as Markdown, the end of docs/backbones.md."""
    return (
        f"## The public names\n\n{_markdown_table(PUBLIC)}\n"
        f"## From timm\n\nEach of these has weights on the hub (`pretrained`).\n\n{_markdown_table(TIMM)}"
    )


def _markdown_table(backbones: tuple[Recommended, ...]) -> str:
    rows = [
        f"| `{one.arch}` | {one.stride} | {one.width} | {one.parameters:.1f} M | {one.license} | {one.needs or '–'} |"
        for one in backbones
    ]
    head = [
        "| `model.arch` | Stride | Width | Parameters | Licence of the weights | Needs |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


if __name__ == "__main__":
    print(recommended_tables(), end="")
