"""`mal review` on the command line: what it refuses, a real server that is killed, and the export."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from http.cookiejar import CookieJar

import pytest

from mal.cli import main
from mal.files import sha256
from mal.review.journal import journal_path, read_review
from mal.review.journal_writer import open_journal
from tests.cli.small_runs import run_mal
from tests.review.reviewing import decide_one_of_each, disc, write_labels

DRAWN = disc(60, 40, 9)


@pytest.fixture
def labels(tmp_path):
    return write_labels(tmp_path)


@pytest.fixture
def reviewed(labels):
    decide_one_of_each(labels, DRAWN)
    return labels


def test_without_the_folder_of_the_pictures_the_usage_is_told(labels):
    assert main(["review", str(labels)]) == 2


@pytest.mark.parametrize("arguments", [["--to", "coco"], ["--rejected", "keep"], ["--overwrite"]])
def test_options_of_the_export_need_it(labels, arguments):
    assert main(["review", str(labels), str(labels.parent / "images"), *arguments]) == 2


def test_a_file_without_its_pictures_is_one_clear_line(labels, capfd):
    shutil.rmtree(labels.parent / "images")
    outcome = run_mal(capfd, "review", labels, labels.parent / "images")
    assert outcome.exit_code == 1
    assert "no such folder; give the folder of the pictures" in outcome.err
    (labels.parent / "images").mkdir()
    outcome = run_mal(capfd, "review", labels, labels.parent / "images")
    assert "holds none of the pictures that" in outcome.err


def test_a_file_that_another_process_reviews_is_refused(labels, capfd):
    with open_journal(labels, sha256(labels), journal_path(labels)):
        outcome = run_mal(capfd, "review", labels, labels.parent / "images")
    assert outcome.exit_code == 1
    assert "in use by another `mal review`" in outcome.err


def test_a_file_that_was_changed_since_its_review_is_refused_and_the_journal_stays(reviewed, capfd):
    before = journal_path(reviewed).read_bytes()
    reviewed.write_text(reviewed.read_text() + "\n")
    for more in ((reviewed.parent / "images",), ("--export", reviewed.with_name("out.json"))):
        outcome = run_mal(capfd, "review", reviewed, *more)
        assert outcome.exit_code == 1
        assert "holds decisions on another file than" in outcome.err
    assert journal_path(reviewed).read_bytes() == before


def test_the_export_keeps_rejected_masks_in_coco_and_says_so(reviewed, capfd):
    out = reviewed.with_name("out.json")
    outcome = run_mal(capfd, "review", reviewed, "--export", out)
    assert outcome.exit_code == 0
    assert "6 annotations: 1 rejected, 1 edited, 1 accepted, 1 draft, 2 undecided" in outcome.out
    assert "1 drafts are not decided" in outcome.out
    records = json.loads(out.read_text())["annotations"]
    assert [record.get("mal", {}).get("review", {}).get("state") for record in records] == [
        "accepted",
        "edited",
        "rejected",
        "draft",
        None,
        None,
    ]
    assert run_mal(capfd, "review", reviewed, "--export", out).exit_code == 1  # not over what is there


@pytest.mark.parametrize("name", ["yolo-seg", "png", "labelme", "cvat"])
def test_other_formats_leave_rejected_masks_out(reviewed, capfd, name):
    out = reviewed.with_name("out")
    outcome = run_mal(capfd, "review", reviewed, reviewed.parent / "images", "--export", out, "--to", name)
    assert outcome.exit_code == 0
    assert "1 rejected ones are left out" in outcome.out
    assert out.exists()


def test_an_export_of_a_torn_journal_says_so(reviewed, capfd):
    with journal_path(reviewed).open("ab") as file:
        file.write(b'{"number":')
    outcome = run_mal(capfd, "review", reviewed, "--export", reviewed.with_name("out.json"))
    assert "the last line is half written and does not count" in outcome.out


@pytest.mark.slow
def test_a_server_that_is_killed_has_on_disk_what_it_confirmed_and_goes_on(labels):
    command = [sys.executable, "-m", "mal", "review", str(labels), str(labels.parent / "images"), "--by", "ann"]
    for start in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
            assert server.stdout
            address = next(found[1] for line in server.stdout if (found := re.match(r"open (http\S+)", line)))
            browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
            page = browser.open(address).read()
            assert b"<title>" in page
            root = address.partition("/enter")[0]
            overview = json.load(browser.open(f"{root}/api/queue"))
            assert len(overview["changes"]) == 3 * start
            for position in range(3 * start, 3 * start + 3):
                body = {"at": position, "base": 0, "operation": str(position), "state": "accepted"}
                request = urllib.request.Request(
                    f"{root}/api/decide", json.dumps(body).encode(), {"Content-Type": "application/json"}
                )
                assert json.load(browser.open(request))["version"] == 1
            server.send_signal(signal.SIGKILL)
    decisions = read_review(labels).decisions
    assert len(decisions) == 6
    assert {decision.by for decision in decisions.values()} == {"ann"}
