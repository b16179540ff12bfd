from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mal.errors import UserError
from mal.files import atomic_file, disk_error


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
