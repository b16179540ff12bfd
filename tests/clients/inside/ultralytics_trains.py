"""Train a network of random weights for one epoch on a CPU, and print what Ultralytics measured.

Arguments: the data set's YAML file, and the network's ("yolo11n-seg.yaml").
"""

import json
import sys
from pathlib import Path

from ultralytics import YOLO
from ultralytics.utils import SETTINGS, USER_CONFIG_DIR

Path(USER_CONFIG_DIR, "Arial.ttf").touch()  # else it is looked for on the network
SETTINGS.update({"sync": False})


def main(yaml_file, network):
    quick = {"epochs": 1, "imgsz": 64, "batch": 2, "workers": 0, "device": "cpu", "plots": False, "amp": False}
    metrics = YOLO(network).train(data=yaml_file, project=str(Path.cwd() / "runs"), **quick)
    print(json.dumps({key: float(value) for key, value in metrics.results_dict.items()}))


main(*sys.argv[1:])
