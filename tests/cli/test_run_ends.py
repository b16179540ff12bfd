"""A labelling run at its beginning and its end: what blocks nothing, what is completed, and what fails alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.cli.small_runs import Outcome, run_mal
from tests.data.photos import photos
from tests.export.exported import small_checkpoint

IMAGES = [2, 1, 3]


@dataclass(frozen=True)
class Run:
    folder: Path
    capfd: pytest.CaptureFixture[str]

    def label(self, *arguments: str, checkpoint: str = "model.pth") -> Outcome:
        inputs = (
            "--ann",
            self.folder / "boxes.json",
            "--images",
            self.folder,
            "--checkpoint",
            self.folder / checkpoint,
        )
        return run_mal(self.capfd, "label", *inputs, "--out", self.masks, "--workers", "0", *arguments)

    def inference(self) -> Outcome:
        return run_mal(self.capfd, "inference", "-e", self.folder / "spec.yaml")

    def change_boxes(self, change) -> None:
        content = json.loads((self.folder / "boxes.json").read_text())
        (self.folder / "boxes.json").write_text(change(content) or json.dumps(content))

    @property
    def masks(self) -> Path:
        return self.folder / "masks.json"

    @property
    def results(self) -> Path:
        return self.folder / "results/inference"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("model") / "model.pth")


@pytest.fixture
def run(model, tmp_path, capfd) -> Run:
    photos(tmp_path, IMAGES)
    (tmp_path / "model.pth").write_bytes(model.read_bytes())
    spec = {
        "results_dir": str(tmp_path / "results"),
        "dataset": {"crop_size": 64, "num_workers_per_gpu": 0},
        "inference": {
            "checkpoint": str(tmp_path / "model.pth"),
            "ann_path": str(tmp_path / "boxes.json"),
            "img_dir": str(tmp_path),
            "label_dump_path": "masks.json",
        },
    }
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    return Run(tmp_path, capfd)


def test_a_start_that_fails_for_its_checkpoint_does_not_block_the_corrected_command(run):
    (run.folder / "bad.pth").write_bytes(b"no checkpoint")
    assert "bad.pth: is a text that begins with" in run.label(checkpoint="bad.pth").err
    outcome = run.label()
    assert (outcome.exit_code, outcome.err) == (0, "")


def test_an_absurd_size_is_the_failure_of_its_boxes_and_the_file_is_written(run):
    run.change_boxes(lambda content: content["images"][2].update(width=70_000, height=70_000))
    for _ in range(2):
        assert run.label().exit_code == 1
        assert json.loads((run.folder / "masks_report.json").read_text())["counts"]["failed"] == 3
        assert sum("mal" not in record for record in json.loads(run.masks.read_text())["annotations"]) >= 1


def test_a_record_nested_a_thousand_deep_is_told_and_the_others_are_labelled(run):
    def nested(content) -> str:
        content["annotations"][1]["extra"] = "here"
        return json.dumps(content).replace('"here"', "[" * 1000 + "]" * 1000)

    run.change_boxes(nested)
    outcome = run.label()
    assert run.masks.exists()
    assert outcome.error_lines == []
    counts = json.loads((run.folder / "masks_report.json").read_text())["counts"]
    assert counts["labelled"] + counts["failed"] == sum(IMAGES)
    assert outcome.exit_code == min(counts["failed"], 1)


@pytest.mark.parametrize(("side", "said"), [(70_000, "no mask can be as large"), (40_000, "more than the 500,000,000")])
def test_converting_an_absurd_size_to_pictures_says_so_and_takes_no_memory(side, said, run):
    run.change_boxes(lambda content: content["images"][2].update(width=side, height=side))
    outcome = run_mal(run.capfd, "convert", run.folder / "boxes.json", run.folder / "out", "--to", "png")
    assert outcome.exit_code == 1
    assert said in outcome.err


def test_a_finished_run_that_is_repeated_writes_what_is_missing_and_only_that(run):
    assert run.inference().exit_code == 0
    stamps = {path: path.stat().st_mtime_ns for path in run.results.rglob("*") if path.name not in ("status.json",)}
    gone = [run.results / name for name in ("report.html", "review_queue.json", "report_figures/sizes.svg")]
    contents = {path: path.read_bytes() for path in gone}
    for path in gone:
        path.unlink()
    outcome = run.inference()
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert "is complete" in outcome.out
    for path, stamp in stamps.items():
        assert path.exists()
        assert path in gone or path.is_dir() or path.stat().st_mtime_ns == stamp, path
    assert (run.results / "review_queue.json").read_bytes() == contents[run.results / "review_queue.json"]


def test_a_run_killed_while_its_page_is_written_is_completed_by_the_same_command(run, monkeypatch):
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mal.report.report_page.make_thumbnails", killed)
        assert run.inference().exit_code == 130
    assert (run.results / "masks.json").exists()
    assert not (run.results / "shards").exists()
    assert not (run.results / "report.html").exists()
    before = (run.results / "masks.json").stat().st_mtime_ns
    assert run.inference().exit_code == 0
    assert (run.results / "report.html").exists()
    assert (run.results / "review_queue.csv").exists()
    assert (run.results / "masks.json").stat().st_mtime_ns == before
