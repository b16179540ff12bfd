from __future__ import annotations

import io
import os
import sys
import tracemalloc
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mal.checkpoint.encryption import DecryptingReader, EncryptingWriter, is_encrypted
from mal.checkpoint.store import read_tensors, write_checkpoint
from mal.errors import DamagedFile, LockedFile, UserError
from mal.training.checkpoint_files import AtomicCheckpointIO

KEY = "correct horse"
BLOCK, TAG = 16, 16
HEADER_BYTES = 84
NAME = Path("a.pth")


def encrypted(content: bytes, *, pieces: list[int] | None = None, block_bytes: int = BLOCK, key: str = KEY) -> bytes:
    """The content encrypted in small blocks at low cost, written in pieces that end at the given places."""
    file = io.BytesIO()
    writer = EncryptingWriter(file, key, block_bytes=block_bytes, log2_cost=1)
    ends = [0, *sorted(pieces or []), len(content)]
    for start, end in pairwise(ends):
        writer.write(content[start:end])
    writer.finish()
    return file.getvalue()


def decrypted(sealed: bytes, key: str = KEY) -> bytes:
    reader = DecryptingReader(io.BytesIO(sealed), NAME, key)
    reader.check()
    return reader.read()


def blocks_of(sealed: bytes) -> list[bytes]:
    body = sealed[HEADER_BYTES:]
    return [body[start : start + BLOCK + TAG] for start in range(0, len(body), BLOCK + TAG)]


# Lengths around the borders of blocks are the ones that go wrong.
contents = st.one_of(
    st.binary(max_size=5 * BLOCK),
    st.integers(0, 4).flatmap(lambda count: st.binary(min_size=count * BLOCK, max_size=count * BLOCK)),
)


@given(content=contents, data=st.data())
def test_what_is_written_in_any_pieces_is_read_again(content, data):
    pieces = data.draw(st.lists(st.integers(0, len(content)), max_size=6))
    assert decrypted(encrypted(content, pieces=pieces)) == content


@given(content=contents, data=st.data())
def test_any_order_of_seeking_and_reading_gives_what_the_plain_file_gives(content, data):
    plain, reader = io.BytesIO(content), DecryptingReader(io.BytesIO(encrypted(content)), NAME, KEY)
    for _ in range(data.draw(st.integers(1, 8))):
        where = data.draw(st.sampled_from([os.SEEK_SET, os.SEEK_END]))
        low, high = (0, len(content) + 3) if where == os.SEEK_SET else (-len(content), 3)
        offset, count = data.draw(st.integers(low, high)), data.draw(st.integers(-1, 3 * BLOCK))
        assert reader.seek(offset, where) == plain.seek(offset, where)
        assert reader.read(count) == plain.read(count)
        assert reader.tell() == plain.tell()


@given(content=contents, data=st.data())
def test_no_byte_can_be_changed_unseen(content, data):
    sealed = bytearray(encrypted(content))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DamagedFile, match=r"^a\.pth: damaged: "):
        decrypted(bytes(sealed))


@given(content=contents, data=st.data())
def test_no_end_can_be_cut_off_unseen(content, data):
    sealed = encrypted(content)
    with pytest.raises(DamagedFile, match=r"^a\.pth: damaged: "):
        decrypted(sealed[: data.draw(st.integers(0, len(sealed) - 1))])


@given(content=contents, added=st.binary(min_size=1, max_size=3 * BLOCK))
def test_nothing_can_be_added_unseen(content, added):
    with pytest.raises(DamagedFile, match=r"^a\.pth: damaged: "):
        decrypted(encrypted(content) + added)


@pytest.mark.parametrize("size", [4 * BLOCK, 4 * BLOCK - 5])
def test_a_file_cut_off_at_the_border_of_a_block_is_told_as_such(size):
    sealed = encrypted(os.urandom(size))
    with pytest.raises(DamagedFile, match="its end is missing"):
        decrypted(sealed[: HEADER_BYTES + 3 * (BLOCK + TAG)])


def test_a_file_of_the_header_alone_is_cut_off():
    with pytest.raises(DamagedFile, match="its end is missing"):
        decrypted(encrypted(b"content")[:HEADER_BYTES])


@pytest.mark.parametrize("order", [[1, 0, 2, 3], [0, 2, 1, 3], [0, 1, 3], [0, 0, 1, 2, 3], [0, 1, 3, 2]])
def test_blocks_cannot_change_places_go_missing_or_come_twice(order):
    sealed = encrypted(os.urandom(4 * BLOCK))
    blocks = blocks_of(sealed)
    with pytest.raises(DamagedFile, match="it was changed, or cut off, after byte"):
        decrypted(sealed[:HEADER_BYTES] + b"".join(blocks[index] for index in order))


def test_a_block_of_another_file_under_the_same_key_does_not_fit():
    one, other = encrypted(os.urandom(2 * BLOCK)), encrypted(os.urandom(2 * BLOCK))
    with pytest.raises(DamagedFile):
        decrypted(one[: HEADER_BYTES + BLOCK + TAG] + blocks_of(other)[1])


@pytest.mark.parametrize("wrong", ["correct hors", "", "Correct horse", "correct horse\n"])
def test_another_key_is_told_from_damage(wrong):
    with pytest.raises(LockedFile, match=r"^a\.pth: encrypted with another encryption_key"):
        decrypted(encrypted(b"content"), wrong)


