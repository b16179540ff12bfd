from __future__ import annotations

import pytest

from mal.errors import UserError
from mal.reading import AS_STORED
from mal.serve.engine import Engine
from mal.serve.models import Models


class _Loader:
    """Makes labelers that know only their file; refuses files that say so."""

    def __init__(self):
        self.loaded = []

    def __call__(self, path):
        if path.read_bytes() == b"damaged":
            raise UserError(f"{path} is damaged")
        self.loaded.append(path)
        return path, AS_STORED


@pytest.fixture
def files(tmp_path):
    for name in ("first", "second", "damaged"):
        (tmp_path / f"{name}.pth").write_bytes(name.encode())
    (tmp_path / "runs").mkdir()
    return tmp_path


def models_of(files, name="first"):
    return Models(_Loader(), files / f"{name}.pth", files / "runs")


def test_the_checkpoint_of_the_command_line_is_used_at_first(files):
    model = models_of(files).load()
    assert model.labeler == files / "first.pth"
    assert model.version.startswith("mal-first-")


def test_a_checkpoint_that_was_taken_is_used_at_once_and_after_a_new_start(files):
    models = models_of(files)
    models.engine = engine = Engine(models.load(), 1)
    version = models.use(files / "second.pth")
    assert (engine.model.version, engine.model.labeler) == (version, files / "second.pth")
    engine.close()
    assert models_of(files).load().version == version
    models.use_first()
    assert models_of(files).load().labeler == files / "first.pth"


def test_another_checkpoint_on_the_command_line_goes_before_what_was_taken(files):
    models_of(files).use(files / "second.pth")
    assert models_of(files, "second").load().labeler == files / "second.pth"
    (files / "third.pth").write_bytes(b"third")
    assert models_of(files, "third").load().labeler == files / "third.pth"


def test_a_checkpoint_that_cannot_be_loaded_leaves_the_one_in_use(files):
    models = models_of(files)
    with pytest.raises(UserError, match="is damaged"):
        models.use(files / "damaged.pth")
    assert models.checkpoint == files / "first.pth"
    assert models_of(files).load().labeler == files / "first.pth"


@pytest.mark.parametrize("content", ["{", "[]", '{"checkpoint": 1}'])
def test_a_damaged_memory_is_told(files, content):
    (files / "runs/in_use.json").write_text(content)
    with pytest.raises(UserError, match=r"in_use\.json is damaged, remove it"):
        models_of(files)


def test_a_checkpoint_that_is_gone_is_told(files):
    models_of(files).use(files / "second.pth")
    (files / "second.pth").unlink()
    with pytest.raises(UserError, match="which is gone: remove"):
        models_of(files)
