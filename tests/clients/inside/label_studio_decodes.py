"""Print the masks of a Label Studio task file, decoded by its SDK, by picture and label.

Arguments: the task file.
"""

import json
import sys
from pathlib import Path

from label_studio_sdk.converter.brush import decode_rle


def main(task_file):
    masks = {}
    for task in json.loads(Path(task_file).read_text(encoding="utf-8")):
        picture = Path(task["data"]["image"]).name.partition("?d=")[2] or Path(task["data"]["image"]).name
        for region in task["predictions"][0]["result"]:
            pixels = decode_rle(region["value"]["rle"])
            alpha = pixels.reshape(region["original_height"], region["original_width"], 4)[..., 3]
            masks.setdefault(picture, {})[region["value"]["brushlabels"][0]] = (alpha > 127).tolist()
    print(json.dumps(masks))


main(*sys.argv[1:])
