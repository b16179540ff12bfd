"""Make a FiftyOne data set with boxes, apply the model to it, and print the masks.

Arguments: folders that are searched for modules last, joined by colons; a checkpoint, a picture, and its boxes as JSON
(x, y, width, height in shares of the picture).
"""

import json
import sys

sys.path += sys.argv[1].split(":")

import fiftyone as fo

from mal.integrations.fiftyone import MaskAutoLabelerModel


def main(checkpoint, picture, boxes):
    dataset = fo.Dataset("boxes")
    sample, empty = fo.Sample(filepath=picture), fo.Sample(filepath=picture)
    detections = [fo.Detection(label=f"class {n}", bounding_box=box) for n, box in enumerate(json.loads(boxes))]
    sample["boxes"] = fo.Detections(detections=detections)
    dataset.add_samples([sample, empty])
    model = MaskAutoLabelerModel(checkpoint, device="cpu")
    dataset.apply_model(model, label_field="masks", prompt_field="boxes")
    dataset.apply_model(model, label_field="again", prompt_field="boxes", batch_size=2)
    first, second = list(dataset)
    ids = [str(box.id) for box in first["boxes"].detections]
    found = {
        name: [
            {
                "label": mask.label,
                "confidence": mask.confidence,
                "box": ids.index(mask.box_id),
                "bounding_box": mask.bounding_box,
                "mask": mask.mask.tolist(),
            }
            for mask in first[name].detections
        ]
        for name in ("masks", "again")
    }
    print(json.dumps(found | {"empty": len(second["masks"].detections)}))


main(*sys.argv[2:])
