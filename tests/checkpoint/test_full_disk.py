from __future__ import annotations

import pytest
import torch

from mal.checkpoint.safetensors_file import write_safetensors
from mal.checkpoint.store import link_atomically, read_tensors, write_checkpoint
from mal.errors import UserError
from mal.training.status import StatusLog
from tests.small_disk import fill, small_disk


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", megabytes=4) as folder:
        yield folder


def checkpoint(epoch: int) -> dict:
    return {"state_dict": {"a": torch.full((100_000,), float(epoch))}, "epoch": epoch}


@pytest.mark.parametrize("key", [None, "secret"])
def test_a_checkpoint_that_finds_no_room_leaves_the_one_before(disk, key):
    path = disk / "a.pth"
    write_checkpoint(checkpoint(0), path, key)
    filler = fill(disk)
    with pytest.raises(UserError, match=r"a\.pth cannot be written: No space left on device; files written before are"):
        write_checkpoint(checkpoint(1), path, key)
    assert {file.name for file in disk.iterdir()} == {"a.pth", "filler"}
    assert read_tensors(path, key)["epoch"] == 0
    filler.unlink()
    write_checkpoint(checkpoint(2), path, key)
    assert read_tensors(path, key)["epoch"] == 2


def test_safetensors_that_find_no_room_leave_the_file_before(disk):
    path = disk / "a.safetensors"
    write_safetensors({"a": torch.zeros(1000)}, {"epoch": 0}, path)
    fill(disk)
    with pytest.raises(UserError, match=r"a\.safetensors cannot be written: .*No space left"):
        write_safetensors(checkpoint(1)["state_dict"], {"epoch": 1}, path)
    assert {file.name for file in disk.iterdir()} == {"a.safetensors", "filler"}
    assert read_tensors(path)["epoch"] == 0


def test_another_name_needs_no_room(disk):
    write_checkpoint(checkpoint(0), disk / "a.pth")
    fill(disk)
    link_atomically(disk / "a.pth", disk / "latest.pth")
    assert read_tensors(disk / "latest.pth")["epoch"] == 0


def test_status_lines_are_left_out_whole_and_the_person_is_told_once(disk, capsys):
    log = StatusLog(disk)
    log.write("before")
    filler = fill(disk)
    for _ in range(3):
        log.write("x" * 10_000)
    filler.unlink()
    log.write("after")
    assert [line.partition('"message": ')[2] for line in log.path.read_text().splitlines()] == ['"before"}', '"after"}']
    assert capsys.readouterr().out.count("status.json cannot be written: No space left on device") == 1
