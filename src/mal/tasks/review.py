"""`mal review`: a page on which a person accepts, rejects and mends masks."""

from __future__ import annotations

import secrets
import socket
import threading
import webbrowser
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.applications import Starlette

from mal.coco.coco_file import CocoFile, read_coco
from mal.console import console
from mal.errors import UserError
from mal.files import sha256
from mal.reading import Reading
from mal.review.journal_writer import JournalWriter, open_journal
from mal.review.pictures import ReviewPictures
from mal.review.queue import ReviewQueue
from mal.review.routes import ENTER, QUIET_PATHS, review_routes
from mal.review.session import ReviewModel, Session
from mal.serve.app import app
from mal.serve.intake import Intake
from mal.serve.listening import address_of, listen, log_to_console, serve
from mal.serve.security import Security
from mal.starter.files import starter_for
from mal.tasks.review_export import write_export

if TYPE_CHECKING:
    from mal.serve.engine import Model

_USUAL_PORT = 9095
_THREADS = 4
_MOST_REQUESTS = 64
_SECONDS = 120.0
_WRITES_ONE_FILE = {"coco": ".json", "cvat": ".zip", "label-studio": ".json"}


@dataclass(frozen=True, slots=True)
class ReviewOptions:
    """Options of the review.

    Attributes:
        labels: the label file.
        images: folder of its pictures.
        reading: how they are read.
        journal: file of the decisions.
        by: who decides.
        checkpoint: for redrawn boxes; None takes the starter.
        has_model: False reviews without a model.
        device: of the model.
        host, port: where the page is; port 0 takes a free one, None the usual one if it is free.
        token: what opens the page; None makes one.
        allow_hosts: further names that the ``Host`` header may have.
        opens: whether a browser is started.
    """

    labels: Path
    images: Path
    reading: Reading
    journal: Path
    by: str
    checkpoint: Path | None
    has_model: bool
    device: str
    host: str
    port: int | None
    token: str | None
    allow_hosts: Sequence[str]
    opens: bool


def run(options: ReviewOptions) -> int:
    """Serve the page until a signal comes.

    Returns:
        Exit code 0.

    Raises:
        UserError: the file, the pictures, the journal or the address cannot be used.
    """
    digest = sha256(options.labels)
    coco = read_coco(options.labels)
    queue = ReviewQueue(coco, options.images, options.reading)
    with (
        open_journal(options.labels, digest, options.journal) as writer,
        _listen(options) as listener,
    ):
        token = options.token or secrets.token_urlsafe(24)
        port = listener.getsockname()[1]
        rules = Security.for_address(options.host, token, options.allow_hosts)
        security = Security(rules.hosts, token, frozenset({ENTER, "/health"}), f"mal_review_{port}")
        address = f"{address_of(listener)}{ENTER}?token={quote(token, safe='')}"
        application = _application(options, coco, queue, writer, security)
        for line in _opening_lines(options, queue, writer):
            console.print(line, soft_wrap=True)
        console.print(f"open {address}", soft_wrap=True, markup=False, highlight=False)
        log_to_console(QUIET_PATHS)
        if options.opens:
            webbrowser.open(address)
        serve(application, listener)
    console.print(f"all decisions are in {options.journal}")
    return 0


def _application(
    options: ReviewOptions, coco: CocoFile, queue: ReviewQueue, writer: JournalWriter, security: Security
) -> Starlette:
    model = ReviewModel((lambda: _load(options)) if options.has_model else None)
    session = Session(coco, queue, ReviewPictures(options.images), writer, model, options.by)
    intake = Intake(most_requests=_MOST_REQUESTS, threads=_THREADS, seconds=_SECONDS)

    def export(target_format: str) -> Mapping[str, Any]:
        out = _free_name(options.labels, target_format)
        lines = write_export(coco, writer.journal, out, target_format, images=options.images)
        return {"path": str(out), "lines": lines}

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        threading.Thread(target=_prepare_the_first_picture, args=(session,), daemon=True).start()
        yield
        intake.close()
        model.close()

    return app(review_routes(session, security, intake, export), security, lifespan)


def _prepare_the_first_picture(session: Session) -> None:
    """Make its preview while the browser starts."""
    first = session.queue.order[0]
    with suppress(UserError):  # the page tells it
        session.pictures.preview(session.image(int(session.coco.table.image_rows[first])))


def _listen(options: ReviewOptions) -> socket.socket:
    """Mostly at the same port, so that a page with decisions that wait finds a server that was started again."""
    if options.port is not None:
        return listen(options.host, options.port)
    try:
        return listen(options.host, _USUAL_PORT)
    except UserError:
        return listen(options.host, 0)


def _load(options: ReviewOptions) -> Model:
    from mal.labeler import MaskAutoLabeler  # not before a box is redrawn: the page is there sooner
    from mal.serve.engine import Model, file_version

    path = options.checkpoint or starter_for(options.device)
    device = None if options.device == "auto" else options.device
    return Model(MaskAutoLabeler.from_checkpoint(path, device=device), file_version(path), options.reading)


def _opening_lines(options: ReviewOptions, queue: ReviewQueue, writer: JournalWriter) -> list[str]:
    journal = writer.journal
    lines = [f"{options.labels}: {len(queue.order):,} masks to review; decisions go to {journal.path}"]
    if journal.decisions:
        lines.append(f"{len(journal.decisions):,} of them have a decision already")
    if writer.cut_bytes:
        lines.append(
            f"{journal.path}: the last {writer.cut_bytes} bytes were half a line, of a decision that was never"
            " confirmed; they were removed"
        )
    if queue.left_out:
        lines.append(f"{queue.left_out:,} annotations are left out: groups, and those without an image, box and mask")
    return lines


def _free_name(labels: Path, target_format: str) -> Path:
    """A name beside the label file that is not taken."""
    ending = _WRITES_ONE_FILE.get(target_format, "")
    name = f"{labels.stem}_reviewed" + ("" if target_format == "coco" else f"_{target_format}")
    number, out = 1, labels.with_name(name + ending)
    while out.exists():
        number += 1
        out = labels.with_name(f"{name}_{number}{ending}")
    return out
