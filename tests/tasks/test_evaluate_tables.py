from __future__ import annotations

import io

import pytest

from mal.console import PlainConsole
from mal.metrics.box_noise import KINDS, BoxNoise, NoiseFigures
from mal.metrics.results import (
    ClassFigures,
    DifferenceFigures,
    Differences,
    EvaluationFigures,
    Intervals,
    MethodFigures,
    SizeFigures,
)
from mal.tasks.evaluate_tables import box_noise_table, class_metrics_table, methods_table, size_metrics_table

SIZES = ("small", "medium", "large")
ENDS = (0.123, 0.456)


def method(share: float | None, count: int) -> MethodFigures:
    one_class = ClassFigures(
        miou=0.5, n=count, images=1, boundary_iou=0.5, dice=0.5, share_iou_50=1, share_iou_75=0, share_iou_90=0
    )
    shares = ("miou", "share_iou", "boundary_iou", "dice", "mask_ap")
    names_of_classes = [f"class {number} with a name that goes on and on and on" for number in range(20)]
    return MethodFigures(
        **{name: share for name in MethodFigures.model_fields if name.startswith(shares)},
        **dict.fromkeys(("n", *(f"n_{size}" for size in SIZES)), count),
        by_mask_area={size: SizeFigures(miou_classes=share, miou_instances=share, n=count) for size in SIZES},
        intervals=Intervals(**dict.fromkeys(Intervals.model_fields, ENDS)) if count else None,
        by_class=dict.fromkeys(names_of_classes, one_class) if count else {},
    )


def figures(share: float | None, count: int) -> EvaluationFigures:
    differences = dict.fromkeys(Differences.model_fields, DifferenceFigures(mean=-0.5, interval=(-0.6, -0.4)))
    against = Differences(**differences) if count else None
    return EvaluationFigures(
        checkpoint="some.pth",
        images=123_456,
        **dict.fromkeys(("model", "box", "ellipse"), method(share, count)),
        model_minus_box=against,
        model_minus_ellipse=against,
        failed=0,
    )


def noise() -> BoxNoise:
    point = NoiseFigures(
        level=0.15,
        model=1,
        box=1,
        ellipse=1,
        model_interval=ENDS,
        model_minus_ellipse=-0.5,
        model_minus_ellipse_interval=(-0.6, -0.4),
    )
    return BoxNoise(boxes=500, boxes_evaluated=123_456, images=1, **{kind: [point] * 6 for kind in KINDS})


def printed(table, *, is_terminal: bool = False) -> str:
    text = io.StringIO()
    PlainConsole(file=text, force_terminal=is_terminal, width=80, soft_wrap=True, highlight=False).print(table)
    return text.getvalue()


TABLES = {"methods": methods_table, "sizes": size_metrics_table, "classes": class_metrics_table}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("count", [0, 123_456])
def test_tables_fit_into_80_columns_and_nothing_of_them_is_cut_off(name, count):
    lines = printed(TABLES[name](figures(1.0 if count else None, count))).splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in "\n".join(lines)


def test_the_table_of_noise_fits_too():
    text = printed(box_noise_table(noise()))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text


def test_intervals_stand_behind_their_figures():
    (line,) = (line for line in printed(methods_table(figures(1.0, 5))).splitlines() if "mIoU over classes" in line)
    assert line.split("  ")[-1].strip() == "-0.500 [-0.600, -0.400]"
    assert "1.000 [0.123, 0.456]" in line


def test_there_is_no_colour_where_there_is_no_terminal():
    assert "\x1b" not in printed(methods_table(figures(1.0, 5)))
    assert "\x1b" in printed(methods_table(figures(1.0, 5)), is_terminal=True)


def test_classes_that_do_not_fit_are_counted():
    assert "(8 more in classes.csv)" in printed(class_metrics_table(figures(1.0, 5)))


def test_a_class_named_like_markup_is_shown_as_it_is():
    found = figures(1.0, 5)
    for each in (found.model, found.box, found.ellipse):
        each.by_class["[/screws]"] = next(iter(each.by_class.values())).model_copy(update={"n": 6})
    assert "[/screws]" in printed(class_metrics_table(found))
