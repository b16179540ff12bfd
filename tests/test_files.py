from __future__ import annotations

import csv
import io
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.errors import UserError
from mal.files import atomic_file, disk_error, dumps, text_of_cell, write_csv, write_object
from mal.formats.csv_boxes import read_csv
from mal.formats.folders import ReadOptions
from mal.formats.tally import Tally


def write(path, content: bytes = b"new") -> None:
    with atomic_file(path) as file:
        file.write(content)


def test_a_file_takes_its_name_when_it_is_complete(tmp_path):
    path = tmp_path / "folder/a.txt"
    with atomic_file(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"


def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path):
    write(tmp_path / "a.txt", b"old")
    with pytest.raises(TypeError), atomic_file(tmp_path / "a.txt") as file:
        file.write("a text")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.txt", b"old")]


def test_file_and_folder_are_on_the_disk_before_the_block_is_left(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(
        "os.fsync", lambda handle: (synced.append(Path(f"/proc/self/fd/{handle}").readlink()), real(handle))
    )
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc here")
    write(tmp_path / "a.txt")
    assert [name.suffix for name in synced] == [".draft", ""]
    assert synced[1] == tmp_path


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path, monkeypatch):
    real = os.fsync

    def refuse_folders(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(22, "Invalid argument")
        real(handle)

    monkeypatch.setattr("os.fsync", refuse_folders)
    write(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_bytes() == b"new"


def test_what_killed_processes_left_is_removed_and_what_others_are_writing_stays(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mine = f".a.txt.{socket.gethostname()}.{dead.pid}.draft"
    others = {
        f".a.txt.{socket.gethostname()}.{os.getppid()}.draft",
        f".a.txt.another-machine.{dead.pid}.draft",
        f".b.txt.{socket.gethostname()}.{dead.pid}.draft",
    }
    for name in {mine, *others}:
        (tmp_path / name).write_text("half")
    write(tmp_path / "a.txt")
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", *others}


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(UserError, match=r"a\.txt cannot be written: Is a directory$"):
        write(tmp_path / "a.txt")


def test_what_the_operating_system_said_is_found_under_other_errors():
    cause = OSError(28, "No space left on device")
    middle, top = ValueError("not written"), RuntimeError("unexpected pos")
    middle.__context__, top.__cause__ = cause, middle
    assert disk_error(top) is cause
    assert disk_error(RuntimeError("out of memory")) is None


FORMULA_STARTS = tuple("=+-@\t\r\n\uff0b\uff0d\uff1d\uff20")
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from("'=+-@\t\r\n,;\""))


def cells_of(*rows) -> list[list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        write_csv(("name",), rows, Path(folder, "t.csv"))
        with Path(folder, "t.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file))[1:]


@given(names)
def test_every_text_comes_back_and_none_begins_as_a_formula(name):
    ((cell,),) = cells_of((f"{name}x",))
    assert not cell.startswith(FORMULA_STARTS)
    assert text_of_cell(cell) == f"{name}x"


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1+1", "@SUM(1)", "-2+3", "\t=1", "'=1", "-"])
def test_a_formula_is_kept_a_text_by_an_apostrophe(name):
    assert cells_of((name,)) == [[f"'{name}"]]


@pytest.mark.parametrize("name", ["a=b", "'tis", "3-4", " =1", ""])
def test_other_texts_stay_as_they_are(name):
    assert cells_of((name, "x")) == [[name, "x"]]


@pytest.mark.parametrize(
    ("value", "cell"), [(-0.5, "-0.5"), (-3, "-3"), ("-3", "-3"), ("+1.5e-3", "+1.5e-3"), (None, "")]
)
def test_numbers_stay_numbers(value, cell):
    assert cells_of((value, "x")) == [[cell, "x"]]


def test_a_table_of_boxes_gives_the_names_back(tmp_path):
    row = ("-a.png", "=nut", 1, 2, 3, 4)
    write_csv(("file_name", "category", "x", "y", "w", "h"), [row], tmp_path / "boxes.csv")
    coco, _ = read_csv(tmp_path / "boxes.csv", ReadOptions(), Tally())
    assert [image.file_name for image in coco.images.values()] == ["-a.png"]
    assert list(coco.categories.values()) == ["=nut"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4), st.dictionaries(st.text(), st.lists(VALUES), max_size=3))
def test_a_streamed_object_is_read_as_what_was_written_with_a_line_for_each_record(values, lists):
    file = io.BytesIO()
    items = [(key, dumps(value)) for key, value in values.items() if key not in lists]
    write_object(file, [*items, *((key, map(dumps, records)) for key, records in lists.items())])
    assert json.loads(file.getvalue()) == values | lists
    assert file.getvalue().count(b"\n") == max(len(items) + len(lists), 1) + sum(map(len, lists.values()))
