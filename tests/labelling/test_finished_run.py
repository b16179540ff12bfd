from __future__ import annotations

import json

import pytest

from mal.labelling.finished_run import RUN_KEY, finished_run, is_finished

IDENTITY = {"the content of the checkpoint": "abc", "min_score": None}


@pytest.fixture
def files(tmp_path):
    output, report = tmp_path / "masks.json", tmp_path / "report.json"
    output.write_text("masks")
    report.write_text(json.dumps({"counts": {}, RUN_KEY: finished_run(IDENTITY, output)}))
    return report, output


def test_a_finished_run_is_known_again(files):
    report, output = files
    assert is_finished(report, IDENTITY, output)


def test_another_identity_or_another_label_file_is_not_that_run(files):
    report, output = files
    assert not is_finished(report, IDENTITY | {"min_score": 0.5}, output)
    output.write_text("edited by hand")
    assert not is_finished(report, IDENTITY, output)
    output.unlink()
    assert not is_finished(report, IDENTITY, output)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"run": 1}', '{"run": {"identity": 3}}'])
def test_a_report_that_is_missing_or_says_nothing_is_no_finished_run(content, files):
    report, output = files
    report.unlink()
    if content is not None:
        report.write_text(content)
    assert not is_finished(report, IDENTITY, output)
