from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mal.console import PlainConsole
from mal.metrics.comparison import PairedBoxes, compare
from mal.metrics.matched_boxes import MatchedBoxes
from mal.tasks.compare_sources import MeasuredRun
from mal.tasks.compare_tables import comparison_tables, remarks


def compared(*rises: float):
    first = np.linspace(0.2, 0.6, 24)
    iou = np.stack([first, *(first + rise for rise in rises)], axis=1)
    classes = np.arange(24) % 2
    return compare(PairedBoxes(iou, iou / 2, np.arange(24), classes, np.full(24, 5000.0)), resamples=50)


def shown(comparison, names) -> str:
    console = PlainConsole(width=80, no_color=True, soft_wrap=False)
    with console.capture() as capture:
        for table in comparison_tables(comparison, names, ["cat", "[dog]"]):
            console.print(table)
    return capture.get()


def run(name: str, *, truth: str = "t.json", missing: int = 0, **settings: Any) -> MeasuredRun:
    named = {key.replace("__", "."): value for key, value in settings.items()}
    return MeasuredRun(name, Path(name), truth, "", named, [], missing, lambda positions: {})


def matched(count: int, **changes: Any) -> MatchedBoxes:
    values = {"rows": np.zeros((4, count), np.int64), "alone": (0,) * count, "moved": 0, "other_truth": 0}
    return MatchedBoxes(**values | changes)


def test_two_runs_stand_beside_their_difference():
    text = shown(compared(0.1), ["old", "new"])
    assert "new against old, 24 boxes in 24 images that all runs have" in text
    (line,) = (line for line in text.splitlines() if line.startswith("mIoU over boxes"))
    assert line.split() == [
        "mIoU",
        "over",
        "boxes",
        "0.400",
        "0.500",
        "+0.100",
        "[+0.100,",
        "+0.100]",
        "96.1",
        "%",
        "24",
    ]


def test_a_class_with_brackets_in_its_name_is_shown_as_it_is():
    assert "[dog]" in shown(compared(0.1), ["old", "new"])


def test_equal_runs_differ_by_none_and_no_class_gains():
    text = shown(compared(0.0), ["old", "new"])
    assert "none" in text
    assert "classes that" not in text


def test_three_runs_stand_in_one_table_and_each_against_the_first():
    text = shown(compared(0.1, -0.1), ["a", "b", "c"])
    assert "b against a" in text
    assert "c against a" in text
    (line,) = (
        line for line in text.splitlines() if line.split()[:4] == ["mIoU", "over", "boxes", "0.400"] and "[" not in line
    )
    assert line.split()[3:] == ["0.400", "0.500", "0.300", "24"]


def test_long_names_do_not_make_lines_longer_than_80_characters():
    text = shown(compared(0.1), ["experiment_of_monday_morning_small", "experiment_of_monday_evening_large"])
    assert max(map(len, text.splitlines())) <= 80
    assert "+0.100 [+0.100, +0.100]" in text


def test_runs_of_the_same_settings_and_boxes_need_no_remark():
    assert remarks([run("a", train__mask_thres=[0.5]), run("b", train__mask_thres=[0.5])], matched(2)) == []


def test_what_is_not_the_same_in_all_runs_is_told_in_a_line_each():
    runs = [run("a", train__mask_thres=[0.5]), run("b", truth="u.json", missing=3, train__mask_thres=[0.3, 0.4, 0.5])]
    assert remarks(runs, matched(2, alone=(0, 0), moved=2, other_truth=1)) == [
        "3 boxes with a true mask have no mask in b",
        "2 boxes with the same image and id lie elsewhere in another run and are left out",
        "true masks come from different files: a t.json, b u.json",
        "1 of the compared boxes have true masks of different area",
        "train.mask_thres differs: a [0.5], b [0.3, 0.4, 0.5]",
    ]
