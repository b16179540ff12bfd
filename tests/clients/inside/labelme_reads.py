"""Print the shapes that LabelMe reads from a label file, and the size of the picture that it shows.

Arguments: the label file.
"""

import io
import json
import sys

from labelme._label_file import read_label_file
from PIL import Image


def main(label_file):
    found = read_label_file(label_file)
    width, height = Image.open(io.BytesIO(found.image_data)).size
    shapes = [
        {
            "label": shape["label"],
            "type": shape["shape_type"],
            "points": shape["points"],
            "mask": None if shape["mask"] is None else shape["mask"].tolist(),
        }
        for shape in found.shapes
    ]
    print(json.dumps({"size": [height, width], "shapes": shapes}))


main(*sys.argv[1:])
