"""The `masks` section: what is done to masks after the network."""

from __future__ import annotations

from pydantic import ValidationInfo, field_validator

from mal.config.fields import LABELLING, Section, Task, spec_field

_WHEREVER_MASKS_ARE: tuple[Task, ...] = ("train", *LABELLING)


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
