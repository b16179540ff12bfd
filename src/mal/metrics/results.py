"""The schema of `metrics.json`: declares each key and its meaning."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]

Interval = tuple[float, float]  # lower and upper end

_NO_BOX = "null without a box"


class Figures(BaseModel):
    """A group of figures; what is not known is null."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def rows(cls) -> list[tuple[str, str]]:
        """Key and meaning of each figure, in order."""
        return [(name, field.description or "") for name, field in cls.model_fields.items()]


def figure(description: str, **rules: Any) -> Any:
    """A figure of a group, with what it means."""
    return Field(description=description, **rules)


class DifferenceFigures(Figures):
    """A figure of the model less that of a baseline on the same images."""

    mean: float = figure("the difference; above 0 the model is better")
    interval: Interval | None = figure("its 95 % interval, from the same draws of images; null of a single image")


class ClassFigures(Figures):
    """One class."""

    miou: Share = figure("mean IoU of its boxes")
    n: Count = figure("number of its boxes")
    images: Count = figure("number of images that hold them")
    boundary_iou: Share = figure("mean boundary IoU")
    dice: Share = figure("mean Dice coefficient")
    share_iou_50: Share = figure("share of boxes with IoU of at least 0.5")
    share_iou_75: Share = figure("share of boxes with IoU of at least 0.75")
    share_iou_90: Share = figure("share of boxes with IoU of at least 0.9")


class SizeFigures(Figures):
    """The boxes of one size."""

    miou_classes: Share | None = figure(f"mean over classes; {_NO_BOX}")
    miou_instances: Share | None = figure(f"mean over boxes; {_NO_BOX}")
    n: Count = figure("number of boxes")


class Intervals(Figures):
    """95 % intervals of a method's figures of the same names, lower and upper end, by bootstrap over images."""

    miou_classes: Interval = figure("of `miou_classes`")
    miou_instances: Interval = figure("of `miou_instances`")
    boundary_iou_instances: Interval = figure("of `boundary_iou_instances`")
    dice_instances: Interval = figure("of `dice_instances`")
    share_iou_50: Interval = figure("of `share_iou_50`")
    share_iou_75: Interval = figure("of `share_iou_75`")
    share_iou_90: Interval = figure("of `share_iou_90`")


class Differences(Figures):
    """A baseline's figures taken from the model's of the same names."""

    miou_classes: DifferenceFigures = figure("of `miou_classes`")
    miou_instances: DifferenceFigures = figure("of `miou_instances`")
    boundary_iou_instances: DifferenceFigures = figure("of `boundary_iou_instances`")
    dice_instances: DifferenceFigures = figure("of `dice_instances`")
    share_iou_50: DifferenceFigures = figure("of `share_iou_50`")
    share_iou_75: DifferenceFigures = figure("of `share_iou_75`")
    share_iou_90: DifferenceFigures = figure("of `share_iou_90`")


class MethodFigures(Figures):
    """What one way to make masks of the boxes reaches."""

    miou_classes: Share | None = figure(
        f"mean IoU over the classes that occur of the mean within each: the public definition; {_NO_BOX}"
    )
    miou_instances: Share | None = figure(f"mean IoU over boxes; {_NO_BOX}")
    n: Count = figure("number of boxes")
    miou_classes_small: Share | None = figure("`miou_classes` of boxes up to 32² pixels")
    miou_instances_small: Share | None = figure("`miou_instances` of boxes up to 32² pixels")
    n_small: Count = figure("number of boxes up to 32² pixels")
    miou_classes_medium: Share | None = figure("`miou_classes` of larger boxes up to 96² pixels")
    miou_instances_medium: Share | None = figure("`miou_instances` of larger boxes up to 96² pixels")
    n_medium: Count = figure("number of larger boxes up to 96² pixels")
    miou_classes_large: Share | None = figure("`miou_classes` of boxes above 96² pixels")
    miou_instances_large: Share | None = figure("`miou_instances` of boxes above 96² pixels")
    n_large: Count = figure("number of boxes above 96² pixels")
    share_iou_50: Share | None = figure("share of boxes with IoU of at least 0.5")
    share_iou_75: Share | None = figure("share of boxes with IoU of at least 0.75")
    share_iou_90: Share | None = figure("share of boxes with IoU of at least 0.9")
    boundary_iou_instances: Share | None = figure("mean boundary IoU over boxes, dilation ratio 0.02")
    dice_instances: Share | None = figure("mean Dice coefficient over boxes")
    by_mask_area: dict[str, SizeFigures] = figure("`small`, `medium`, `large`: the same by the area of the true mask")
    mask_ap: Share | None = figure(
        "COCO's mask AP, masks as detections and crowd regions ignored: mean over IoU 0.50, 0.55, ... 0.95 and classes"
    )
    mask_ap_50: Share | None = figure("the same at IoU 0.50")
    mask_ap_75: Share | None = figure("the same at IoU 0.75")
    mask_ap_small: Share | None = figure("`mask_ap` of true masks up to 32² pixels; null where there is none")
    mask_ap_medium: Share | None = figure("`mask_ap` of larger true masks up to 96² pixels; null where there is none")
    mask_ap_large: Share | None = figure("`mask_ap` of true masks above 96² pixels; null where there is none")
    intervals: Intervals | None = figure("95 % intervals; null where there are fewer than two images")
    by_class: dict[str, ClassFigures] = figure("by name of the class; of two classes with one name, with their ids")


class Clustering(Figures):
    """How well instance vectors tell the classes apart."""

    calinski_harabasz: float = figure("larger is better")
    davies_bouldin: float = figure("smaller is better")


class EvaluationFigures(Figures):
    """The whole of ``metrics.json``."""

    checkpoint: str = figure("the evaluated file")
    images: Count = figure("number of images with evaluated boxes")
    model: MethodFigures = figure("the network's masks")
    box: MethodFigures = figure("the filled box as the mask")
    ellipse: MethodFigures = figure("the ellipse inscribed in the box as the mask")
    model_minus_box: Differences | None = figure("the model against the filled box; null without a box")
    model_minus_ellipse: Differences | None = figure("the model against the ellipse; null without a box")
    failed: Count = figure("number of boxes whose image could not be read; they are in no figure")
    no_truth: Count = figure(
        "number of boxes whose mask in the file is none, as it cannot be read, has no pixel or does not fit the box;"
        " they are in no figure",
        default=0,
    )
    clustering: Clustering | None = figure("with `evaluate.comp_clustering` only", default=None)

    def as_json(self) -> dict[str, Any]:
        """Plain values; a key that was not asked for is not there."""
        return self.model_dump(exclude_unset=True)
