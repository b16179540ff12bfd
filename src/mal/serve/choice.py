"""The choice after a training round: is its network better, by the signals of `mal auto`, which need no masks."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from mal.auto.choose import Choice, choose, measure_signals
from mal.auto.findings import boxes_of
from mal.auto.subsets import held_out_images, write_subset
from mal.coco.coco_file import read_coco
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError, one_line
from mal.serve.fetch import StoppedEarly
from mal.serve.models import Load
from mal.serve.rounds import BOXES, LOWEST_PRIORITY, TRAINING_BOXES, Candidate

_SECONDS_BETWEEN_LOOKS = 0.5


def hold_out(folder: Path) -> None:
    """Write the boxes of a round that it trains on: a tenth of the pictures is held out, by a hash of their names.

    Args:
        folder: of the round, with all boxes.

    Raises:
        UserError: a file cannot be read or written.
    """
    coco = read_coco(folder / BOXES)
    held_out = held_out_images(coco)
    wanted = {image.id for image in coco.images.values() if image.id not in held_out}
    write_subset(coco, wanted, folder / TRAINING_BOXES)


def choose_by_signals(load: Load, candidate: Candidate, is_wanted: Callable[[], bool]) -> Choice:
    """Choose in a child process at the lowest priority, so that the server answers as before.

    Args:
        load: loads both networks with the settings of the server; is pickled.
        candidate: the two networks, and what they are compared on.
        is_wanted: asked meanwhile.

    Raises:
        StoppedEarly: it is no longer wanted.
        UserError: a network or the boxes cannot be read.
    """
    context = multiprocessing.get_context("spawn")  # a copy of a process with threads may hang
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(load, candidate, sender), name="choice", daemon=True)
    child.start()
    assert child.pid is not None
    with suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, child.pid, LOWEST_PRIORITY)
    sender.close()
    try:
        while not receiver.poll(_SECONDS_BETWEEN_LOOKS):
            if not is_wanted():
                raise StoppedEarly
        answer: Choice | str = receiver.recv()
    except EOFError:
        child.join()
        raise UserError(f"the comparison of the networks ended with exit code {child.exitcode}") from None
    finally:
        child.terminate()
        child.join()
        receiver.close()
    if isinstance(answer, str):
        raise UserError(answer)
    return answer


def _answer(load: Load, candidate: Candidate, sender: Connection) -> None:
    """Send the choice, or what is wrong with its input."""
    try:
        sender.send(_choice(load, candidate))
    except UserError as error:
        sender.send(one_line(error))


def _choice(load: Load, candidate: Candidate) -> Choice:
    start, reading = load(candidate.start)
    reading = replace(reading, exif="upright")  # as Label Studio shows pictures
    source = AnnotatedImages(candidate.ann_path, candidate.img_dir, reading=reading)
    boxes = boxes_of(source, held_out_images(source.coco), inside=True)
    before = measure_signals(start, source, boxes, "comparing, before training")
    after = measure_signals(load(candidate.trained)[0], source, boxes, "comparing, after training")
    return choose(before, after, len(boxes))
