from __future__ import annotations

from typing import get_args

import pytest

from mal.commands.format_arguments import _OUTPUTS
from mal.config.sections import SourceFormat
from mal.errors import UserError
from mal.formats.formats import WRITERS, output_format
from mal.formats.recognize import input_format
from tests.formats.small_coco import RING, annotation, coco_of, document, written


def test_the_command_offers_all_formats():
    assert set(_OUTPUTS) == set(WRITERS)
    assert set(get_args(SourceFormat)) == {*WRITERS, "voc", "csv", "cvat-xml"}


@pytest.mark.parametrize("name", ["yolo", "png", "labelme"])
def test_folders_that_were_written_are_recognised(tmp_path, name):
    written(coco_of(tmp_path, document(annotation(5, RING))), tmp_path / "out", name)
    assert input_format(tmp_path / "out") == name


@pytest.mark.parametrize("name", ["coco", "label-studio"])
def test_json_files_that_were_written_are_recognised(tmp_path, name):
    written(coco_of(tmp_path, document(annotation(5, RING))), tmp_path / "out.json", name)
    assert input_format(tmp_path / "out.json") == name


@pytest.mark.parametrize(
    ("file", "name"), [("a.csv", "csv"), ("a.XML", "voc"), ("data.yaml", "yolo"), ("a.zip", "cvat"), ("a.json", "coco")]
)
def test_other_files_go_by_their_endings(tmp_path, file, name):
    (tmp_path / file).write_text("{}")
    assert input_format(tmp_path / file) == name


def test_a_folder_of_xml_files_is_voc(tmp_path):
    (tmp_path / "a.xml").write_text("")
    assert input_format(tmp_path) == "voc"


@pytest.mark.parametrize(
    ("files", "words"),
    [(["a.xml", "data.yaml"], "voc and yolo: say it with --from"), (["a.txt"], "none that is known")],
)
def test_a_folder_that_could_be_several_things_or_nothing_is_asked_about(tmp_path, files, words):
    for file in files:
        (tmp_path / file).write_text("")
    with pytest.raises(UserError, match=words):
        input_format(tmp_path)


def test_a_name_without_a_known_ending_needs_a_word(tmp_path):
    assert (output_format(tmp_path / "a.json"), output_format(tmp_path / "a.zip")) == ("coco", "cvat")
    with pytest.raises(UserError, match="--to"):
        output_format(tmp_path / "masks")
