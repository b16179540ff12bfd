from __future__ import annotations

import io

import pytest

from mal import console
from mal.console import PlainConsole, task_progress


@pytest.fixture
def screen(monkeypatch):
    """Put a console of the test in the place of the real one."""

    def put(*, is_terminal: bool) -> io.StringIO:
        text = io.StringIO()
        monkeypatch.setattr(
            console,
            "console",
            PlainConsole(file=text, force_terminal=is_terminal, width=200, soft_wrap=not is_terminal),
        )
        return text

    return put


def test_a_terminal_shows_a_bar_with_count_rate_and_details(screen):
    text = screen(is_terminal=True)
    with task_progress("labelling", 16) as progress:
        progress.advance(8, "loss 0.5")
    assert "labelling" in text.getvalue()
    assert "8/16" in text.getvalue()
    assert "boxes/s" in text.getvalue()
    assert " left" in text.getvalue()
    assert "loss 0.5" in text.getvalue()


def test_elsewhere_a_plain_line_comes_now_and_then(screen, monkeypatch):
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)
    text = screen(is_terminal=False)
    with task_progress("labelling", 8) as progress:
        progress.advance(4, "loss 0.5")
    (line,) = text.getvalue().splitlines()
    assert line.startswith("labelling: 4/8 boxes")
    assert line.endswith("left  loss 0.5")


def test_elsewhere_a_short_task_says_nothing(screen):
    text = screen(is_terminal=False)
    with task_progress("labelling", 8) as progress:
        progress.advance(8)
    assert text.getvalue() == ""


def test_boxes_of_an_earlier_run_do_not_count_for_the_rate(screen, monkeypatch):
    screen(is_terminal=False)
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with task_progress("training", 100) as progress:
        progress.resume_at(50)
        now[0] += 10
        progress.advance(20)
        assert progress.rate == 2
        assert progress.done == 70


def test_a_pause_counts_for_the_time_left_and_not_for_the_rate(screen, monkeypatch):
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)
    text = screen(is_terminal=False)
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with task_progress("training", 100) as progress:
        now[0] += 10
        progress.advance(20)
        progress.pause("validating")
        now[0] += 60
        assert progress.rate == 2
        assert progress.unpause() == 60
        progress.seconds_ahead = 60.0
        now[0] += 10
        progress.advance(20)
    assert text.getvalue().splitlines()[-1] == "training: 40/100 boxes  2.0 boxes/s  1:30 left"


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (65, "1:05"), (3665, "1:01:05")])
def test_durations_read_as_on_a_clock(seconds, text):
    assert console.duration_text(seconds) == text
