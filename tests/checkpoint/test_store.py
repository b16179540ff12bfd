from __future__ import annotations

import pickle
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from mal.checkpoint.safetensors_file import write_safetensors
from mal.checkpoint.store import link_atomically, read_tensors, write_checkpoint
from mal.errors import DamagedFile, UserError
from mal.runtime.status import StatusLog
from mal.training.checkpoint_files import AtomicCheckpointIO
from tests.small_disk import fill, small_disk


class Creates:
    """Runs code when unpickled: makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def good(tmp_path) -> Path:
    path = tmp_path / "good.pth"
    AtomicCheckpointIO().save_checkpoint({"state_dict": {"a": torch.arange(6.0)}, "epoch": 3}, path)
    return path


def test_what_is_saved_is_read_again(good):
    content = read_tensors(good)
    assert content["epoch"] == 3
    assert torch.equal(content["state_dict"]["a"], torch.arange(6.0))


def test_a_safetensors_file_is_read(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors")
    assert torch.equal(read_tensors(tmp_path / "a.safetensors")["a"], torch.ones(2))


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_code_in_a_file_is_refused_and_not_executed(tmp_path, write):
    trace = tmp_path / "trace"
    write({"state_dict": Creates(trace)}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match=r"evil\.pth"):
        read_tensors(tmp_path / "evil.pth")
    assert not trace.exists()


def test_an_object_that_is_no_plain_data_is_named(tmp_path):
    torch.save({"args": Fraction(1, 2)}, tmp_path / "old.pth")
    with pytest.raises(UserError, match=r"fractions\.Fraction, which is not plain data"):
        read_tensors(tmp_path / "old.pth")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x07 \xff no known bytes", "not a checkpoint, or damaged"),
        (b"", "is empty, not a checkpoint"),
        (b"404: Not Found", 'is a text that begins with "404: Not Found", not a checkpoint'),
        (b"\xff\xd8\xff\xe0 a photo", "is a JPEG picture, not a checkpoint"),
        (b"<!DOCTYPE html><html>", r"is a web page \(HTML\), not a checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer, not a checkpoint: git lfs pull"),
    ],
)
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_file_that_is_no_checkpoint_is_named_with_what_it_is(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}: {said}"):
        read_tensors(tmp_path / name)


def test_a_checkpoint_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.pth: no such checkpoint file"):
        read_tensors(tmp_path / "gone.pth")


def test_a_checkpoint_without_names_is_refused(tmp_path):
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(UserError, match="holds a list instead of named weights"):
        read_tensors(tmp_path / "list.pth")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_in_one_line(good, data):
    content = bytearray(good.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = good.with_name("damaged.pth")
    damaged.write_bytes(content)
    message = ""
    try:
        read_tensors(damaged)
    except UserError as error:
        message = str(error)
    assert "\n" not in message
    assert message == "" or message.startswith(str(damaged))


def test_a_failed_write_leaves_the_old_file_and_nothing_else(good, tmp_path):
    class Unpicklable:
        def __reduce__(self):
            raise RuntimeError("[enforce fail at inline_container.cc] . file write failed")

    before = good.read_bytes()
    with pytest.raises(UserError, match=r"good\.pth: the checkpoint could not be written"):
        AtomicCheckpointIO().save_checkpoint({"a": Unpicklable()}, good)
    assert good.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["good.pth"]


def test_a_checkpoint_is_not_written_over_a_folder(tmp_path):
    (tmp_path / "a.pth").mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "a.pth")


def test_the_trainer_reads_as_plain_data_whatever_it_asks_for(tmp_path):
    torch.save({"args": Fraction(1, 2)}, tmp_path / "old.pth")
    with pytest.raises(UserError):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "old.pth", weights_only=False)


def test_a_removed_checkpoint_is_gone_and_removing_it_again_is_no_error(good):
    AtomicCheckpointIO().remove_checkpoint(good)
    AtomicCheckpointIO().remove_checkpoint(good)
    assert not good.exists()


def test_the_latest_name_follows_the_newest_file(tmp_path):
    latest = tmp_path / "latest.pth"
    for content in ("first", "second"):
        (tmp_path / content).write_text(content)
        link_atomically(tmp_path / content, latest)
        assert latest.read_text() == content
    (tmp_path / "second").unlink()
    assert latest.read_text() == "second"


def test_the_latest_file_is_a_copy_where_there_are_no_links(tmp_path, monkeypatch):
    def refuse(self, target):
        raise OSError("no links on this file system")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    (tmp_path / "first").write_text("first")
    link_atomically(tmp_path / "first", tmp_path / "latest.pth")
    assert (tmp_path / "latest.pth").read_text() == "first"
    assert (tmp_path / "first").stat().st_nlink == 1


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 4 GB")], ids=str
)
def test_low_memory_is_not_told_as_damage(error, tmp_path, monkeypatch):
    torch.save({"state_dict": {"w": torch.zeros(2)}}, tmp_path / "good.pth")

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("torch.load", fail)
    with pytest.raises(UserError, match=r"good\.pth: there is not enough memory to read it") as caught:
        read_tensors(tmp_path / "good.pth")
    assert not isinstance(caught.value, DamagedFile)


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
