"""Register our source of the model zoo by the address of a zip file, load the model from it, and print its masks.

Arguments: folders that are searched for modules last, joined by colons; the folder of the source, a checkpoint, a
picture, and its boxes as JSON (x, y, width, height in shares of the picture).
"""

import json
import os
import shutil
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
sys.path += sys.argv[1].split(":")

import fiftyone as fo
import fiftyone.zoo as foz

NAME = "mask-auto-labeler"


def main(source, checkpoint, picture, boxes):
    site = Path("site")
    shutil.make_archive(str(site / "source"), "zip", Path(source).parent, Path(source).name)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        foz.register_zoo_model_source(f"http://127.0.0.1:{server.server_port}/source.zip")
        server.shutdown()
    listed = NAME in foz.list_zoo_models()
    dataset = fo.Dataset("zoo")
    sample = fo.Sample(filepath=picture)
    sample["boxes"] = fo.Detections(
        detections=[fo.Detection(label="nut", bounding_box=box) for box in json.loads(boxes)]
    )
    dataset.add_samples([sample])
    found = {"listed": listed, "file": None}
    for name, settings in (("starter", {}), ("own", {"checkpoint": checkpoint, "device": "cpu"})):
        model = foz.load_zoo_model(NAME, **settings)
        dataset.apply_model(model, label_field=name, prompt_field="boxes")
        found[name] = [
            {"bounding_box": mask.bounding_box, "mask": mask.mask.tolist()} for mask in dataset.first()[name].detections
        ]
    _, path = foz.download_zoo_model(NAME)
    print(json.dumps(found | {"file": path}))


main(*sys.argv[2:])
