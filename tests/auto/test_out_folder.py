"""Where `mal auto` writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mal.auto.out_folder import OutFolder, begin, check_place, default_out
from mal.errors import UserError


@pytest.mark.parametrize(
    ("source", "out"),
    [
        ("set/data.yaml", "set_masks"),
        ("set", "set_masks"),
        ("set/boxes.json", "set/boxes_masks"),
        ("set/*.xml", "set_masks"),
        ("boxes.csv", "boxes_masks"),
    ],
)
def test_masks_go_beside_the_data_set_and_never_into_it(tmp_path, monkeypatch, source, out):
    monkeypatch.chdir(tmp_path)
    Path("set").mkdir()
    for name in ("set/data.yaml", "set/boxes.json", "set/a.xml", "boxes.csv"):
        Path(name).write_text("")
    assert default_out(Path(source)) == Path(out)
    check_place(OutFolder(default_out(Path(source))), Path(source))


def test_the_folder_in_which_one_stands_has_a_place_beside_it(tmp_path, monkeypatch):
    (tmp_path / "set").mkdir()
    monkeypatch.chdir(tmp_path / "set")
    assert default_out(Path()) == tmp_path / "set_masks"


def test_a_run_is_known_again_by_all_that_decides_its_masks(tmp_path):
    out = OutFolder(tmp_path / "out")
    assert not begin(out, {"source": "a", "minutes": 5.0})
    assert begin(out, {"source": "a", "minutes": 5.0})
    with pytest.raises(UserError, match="with other values of the source, --minutes: give another"):
        begin(out, {"source": "b", "minutes": 6.0})


def test_a_damaged_record_is_named(tmp_path):
    out = OutFolder(tmp_path)
    begin(out, {"source": "a"})
    out.record.write_text("[")
    with pytest.raises(UserError, match=r"auto\.json cannot be read"):
        begin(out, {"source": "a"})
