"""Parts of a COCO file by picture."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mal.auto.subsets import held_out_images, write_subset
from mal.coco.coco_file import read_coco

names = st.lists(st.text("abcdefgh", min_size=1, max_size=6), min_size=1, max_size=30, unique=True)


def file_of(folder, names):
    content = {
        "info": {"year": 2024},
        "images": [{"id": name, "file_name": f"{name}.png", "width": 9, "height": 9} for name in names],
        "annotations": [
            {"id": number, "image_id": name, "category_id": 1, "bbox": [1, 1, 5, 5]}
            for number, name in enumerate(names)
        ],
        "categories": [{"id": 1, "name": "nut"}],
    }
    (folder / "boxes.json").write_text(json.dumps(content))
    return read_coco(folder / "boxes.json")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=names)
def test_a_part_of_the_pictures_is_held_out_and_adding_pictures_moves_few(tmp_path, names):
    chosen = held_out_images(file_of(tmp_path, names))
    assert len(chosen) < len(names)
    assert chosen or len(names) == 1
    assert chosen == held_out_images(file_of(tmp_path, list(reversed(names))))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(names=names, data=st.data())
def test_two_parts_hold_every_record_once(tmp_path, names, data):
    coco = file_of(tmp_path, names)
    wanted = set(data.draw(st.lists(st.sampled_from(names))))
    parts = []
    for part in (wanted, set(names) - wanted):
        write_subset(coco, part, tmp_path / "part.json")
        parts.append(json.loads((tmp_path / "part.json").read_text()))
    whole = json.loads((tmp_path / "boxes.json").read_text())
    for key in ("images", "annotations"):
        found = [record for part in parts for record in part[key]]
        assert sorted(found, key=lambda record: str(record["id"])) == sorted(
            whole[key], key=lambda record: str(record["id"])
        )
    assert all(part["info"] == whole["info"] and part["categories"] == whole["categories"] for part in parts)


def test_pictures_may_get_other_names(tmp_path):
    write_subset(file_of(tmp_path, ["a", "b"]), {"a"}, tmp_path / "part.json", {"a": "train/a.png"})
    assert [image["file_name"] for image in json.loads((tmp_path / "part.json").read_text())["images"]] == [
        "train/a.png"
    ]
