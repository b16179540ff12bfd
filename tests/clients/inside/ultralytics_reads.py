"""Print the data set that Ultralytics finds behind a YAML file: sizes as it decodes them, boxes and masks as drawn.

Arguments: the YAML file, and the task ("segment" or "detect").
"""

import json
import sys
from pathlib import Path

import numpy as np
from ultralytics.data.build import build_yolo_dataset
from ultralytics.data.utils import check_det_dataset, polygon2mask
from ultralytics.utils import DEFAULT_CFG, USER_CONFIG_DIR

Path(USER_CONFIG_DIR, "Arial.ttf").touch()  # else it is looked for on the network


def shapes_of(data_set, index, names):
    label = data_set.labels[index]
    _, (height, width), _ = data_set.load_image(index)
    classes = [names[int(row)] for row in label["cls"].ravel()]
    boxes = [(box * (width, height, width, height)).tolist() for box in label["bboxes"]]
    masks = [polygon2mask((height, width), [part * (width, height)]) for part in label["segments"]]
    return {
        "size": [height, width],
        "boxes": dict(zip(classes, boxes, strict=True)),
        "masks": {name: mask.astype(bool).tolist() for name, mask in zip(classes, masks, strict=False)},
    }


def main(yaml_file, task):
    found = check_det_dataset(yaml_file, autodownload=False)
    DEFAULT_CFG.task = task
    pictures = {"train": {}, "val": {}}
    for split, shown in pictures.items():
        data_set = build_yolo_dataset(DEFAULT_CFG, found[split], 1, found, mode="val")
        for index, file in enumerate(data_set.im_files):
            shown[Path(file).name] = shapes_of(data_set, index, found["names"])
    print(json.dumps({"names": list(found["names"].values()), **pictures}, default=np.ndarray.tolist))


main(*sys.argv[1:])
