from __future__ import annotations

import json
import sys

import pytest

from mal.cli import main
from tests.cli.small_runs import run_mal
from tests.report.made_up import made_up


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return made_up(tmp_path_factory.mktemp("made_up"), num_images=3)


def test_the_report_of_an_evaluation_lies_in_its_folder(files, capfd):
    outcome = run_mal(capfd, "report", files.results)
    assert outcome.exit_code == 0
    assert f"report page: {files.results / 'report.html'}" in outcome.out
    assert (files.results / "report_figures" / "iou_histogram.svg").is_file()


def test_without_matplotlib_the_report_says_how_to_have_png(files, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    outcome = run_mal(capfd, "report", files.results)
    assert "report_figures (SVG; for PNG too: pip install 'mask-auto-labeler[charts]')" in outcome.out


def test_the_report_of_labels_comes_with_a_review_queue_of_the_asked_size(files, tmp_path, capfd):
    page = tmp_path / "page.html"
    outcome = run_mal(capfd, "report", "--ann", files.labels, "--images", files.images, "--out", page, "--review", "4")
    assert outcome.exit_code == 0
    assert page.is_file()
    assert len(json.loads((tmp_path / "review_queue.json").read_text())["annotations"]) == 4


def test_no_review_queue_is_written_where_none_is_wanted(files, tmp_path):
    page = tmp_path / "page.html"
    arguments = ["--ann", files.labels, "--images", files.images, "--out", page, "--review", "0", "--pictures", "2"]
    assert main(["report", *map(str, arguments)]) == 0
    assert not (tmp_path / "review_queue.json").exists()


@pytest.mark.parametrize("arguments", [[], ["--ann", "x.json"], ["--review", "-1"], ["--train", "x"]])
def test_wrong_usage_is_told(arguments):
    assert main(["report", *arguments]) == 2


@pytest.mark.parametrize(
    "arguments", [["nowhere"], ["--ann", "nowhere.json", "--images", "."], [".", "--train", "nowhere"], ["."]]
)
def test_what_is_not_there_is_one_clear_line(arguments, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    outcome = run_mal(capfd, "report", *arguments)
    assert outcome.exit_code == 1
    assert len(outcome.error_lines) == 1


def test_an_evaluated_file_that_has_moved_is_named_with_what_to_do(files, tmp_path, capfd):
    moved = tmp_path / "evaluate"
    moved.mkdir()
    for name in ("metrics.json", "instances.csv", "predictions.json"):
        (moved / name).write_bytes((files.results / name).read_bytes())
    assert "say where it is with --ann" in run_mal(capfd, "report", moved).err
    outcome = run_mal(capfd, "report", moved, "--ann", files.truth, "--images", files.images)
    assert outcome.exit_code == 0
