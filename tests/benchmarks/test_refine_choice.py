"""The study of cuts finds what it is meant to find, and goes on where it was stopped."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.gray_scenes import KINDS, gray_scene, write_gray_scenes
from benchmarks.refine_choice import main
from benchmarks.refine_choice_tables import CANDIDATES, CHOICE, SCORE, Cuts, choice_table, fitted_text
from mal.sample.scene import tight_box
from tests.export.exported import small_checkpoint


def cuts(name: str, seed: int, count: int = 200) -> Cuts:
    """Boxes whose cut helps where it is stable, and only there."""
    rng = np.random.default_rng(seed)
    lines = rng.random((count, 3 + len(CHOICE) + len(CANDIDATES) + 2 * len(SCORE)))
    found = Cuts.of_lines(lines, name)
    helps = found.choice[:, CHOICE.index("stability")] > 0.5
    lines[:, 0], lines[:, 1] = 0.6, np.where(helps, 0.7, 0.3)
    lines[:, 2] = np.arange(count) // 4
    return Cuts.of_lines(lines, name)


def test_the_fitted_rule_is_found_again_on_other_images_networks_and_sets():
    found = [cuts(f"{network}@{name}", seed) for seed, (network, name) in enumerate(["ax", "ay", "bx", "by"])]
    for line, each in zip(choice_table(found).splitlines()[2:], found, strict=True):
        cells = line.strip("| ").split(" | ")
        assert cells[:2] == [each.name, "200"]
        assert cells[2] == "0.600 (0.00)"
        best = float(cells[4].split()[0])
        assert all(float(cell.split()[0]) > best - 0.02 for cell in cells[6:])
    assert fitted_text(found).startswith("choice: bias -")


def test_gray_scenes_are_the_same_for_a_seed_and_their_masks_lie_in_their_boxes(tmp_path):
    for index, kind in enumerate(KINDS):
        picture, masks = gray_scene(np.random.default_rng([0, index]), kind)
        assert np.array_equal(picture, gray_scene(np.random.default_rng([0, index]), kind)[0])
        assert (picture[..., 0] == picture[..., 2]).all()
        assert sum(masks).max() == 1
    ann, _ = write_gray_scenes(tmp_path, 3, seed=0)
    boxes = [record["bbox"] for record in json.loads(ann.read_text())["annotations"] if record["image_id"] == 3]
    assert boxes == [[x0, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in map(tight_box, masks)]


def test_a_study_makes_only_the_files_that_are_missing(tmp_path, capsys):
    checkpoint = small_checkpoint(tmp_path / "model.pth")
    asked = [str(tmp_path / "study"), "--checkpoint", f"small={checkpoint}", "--gray-scenes", "3", "--boxes", "12"]
    main(asked)
    told = capsys.readouterr().out
    (file,) = (tmp_path / "study").glob("*.npz")
    assert file.name == "small@gray.npz"
    written = file.stat().st_mtime_ns
    main(asked)
    assert capsys.readouterr().out == told
    assert file.stat().st_mtime_ns == written
    with pytest.raises(SystemExit):
        main([str(tmp_path / "empty")])
