"""The `dataset` section: where images and boxes come from and how they are cropped."""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationInfo, field_validator

from mal.config.fields import PathText, Section, path_field, spec_field
from mal.reading import DEFAULT_MEGAPIXELS, Reading


class DatasetConfig(Section):
    """Data sources and the crops made from them."""

    type: Literal["coco"] = spec_field("coco", "Format of the annotation files.")
    train_ann_path: PathText = path_field(
        "COCO JSON file with the boxes to train on, or its URL (s3://, gs://, https:// ...).", tasks=["train"]
    )
    train_img_dir: PathText = path_field("Folder of the training images, or its URL.", tasks=["train"])
    val_ann_path: PathText = path_field(
        "COCO JSON file to validate on during training and to evaluate. Training without it skips validation.",
        tasks=["train", "evaluate"],
    )
    val_img_dir: PathText = path_field("Folder of the validation images, or its URL.", tasks=["train", "evaluate"])
    crop_size: int = spec_field(
        512,
        "Side in pixels of the square crop around each box that the network sees. TAO's lower limit is 256; smaller"
        " crops are faster and coarser.",
        from_checkpoint=True,
        flag="--crop-size",
        ge=32,
    )
    load_mask: bool = spec_field(
        True,
        "Read the masks of the validation file and compare with them. An annotation without a mask is named and left"
        " out of the comparison.",
        tasks=["train", "evaluate"],
    )
    min_obj_size: float = spec_field(
        2048, "Boxes are trained on only if their area in pixels is larger than this.", tasks=["train"], ge=0
    )
    max_obj_size: float = spec_field(
        1e10, "Boxes are trained on only if their area in pixels is smaller than this.", tasks=["train"], gt=0
    )
    num_workers_per_gpu: int = spec_field(
        2, "Processes that load data for each GPU; 0 loads in the main process.", flag="--workers", ge=0
    )
    border: Literal["wrap", "reflect"] = spec_field(
        "wrap",
        "What fills the part of a crop outside its image: the opposite side of the image (wrap, as public checkpoints"
        " were trained) or its mirror image (reflect).",
        from_checkpoint=True,
        flag="--border",
    )
    exif: Literal["stored", "upright"] = spec_field(
        "stored",
        "What boxes and masks go by where a photo has an EXIF orientation by which viewers turn it: the pixels as they"
        " are stored, or the upright picture that viewers show.",
        flag="--exif",
    )
    grey_range: Literal["full", "used"] = spec_field(
        "full",
        "What becomes black and white where a picture has grey of more than 8 bits: the ends of the full range (full),"
        " or the smallest and the largest value that it uses itself (used), as for 12 bits in a file of 16.",
        flag="--grey-range",
    )
    max_megapixels: float = spec_field(
        DEFAULT_MEGAPIXELS,
        "Pictures with more million pixels are refused, since each takes 3 MB of memory for a million in every process"
        " that reads pictures.",
        flag="--max-megapixels",
        ge=0.001,
    )

    @property
    def reading(self) -> Reading:
        """How pictures are read."""
        return Reading.of(self.exif, self.grey_range, self.max_megapixels)

    @field_validator("max_obj_size")
    @classmethod
    def _check_max_obj_size(cls, value: float, info: ValidationInfo) -> float:
        smallest = info.data.get("min_obj_size")
        if smallest is not None and value <= smallest:
            raise ValueError(f"{value:g} leaves no box to train on; must be above dataset.min_obj_size ({smallest:g})")
        return value
