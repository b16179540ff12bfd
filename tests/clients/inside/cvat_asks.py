"""Load the functions as `cvat-cli` does, run them in the drivers of its agent, and print their masks.

Arguments: folders that are searched for modules last, joined by colons; a checkpoint, a picture, and a COCO file.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path += sys.argv[1].split(":")

import PIL.Image
from cvat_cli._internal import agent_driver, agent_driver_interaction
from cvat_cli._internal.agent import get_function_driver_class
from cvat_cli._internal.agent_driver_detection import _worker_job_detect
from cvat_cli._internal.common import FunctionLoader
from cvat_sdk.masks import decode_mask


def main(checkpoint, picture, boxes):
    image = PIL.Image.open(picture)
    document = json.loads(Path(boxes).read_text())
    print(json.dumps({"drawn": _interact(checkpoint, image, document), **_detect(checkpoint, image, document, boxes)}))


def _load(**parameters):
    function = FunctionLoader("mal.integrations.cvat", None, parameters).load()
    agent_driver.set_worker_current_function(function)
    driver = get_function_driver_class(function.spec)
    driver.init_worker(None)
    return driver.FUNCTION_KIND, driver.get_remote_function_fields(function.spec)


def _interact(checkpoint, image, document):
    kind, fields = _load(checkpoint=checkpoint, device="cpu")
    assert (kind, fields["startswith_box"]) == ("interactor", True)
    shapes = []
    for number, annotation in enumerate(document["annotations"]):
        x, y, width, height = annotation["bbox"]
        prompts = agent_driver_interaction._InteractionPromptsImpl(
            pos_points=(), neg_points=(), bounding_box=((x, y), (x + width, y + height))
        )
        ask = agent_driver_interaction
        found = (
            ask._worker_job_interact_from_cache("frame", prompts)
            if number
            else ask._worker_job_interact("frame", image, prompts)
        )
        shapes.append([_mask(shape.points, image) for shape in found])
    return shapes


def _detect(checkpoint, image, document, boxes):
    kind, fields = _load(checkpoint=checkpoint, boxes=boxes, device="cpu")
    assert kind == "detector"
    name = document["images"][0]["file_name"]
    context = SimpleNamespace(frame_name=name, conf_threshold=None, conv_mask_to_poly=False)
    masks = _worker_job_detect(context, image)
    polygons = _worker_job_detect(SimpleNamespace(**(vars(context) | {"conv_mask_to_poly": True})), image)
    other = _worker_job_detect(SimpleNamespace(**(vars(context) | {"frame_name": "other.png"})), image)
    return {
        "labels": [label["name"] for label in fields["labels_v2"]],
        "detected": [[shape.label_id, _mask(shape.points, image)] for shape in masks],
        "polygons": [[shape.label_id, shape.points] for shape in polygons],
        "other": len(other),
    }


def _mask(points, image):
    return decode_mask(points, image_width=image.width, image_height=image.height).tolist()


main(*sys.argv[2:])
