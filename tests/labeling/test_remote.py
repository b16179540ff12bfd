from __future__ import annotations

import pytest

from mal.errors import UserError
from mal.labeling.remote import RemoteShards, check_upload, copy
from mal.paths import to_path

fsspec = pytest.importorskip("fsspec", reason="URLs are read by fsspec")
pytest.importorskip("upath", reason="URLs are read by universal-pathlib (the extra [cloud])")


@pytest.fixture
def url():
    yield "memory://bucket/run"
    memory = fsspec.filesystem("memory")
    if memory.exists("/bucket"):
        memory.rm("/bucket", recursive=True)


def a_run(folder):
    folder.mkdir()
    for name in ("0001_block00000000.jsonl", "run.json"):
        (folder / name).write_text(name)
    return folder


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_run_that_was_sent_is_fetched_elsewhere(url, tmp_path):
    here = a_run(tmp_path / "here")
    for path in here.iterdir():
        RemoteShards(url).send(path)
    RemoteShards(url).fetch(tmp_path / "there")
    assert content(tmp_path / "there") == content(here)


def test_a_run_that_is_here_already_is_not_replaced(url, tmp_path):
    for path in a_run(tmp_path / "elsewhere").iterdir():
        RemoteShards(url).send(path)
    (tmp_path / "here").mkdir()
    (tmp_path / "here/run.json").write_text("this one")
    RemoteShards(url).fetch(tmp_path / "here")
    assert content(tmp_path / "here") == {"run.json": "this one"}


def test_nothing_is_fetched_from_a_folder_that_is_not_there_yet(url, tmp_path):
    RemoteShards(url).fetch(tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_a_finished_run_leaves_nothing_but_others_files(url, tmp_path):
    for path in a_run(tmp_path / "here").iterdir():
        RemoteShards(url).send(path)
    (to_path(url) / "readme.txt").write_bytes(b"mine")
    RemoteShards(url).remove()
    assert [path.name for path in to_path(url).iterdir()] == ["readme.txt"]


def test_a_label_file_behind_a_url_is_not_replaced_unasked(url, tmp_path):
    target = f"{url}/masks.json"
    check_upload(target, tmp_path, overwrite=False)
    (tmp_path / "masks.json").write_text("{}")
    copy(tmp_path / "masks.json", to_path(target))
    with pytest.raises(UserError, match="--overwrite"):
        check_upload(target, tmp_path, overwrite=False)
    check_upload(target, tmp_path, overwrite=True)
    (tmp_path / "run.json").touch()
    check_upload(target, tmp_path, overwrite=False)


def test_what_cannot_be_copied_is_named(url, tmp_path):
    with pytest.raises(UserError, match=r"missing\.json cannot be copied to"):
        copy(tmp_path / "missing.json", to_path(f"{url}/a.json"))