def test_another_key_is_not_part_of_its_error():
    with pytest.raises(LockedFile) as caught:
        decrypted(encrypted(b"content"), "hunter2")
    assert "hunter2" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_damaged_file_under_another_key_asks_for_the_key_first():
    with pytest.raises(LockedFile):
        decrypted(encrypted(os.urandom(40))[:-1], "other")


def test_no_two_files_are_alike():
    assert encrypted(b"content")[HEADER_BYTES:] != encrypted(b"content")[HEADER_BYTES:]


def test_a_file_that_asks_for_much_memory_is_refused(monkeypatch):
    monkeypatch.setattr("mal.checkpoint.encryption._keys", lambda password, salt, log2_cost: (bytes(32), bytes(32)))
    file = io.BytesIO()
    EncryptingWriter(file, KEY, log2_cost=40).finish()
    with pytest.raises(UserError, match="update mal"):
        DecryptingReader(file, NAME, KEY)


MANY_BLOCKS = 64


def test_writing_holds_a_few_blocks_however_long_the_file(tmp_path):
    block = 2**16
    content = memoryview(bytes(MANY_BLOCKS * block))
    with (tmp_path / "a").open("wb") as file:
        writer = EncryptingWriter(file, KEY, block_bytes=block, log2_cost=1)
        tracemalloc.start()
        writer.write(content)
        writer.finish()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert block < peak < 6 * block


def test_reading_holds_a_few_blocks_however_long_the_file(tmp_path):
    block = 2**16
    (tmp_path / "a").write_bytes(encrypted(bytes(MANY_BLOCKS * block), block_bytes=block))
    target = bytearray(MANY_BLOCKS * block)
    with (tmp_path / "a").open("rb") as file:
        reader = DecryptingReader(file, NAME, KEY)
        tracemalloc.start()
        reader.check()
        assert reader.readinto(target) == len(target)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert block < peak < 6 * block


CHECKPOINT = {"state_dict": {"student.a": torch.arange(70_000.0), "student.b": torch.ones(3)}, "epoch": 3}


@pytest.fixture(scope="module")
def sealed_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sealed") / "a.pth"
    write_checkpoint(CHECKPOINT, path, KEY)
    return path


def test_a_checkpoint_is_read_again_with_its_key(sealed_file):
    content = read_tensors(sealed_file, KEY)
    assert content["epoch"] == 3
    for name, value in CHECKPOINT["state_dict"].items():
        assert torch.equal(content["state_dict"][name], value)


def test_an_encrypted_checkpoint_tells_nothing(sealed_file):
    content = sealed_file.read_bytes()
    assert is_encrypted(io.BytesIO(content))
    for text in (b"state_dict", b"student", b"PK\x03\x04", KEY.encode()):
        assert text not in content


def test_without_a_key_an_encrypted_checkpoint_says_where_to_give_it(sealed_file):
    with pytest.raises(LockedFile, match=r"a\.pth: encrypted; .*encryption_key in the spec or as MAL_ENCRYPTION_KEY"):
        read_tensors(sealed_file)


def test_a_damaged_encrypted_checkpoint_is_named(sealed_file, tmp_path):
    damaged = tmp_path / "b.pth"
    content = bytearray(sealed_file.read_bytes())
    content[-1000] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"b\.pth: damaged"):
        read_tensors(damaged, KEY)


def test_with_a_key_an_unencrypted_checkpoint_is_read_too(tmp_path):
    AtomicCheckpointIO().save_checkpoint(CHECKPOINT, tmp_path / "a.pth")
    assert AtomicCheckpointIO(KEY).load_checkpoint(tmp_path / "a.pth")["epoch"] == 3


def test_objects_of_other_programs_are_refused_in_encrypted_files_too(tmp_path):
    write_checkpoint({"args": Fraction(1, 2)}, tmp_path / "a.pth", KEY)
    with pytest.raises(UserError, match="which is not plain data"):
        read_tensors(tmp_path / "a.pth", KEY)


def test_nothing_in_clear_is_on_the_disk_while_an_encrypted_checkpoint_is_written(tmp_path, monkeypatch):
    written = []
    real_fsync = os.fsync

    def look_then_sync(handle):
        written.extend(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        real_fsync(handle)

    monkeypatch.setattr("os.fsync", look_then_sync)
    write_checkpoint(CHECKPOINT, tmp_path / "a.pth", KEY)
    assert len(written) >= 2  # the draft, then the file
    assert all(is_encrypted(io.BytesIO(content)) and b"state_dict" not in content for content in written)


MISSING = r"encrypted checkpoints need a package more: pip install 'mask-auto-labeler\[encryption\]'$"


@pytest.fixture
def _without_cryptography(monkeypatch):
    for name in [each for each in sys.modules if each.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)


@pytest.mark.usefixtures("_without_cryptography")
def test_an_encrypted_checkpoint_names_the_extra_where_cryptography_is_missing(sealed_file):
    with pytest.raises(UserError, match=rf"a\.pth: {MISSING}"):
        read_tensors(sealed_file, KEY)


@pytest.mark.usefixtures("_without_cryptography")
def test_writing_with_a_key_names_the_extra_where_cryptography_is_missing(tmp_path):
    with pytest.raises(UserError, match=rf"^encryption_key \(or MAL_ENCRYPTION_KEY\): {MISSING}"):
        write_checkpoint(CHECKPOINT, tmp_path / "a.pth", KEY)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("_without_cryptography")
def test_checkpoints_in_clear_need_no_cryptography_even_with_a_key_at_hand(tmp_path):
    write_checkpoint(CHECKPOINT, tmp_path / "a.pth")
    assert read_tensors(tmp_path / "a.pth", KEY)["epoch"] == 3
