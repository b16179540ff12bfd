"""Pictures that Label Studio can show, and classes that come back from it whether they are in use or not."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from xml.etree.ElementTree import parse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mal.errors import UserError
from tests.cli.small_runs import run_mal
from tests.formats.small_coco import RING, annotation, coco_of, document, read_back, written

TASKS = "tasks.json"
letters = st.characters(exclude_categories=["Cs"]) | st.sampled_from("<>&\"'-\x01\n")
class_names = st.text(letters, min_size=1, max_size=8)


def addresses(path: Path) -> list[str]:
    return [task["data"]["image"] for task in json.loads(path.read_text())]


@settings(max_examples=20)
@given(st.lists(class_names, min_size=1, max_size=4, unique=True))
def test_classes_without_a_shape_come_back_with_their_records(names):
    records = [{"id": 5 * n - 7, "name": name, "supercategory": "--"} for n, name in enumerate(names)]
    content = document(annotation(5, RING, category_id=records[-1]["id"]), categories=records)
    with tempfile.TemporaryDirectory() as folder:
        written(coco_of(Path(folder), content), Path(folder, TASKS), "label-studio")
        parse(Path(folder, "tasks.label_config.xml"))
        again = read_back(Path(folder, TASKS))
    assert again["categories"] == records


def test_classes_of_a_projects_own_settings_come_back(tmp_path):
    written(coco_of(tmp_path, document(annotation(5, RING))), tmp_path / TASKS, "label-studio")
    labels = '<Label value="gear"/><Label value="x" alias="nut &amp; co"/>'
    (tmp_path / "tasks.label_config.xml").write_text(f"<View><BrushLabels>{labels}</BrushLabels></View>")
    assert [record["name"] for record in read_back(tmp_path / TASKS)["categories"]] == ["gear", "nut & co"]


def test_without_the_settings_it_is_said_that_only_classes_in_use_come_back(tmp_path, capfd):
    written(coco_of(tmp_path, document(annotation(5, RING))), tmp_path / TASKS, "label-studio")
    (tmp_path / "tasks.label_config.xml").unlink()
    outcome = run_mal(capfd, "convert", tmp_path / TASKS, tmp_path / "back.json")
    assert "1 class\n" in outcome.out
    assert "those in use, since no tasks.label_config.xml" in outcome.out


def test_damaged_settings_are_named(tmp_path):
    written(coco_of(tmp_path, document(annotation(5, RING))), tmp_path / TASKS, "label-studio")
    (tmp_path / "tasks.label_config.xml").write_text("<View>")
    with pytest.raises(UserError, match=r"tasks\.label_config\.xml, line 1: not valid XML"):
        read_back(tmp_path / TASKS)


def test_a_class_that_xml_cannot_hold_is_named(tmp_path):
    content = document(categories=[{"id": 3, "name": "a\x01b"}])
    tally = written(coco_of(tmp_path, content), tmp_path / TASKS, "label-studio")
    assert list(tally.changed.values()) == [['class "a\\u0001b"']]


def test_the_default_address_names_the_folder_of_the_pictures(tmp_path, capfd):
    file = coco_of(tmp_path, document(annotation(5, RING))).path
    outcome = run_mal(
        capfd, "convert", file, tmp_path / TASKS, "--to", "label-studio", "--images", tmp_path / "pictures"
    )
    local = "/data/local-files/?d=pictures/"
    assert addresses(tmp_path / TASKS) == [f"{local}a.png", f"{local}deep/b.c.png"]
    for words in (
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true",
        f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={tmp_path} ",
        f"a local storage for {tmp_path}/pictures\n",
    ):
        assert words in outcome.out


def test_without_the_folder_it_is_said_that_no_picture_will_be_shown(tmp_path, capfd):
    file = coco_of(tmp_path, document(annotation(5, RING))).path
    outcome = run_mal(capfd, "convert", file, tmp_path / TASKS, "--to", "label-studio")
    assert outcome.exit_code == 0
    assert "--images DIR puts the name of DIR before the file names" in outcome.out
    assert addresses(tmp_path / TASKS)[0] == "/data/local-files/?d=a.png"
