"""Whatever stands in a record, a conversion ends with it written or named, and what was written can be read."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mal.coco.coco_file import read_coco
from mal.errors import UserError
from mal.formats.folders import ReadOptions, WriteOptions
from mal.formats.formats import WRITERS, read
from mal.formats.tally import Tally
from tests.formats.small_coco import HEIGHT, RING, WIDTH, annotation, coco_of, document, written

OUTPUTS = {"coco": "out.json", "cvat": "out.zip", "label-studio": "tasks.json"}
COMES_BACK = ("cvat", "labelme", "label-studio", "png")
EMPTY = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}
odd = st.sampled_from(
    [None, True, 0, -1, 2**70, 1.5, float("nan"), float("-inf"), "", "x", [], {}, [1, "a"], {"a": 1}, EMPTY]
)
places = st.sampled_from(
    [("images", key) for key in ("id", "width", "license")]
    + [("annotations", key) for key in annotation(5, RING)]
    + [("annotations", key) for key in ("attributes", "mask_score", "mal")]
    + [("categories", key) for key in ("id", "name", "supercategory")]
    + [("", key) for key in ("info", "licenses", "categories")]
)


def changed(changes: list) -> dict:
    content = copy.deepcopy(document(annotation(5, RING), annotation(6, RING, 4), annotation(7, None)))
    for (part, key), value in sorted(changes, key=lambda change: change[0], reverse=True):  # whole lists come last
        (content[part][0] if part else content)[key] = value
    return content


@pytest.mark.parametrize("shapes", ["masks", "polygons"])
@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=12)
@given(st.lists(st.tuples(places, odd), min_size=1, max_size=3))
def test_odd_values_are_written_or_named(name, shapes, changes):
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, "in.json"), Path(folder, OUTPUTS.get(name, "out"))
        path.write_text(json.dumps(changed(changes)))
        try:
            WRITERS[name](read_coco(path), out, WriteOptions(shapes=shapes), Tally(skip_broken=True))
        except UserError:
            return
        if name in COMES_BACK:
            read(out, name, ReadOptions(), Tally(skip_broken=True))


@pytest.mark.parametrize("name", WRITERS)
def test_numbers_that_json_does_not_have_are_counted(tmp_path, name):
    content = document(annotation(5, RING, mask_score=float("nan")))
    tally = written(coco_of(tmp_path, content), tmp_path / OUTPUTS.get(name, "out"), name)
    assert tally.lost["NaN and infinite numbers, which are written as null"] == 1


@pytest.mark.parametrize("counts", ["zz~", "00000000000000000"])
def test_a_group_with_a_damaged_mask_is_named(tmp_path, counts):
    broken = annotation(5, RING, iscrowd=1) | {"segmentation": {"size": [HEIGHT, WIDTH], "counts": counts}}
    for name in ("coco", "cvat"):
        with pytest.raises(UserError, match=r"annotation 5: its mask cannot be read"):
            written(coco_of(tmp_path, document(broken)), tmp_path / OUTPUTS[name], name)
