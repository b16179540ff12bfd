from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cvat_sdk")

from cvat_sdk.masks import decode_mask

from mal.cli import main
from mal.config.schema import ExperimentSpec
from mal.labeler import MaskAutoLabeler
from mal.masks.paste import PastedMask
from mal.starter.files import starter_path
from tests.integrations.cvat_stand_in import PASSWORD, SIZE, TASK, TOKEN, USER, picture, stand_in


class InsideBoxes:
    """Masks that fill their boxes but for a border; none outside the picture, an empty one for a box of a pixel."""

    def __init__(self, border: int) -> None:
        self.border = border
        self.asked = 0

    def label_instances(self, image, boxes, **_):
        self.asked += len(boxes)
        return [self._mask(*map(round, box)) for box in boxes]

    def _mask(self, x0, y0, x1, y1):
        if x0 >= SIZE[0]:
            return None
        window = np.zeros((y1 - y0, x1 - x0), bool)
        window[self.border : -self.border or None, self.border : -self.border or None] = True
        return PastedMask(window, x0, y0, *SIZE, score=0.5)


@pytest.fixture
def server(monkeypatch):
    for name in ("CVAT_USER", "CVAT_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", TOKEN)
    with stand_in() as found:
        found.add("rectangle", [10, 10, 50, 50])
        found.add("rectangle", [20, 20, 40, 40])  # inside the first, of the same label
        found.add("rectangle", [60.5, 10.5, 90, 80], frame=2, label=2)
        yield found


@pytest.fixture
def use(monkeypatch):
    """Label by another labeler than that of the checkpoint."""

    def use(labeler):
        monkeypatch.setattr("mal.tasks.cvat_label.load_labeler", lambda spec, device: (labeler, ExperimentSpec()))
        return labeler

    use(InsideBoxes(2))
    return use


def label(server, *options, task=TASK):
    return main(["cvat", "label", str(task), "--url", server.url, *options])


def test_each_rectangle_gets_a_mask_and_stays(server, use, capsys):
    before = dict(server.shapes)
    assert label(server) == 0
    assert before.items() <= server.shapes.items()
    masks = server.of_kind("mask")
    assert [(mask["frame"], mask["label_id"]) for mask in masks] == [(0, 1), (0, 1), (2, 2)]
    found = decode_mask(masks[0]["points"], image_width=SIZE[0], image_height=SIZE[1])
    assert (found[12:48, 12:48].all(), found.sum()) == (True, 36 * 36)
    said = capsys.readouterr().out
    assert "3 rectangles on 3 frames; 0 have a mask" in said
    assert "3 masks are added, 0 rectangles got none" in said


@pytest.mark.parametrize("border", [0, 9])
def test_a_second_run_adds_nothing_whatever_network_it_uses(server, use, border, capsys):
    label(server)
    before = dict(server.shapes)
    second = use(InsideBoxes(border))
    assert label(server) == 0
    assert (server.shapes, second.asked) == (before, 0)
    assert "3 have a mask or a polygon already" in capsys.readouterr().out


def test_a_run_that_was_cut_short_is_gone_on_with(server, use):
    server.pictures[2] = b"damaged"
    assert label(server) == 1
    assert len(server.of_kind("mask")) == 2
    server.pictures[2] = picture(2)
    labeler = use(InsideBoxes(2))
    assert label(server) == 0
    assert (len(server.of_kind("mask")), labeler.asked) == (3, 1)


def test_a_dry_run_changes_nothing_and_loads_no_network(server, use, capsys):
    use(None)
    before = dict(server.shapes)
    assert label(server, "--dry-run", "--replace") == 0
    assert server.shapes == before
    assert not [asked for asked in server.asked if asked.startswith("PATCH")]
    assert "3 masks would be added, and all 3 rectangles be removed; nothing is changed" in capsys.readouterr().out


def test_replace_removes_only_rectangles_that_have_a_mask(server, use, capsys):
    use(InsideBoxes(2))
    outside = server.add("rectangle", [200, 5, 240, 50])
    empty = server.add("rectangle", [100, 5, 103, 8])
    point = server.add("points", [1, 2])
    assert label(server, "--replace") == 1
    assert {shape["id"] for shape in server.shapes.values() if shape["type"] != "mask"} == {outside, empty, point}
    assert len(server.of_kind("mask")) == 3
    said = capsys.readouterr().out
    assert f"frame 0, rectangle {outside} has no mask" in said
    assert "3 rectangles are removed" in said


def test_replace_after_a_run_without_it_removes_the_rectangles(server, use):
    label(server)
    assert label(server, "--replace") == 0
    assert [shape["type"] for shape in server.shapes.values()] == ["mask"] * 3


def test_a_broken_rectangle_and_tracks_are_told_and_the_others_get_masks(server, use, capsys):
    broken = server.add("rectangle", [30, 30, 30, 60])
    server.num_tracks = 2
    assert label(server) == 1
    said = capsys.readouterr().out
    assert f"rectangle {broken} has no mask" in said
    assert "2 tracks are left out" in said
    assert len(server.of_kind("mask")) == 3


def test_masks_are_those_of_the_library_with_the_starter_and_a_password(server, monkeypatch, tmp_path):
    monkeypatch.delenv("CVAT_ACCESS_TOKEN")
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    assert label(server, "--user", USER, "--password-file", str(tmp_path / "password"), "--batch-size", "1") in (0, 1)
    masks = [mask for mask in server.of_kind("mask") if mask["frame"] == 2]
    (tmp_path / "2.png").write_bytes(server.pictures[2])
    labeler = MaskAutoLabeler.from_checkpoint(starter_path(trainable=False), device="cpu")
    (expected,) = labeler.label(tmp_path / "2.png", [[60.5, 10.5, 90, 80]], batch_size=1)
    assert len(masks) == int(expected.any())
    for mask in masks:
        found = decode_mask(mask["points"], image_width=SIZE[0], image_height=SIZE[1])
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--checkpoint", "nothing.pth"], "--checkpoint nothing.pth: no such file"),
        (["--user", USER], "mal cvat needs a personal access token"),
        (["--token-file", "nowhere"], "nowhere"),
        (["--url", "https://ann:secret@cvat.example.org"], "--url: give the user with --user"),
    ],
)
def test_options_that_cannot_be_used_are_told_before_anybody_is_asked(
    server, options, said, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert label(server, *options) == 1
    error = capsys.readouterr().err
    assert (said in error, "secret" in error) == (True, False)
    assert server.asked == []


def test_without_cvat_sdk_it_says_what_to_type(server, capsys, monkeypatch):
    monkeypatch.setattr("mal.commands.cvat.is_installed", lambda name: False)
    assert label(server) == 1
    assert "pip install 'mask-auto-labeler[cvat]'" in capsys.readouterr().err


def test_a_task_that_is_not_there_is_one_line(server, capsys):
    assert label(server, task=7) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "there is no task 7" in line


def test_a_server_that_fails_leaves_what_was_written(server, use):
    server.failing = 400
    assert label(server) == 1
    assert server.of_kind("mask") == []
    server.failing = None
    assert label(server) == 0
    assert len(server.of_kind("mask")) == 3
