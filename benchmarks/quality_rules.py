"""Masks of boxes by rules, without a network: filled box, ellipse, GrabCut, and our graph cut from the ellipse."""

from __future__ import annotations

import time
from itertools import groupby

import numpy as np
import numpy.typing as npt

from benchmarks.quality_cells import Boxes
from benchmarks.quality_sets import Part
from mal.coco.boxes import Box
from mal.coco.ground_truth import GroundTruth
from mal.data.cut_grid import CutGrid
from mal.data.images import read_record_image
from mal.data.loaders import AnnotatedImages
from mal.masks.refine import CutWindow
from mal.masks.rle import Rle, rle_from_mask, window_from_rle
from mal.metrics.baselines import box_mask, ellipse_mask
from mal.metrics.instance_file import instance_rows
from mal.metrics.instance_table import concatenate_tables, instance_row
from mal.metrics.summary import ClassNumbers

Photo = npt.NDArray[np.uint8]
GRAB_CUT_ITERATIONS = 5


def filled_box(photo: Photo, box: Box) -> Rle:
    """The box itself."""
    return box_mask(box.xywh, box.image.width, box.image.height)


def ellipse(photo: Photo, box: Box) -> Rle:
    """The ellipse inscribed in the box."""
    return ellipse_mask(box.xywh, box.image.width, box.image.height)


def ellipse_cut(photo: Photo, box: Box) -> Rle:
    """Our graph cut, started from the ellipse."""
    size = (box.image.width, box.image.height)
    grid = CutGrid.around(box.xyxy, size, (0, 0, *size))
    window = CutWindow(grid.pixels(photo), grid.ellipse(), grid.inside, grid.extent, size)
    return window.pasted(window.cut(0.5)).rle()


def grab_cut(photo: Photo, box: Box) -> Rle:
    """OpenCV's GrabCut from the box, in surroundings twice as wide and high; the filled box where it finds nothing."""
    import cv2

    filled = filled_box(photo, box)
    window, x0, y0 = window_from_rle(filled)
    height, width = window.shape
    left, top = max(x0 - width // 2, 0), max(y0 - height // 2, 0)
    around = np.ascontiguousarray(photo[top : y0 + height + height // 2, left : x0 + width + width // 2, ::-1])
    labels, models = np.zeros(around.shape[:2], np.uint8), (np.zeros((1, 65)), np.zeros((1, 65)))
    cv2.setNumThreads(1)
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(
            around,
            labels,
            (x0 - left, y0 - top, width, height),
            *models,
            GRAB_CUT_ITERATIONS,
            cv2.GC_INIT_WITH_RECT,
        )
    except cv2.error:  # too few pixels inside or outside of the box for a model of their colors
        return filled
    found = np.zeros(photo.shape[:2], np.bool_)
    inside = labels[y0 - top : y0 - top + height, x0 - left : x0 - left + width]
    found[y0 : y0 + height, x0 : x0 + width] = (inside == cv2.GC_FGD) | (inside == cv2.GC_PR_FGD)
    return rle_from_mask(found) if found.any() else filled


RULES = {"box": filled_box, "ellipse": ellipse, "grab_cut": grab_cut, "ellipse_cut": ellipse_cut}


def measure_rule(name: str, part: Part) -> tuple[Boxes, float]:
    """The figures of each box with a true mask, and boxes a second, reading of pictures included."""
    make = RULES[name]
    source = AnnotatedImages(part.val_masks, part.val_images)
    truth, classes = GroundTruth(source.coco), ClassNumbers(source.coco, source.boxes_to_label)
    seconds, rows = 0.0, []
    for _, of_image in groupby(source.boxes_to_label, key=lambda box: box.image.position):
        group = list(of_image)
        start = time.perf_counter()
        photo = read_record_image(source.img_dir, group[0].image)
        masks = [make(photo, box) for box in group]
        seconds += time.perf_counter() - start
        for box, mask in zip(group, masks, strict=True):
            true = truth.rle(box)
            if true is not None:
                rows.append(instance_row(box, classes.number(box.category_id), mask, true, score=0.0))
    table = concatenate_tables(rows)
    return Boxes.of_rows(instance_rows(source.coco, table, classes)), len(table) / seconds
