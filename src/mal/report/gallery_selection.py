"""Select the masks that a report shows: best, worst, a random sample, contradictions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mal.report.report_data import Column, Instances, Rows

SEED = 0


def galleries(instances: Instances, pictures: int) -> dict[str, list[int]]:
    """Rows of each gallery, in the order in which it shows them.

    Args:
        instances: all masks.
        pictures: how many different rows at most; a row may be in several galleries.

    Returns:
        By name, those that there is something for: "worst" and "best" by the lead measure (a half of the worst are
        the worst of each class, so that a filter by class finds some), "random", "disagreement" of student and
        teacher, "overconfident" (score far above IoU) and "doubtful" (marked in the label file).
    """
    orders: dict[str, tuple[float, Callable[[int], list[int]]]] = {}
    lead = instances.measures[instances.lead] if instances.lead else None
    measures = instances.measures
    if lead is not None:
        orders["worst"] = 0.4, lambda count: _ends_of_all_and_of_classes(instances, lead, count)
    if instances.marks:
        orders["doubtful"] = 0.2, lambda count: _lowest(_of_marked(instances, lead), count)
    orders["random"] = 0.2, lambda count: _sample(len(instances), count)
    if lead is not None:
        orders["best"] = 0.12, lambda count: _lowest(-lead, count)
    if "agreement" in measures:
        orders["disagreement"] = 0.14, lambda count: _lowest(measures["agreement"], count)
    if "score" in measures and "iou" in measures:
        orders["overconfident"] = 0.14, lambda count: _lowest(measures["iou"] - measures["score"], count)
    whole = sum(share for share, _ in orders.values())
    chosen = {name: choose(int(pictures * share / whole)) for name, (share, choose) in orders.items()}
    return {name: rows for name, rows in chosen.items() if rows}


def _ends_of_all_and_of_classes(instances: Instances, values: Column, count: int) -> list[int]:
    """The lowest of all, and as many that are the lowest of their class; lowest first."""
    order = _lowest(values, len(values))
    chosen = dict.fromkeys(order[: count // 2])
    rank_in_class: dict[int, int] = {}
    ranked = []
    for row in order:
        number = int(instances.class_numbers[row])
        rank_in_class[number] = rank_in_class.get(number, -1) + 1
        ranked.append((rank_in_class[number], float(values[row]), row))
    for _, _, row in sorted(ranked):
        if len(chosen) >= count:
            break
        chosen[row] = None
    return sorted(chosen, key=lambda row: (values[row], row))


def _lowest(values: Column, count: int) -> list[int]:
    """Rows from the lowest value up; rows without one are left out."""
    order: Rows = np.argsort(values, kind="stable")
    return order[: min(count, int((~np.isnan(values)).sum()))].tolist()


def _of_marked(instances: Instances, lead: Column | None) -> Column:
    values = np.full(len(instances), np.nan)
    rows = sorted(instances.marks)
    values[rows] = 0.0 if lead is None else np.nan_to_num(lead[rows])
    return values


def _sample(total: int, count: int) -> list[int]:
    generator = np.random.default_rng(SEED)
    return generator.permutation(total)[:count].tolist()
