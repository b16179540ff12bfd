from __future__ import annotations

import hashlib
import io
import zipfile
from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mal.checkpoint.integrity import DigestWriter, read_seal
from mal.checkpoint.safetensors_file import read_safetensors, write_safetensors
from mal.checkpoint.store import read_tensors, write_checkpoint
from mal.errors import DamagedFile

CHECKPOINT = {"state_dict": {"a": torch.arange(300.0), "b": torch.ones(2, 3, dtype=torch.bfloat16)}, "epoch": 3}
COMMENT_BYTES = len("mal-sha256:") + 64


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("digest") / "a.pth"
    write_checkpoint(CHECKPOINT, path)
    return path


def test_a_checkpoint_ends_with_the_digest_of_all_before(written):
    content = written.read_bytes()
    digest = hashlib.sha256(content[:-COMMENT_BYTES]).hexdigest()
    assert content[-COMMENT_BYTES:] == f"mal-sha256:{digest}".encode()
    assert read_seal(written) == "sha256"


@pytest.mark.parametrize("options", [{}, {"mmap": True}])
def test_torch_reads_a_file_with_a_digest(written, options):
    content = torch.load(written, weights_only=True, **options)
    assert torch.equal(content["state_dict"]["a"], CHECKPOINT["state_dict"]["a"])


def test_zip_programs_read_a_file_with_a_digest(written):
    with zipfile.ZipFile(written) as archive:
        assert archive.testzip() is None


def test_a_file_of_another_program_has_no_digest_and_is_read(tmp_path):
    torch.save(CHECKPOINT, tmp_path / "b.pth")
    assert read_seal(tmp_path / "b.pth") is None
    assert read_tensors(tmp_path / "b.pth")["epoch"] == 3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_no_byte_can_be_changed_unseen(written, tmp_path, data):
    content = bytearray(written.read_bytes())
    content[data.draw(st.integers(0, len(content) - COMMENT_BYTES - 1))] ^= data.draw(st.integers(1, 255))
    (tmp_path / "b.pth").write_bytes(content)
    with pytest.raises(DamagedFile, match=r"b\.pth: damaged: it was changed since it was written"):
        read_tensors(tmp_path / "b.pth")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_a_file_that_is_cut_off_is_damaged(written, tmp_path, data):
    content = written.read_bytes()
    (tmp_path / "b.pth").write_bytes(content[: data.draw(st.integers(0, len(content) - COMMENT_BYTES - 1))])
    with pytest.raises(DamagedFile, match=r"b\.pth: .*(damaged|not a checkpoint)"):
        read_tensors(tmp_path / "b.pth")


@given(content=st.binary(max_size=40), data=st.data())
def test_an_archive_written_in_any_pieces_gets_the_same_end(content, data):
    archive = content + bytes(2)
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, len(archive)), max_size=5))), len(archive)]
    file = io.BytesIO()
    writer = DigestWriter(file)
    for start, end in pairwise(cuts):
        writer.write(archive[start:end])
    writer.finish()
    body = content + bytes([COMMENT_BYTES, 0])
    assert file.getvalue() == body + f"mal-sha256:{hashlib.sha256(body).hexdigest()}".encode()


def test_what_is_no_archive_gets_no_digest():
    writer = DigestWriter(io.BytesIO())
    writer.write(b"some text")
    with pytest.raises(ValueError, match="not a zip archive"):
        writer.finish()


@pytest.fixture
def safetensors(tmp_path):
    path = tmp_path / "a.safetensors"
    write_safetensors(CHECKPOINT["state_dict"], {"epoch": 3}, path)
    return path


def test_safetensors_carry_a_digest_too(safetensors):
    assert read_seal(safetensors) == "sha256"
    content = read_safetensors(safetensors)
    assert content["epoch"] == 3
    assert torch.equal(content["state_dict"]["b"], CHECKPOINT["state_dict"]["b"])


@pytest.mark.parametrize("place", [-1, -100])
def test_a_changed_value_in_safetensors_is_seen(safetensors, place):
    content = bytearray(safetensors.read_bytes())
    content[place] ^= 1
    safetensors.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"a\.safetensors: damaged: it was changed"):
        read_tensors(safetensors)


def test_a_changed_fact_in_safetensors_is_seen(safetensors):
    content = safetensors.read_bytes()
    assert b'epoch\\": 3' in content
    safetensors.write_bytes(content.replace(b'epoch\\": 3', b'epoch\\": 4'))
    with pytest.raises(DamagedFile):
        read_tensors(safetensors)
