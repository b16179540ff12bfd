"""Print the boxes or polygons that Datumaro reads from a data set, by picture and label.

Arguments: the data set's folder, and Datumaro's name of the format.
"""

import json
import sys

from datumaro.components.dataset import Dataset


def main(folder, kind):
    found = Dataset.import_from(folder, kind)
    names = [label.name for label in found.categories()[next(iter(found.categories()))].items]
    pictures = {}
    for item in found:
        shapes = {names[shape.label]: list(map(float, shape.points)) for shape in item.annotations}
        pictures[item.id] = {"subset": item.subset, "shapes": shapes}
    print(json.dumps({"names": names, "pictures": pictures}))


main(*sys.argv[1:])
