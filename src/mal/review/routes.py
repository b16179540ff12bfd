"""The routes of a review: the page, its pictures and masks, and decisions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from mal.errors import UserError
from mal.review.journal import State
from mal.review.journal_writer import LabelsChangedError, StaleVersionError
from mal.review.session import Session, brief
from mal.serve.app import AsciiJson, log
from mal.serve.intake import Intake, json_object
from mal.serve.security import Security

ENTER = "/enter"
"""Where the token of the address becomes a cookie."""
QUIET_PATHS = ("GET /api/changes", "GET /assets/")
_PAGE = "review.html"
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self';"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_KEPT_SECONDS = 3600
_MOST_LETTERS = 200


class DecideRequest(BaseModel):
    """The body of `POST /api/decide`."""

    model_config = ConfigDict(extra="forbid")

    at: int
    base: int
    operation: str = Field(min_length=1, max_length=_MOST_LETTERS)
    state: State
    by: str = Field("", max_length=_MOST_LETTERS)
    segmentation: dict[str, Any] | None = None
    bbox: list[float] | None = None


class RedrawRequest(BaseModel):
    """The body of `POST /api/redraw`."""

    model_config = ConfigDict(extra="forbid")

    at: int
    bbox: list[float] = Field(min_length=4, max_length=4)


class ExportRequest(BaseModel):
    """The body of `POST /api/export`."""

    model_config = ConfigDict(extra="forbid")

    format: str = Field(max_length=_MOST_LETTERS)


def review_routes(
    session: Session, security: Security, intake: Intake, export: Callable[[str], Mapping[str, Any]]
) -> list[Route]:
    """All routes.

    Args:
        session: of the review.
        security: whose token opens the page.
        intake: takes requests in.
        export: writes the reviewed file in a format, and says where and what.
    """
    return [
        Route(ENTER, _enter(security)),
        Route("/", _page),
        Route("/assets/{name}", _asset),
        *_reading(session),
        *_writing(session, intake, export),
    ]


def _reading(session: Session) -> list[Route]:
    async def overview(_: Request) -> Response:
        return AsciiJson(await run_in_threadpool(session.overview))

    async def changes(request: Request) -> Response:
        return AsciiJson(await run_in_threadpool(session.changes, _number(request, "since")))

    async def mask(request: Request) -> Response:
        return AsciiJson(await run_in_threadpool(session.mask, int(request.path_params["at"])))

    async def preview(request: Request) -> Response:
        image = session.image(int(request.path_params["row"]))
        return _picture(await run_in_threadpool(session.pictures.preview, image))

    async def part(request: Request) -> Response:
        image = session.image(int(request.path_params["row"]))
        place = [_number(request, name) for name in ("x", "y", "width", "height")]
        return _picture(await run_in_threadpool(session.pictures.part, image, *place))

    return [
        Route("/api/queue", overview),
        Route("/api/changes", changes),
        Route("/api/masks/{at:int}", mask),
        Route("/api/pictures/{row:int}", preview),
        Route("/api/pictures/{row:int}/part", part),
    ]


def _writing(session: Session, intake: Intake, export: Callable[[str], Mapping[str, Any]]) -> list[Route]:
    async def decide(request: Request) -> Response:
        async with intake.place(request) as body:
            return await run_in_threadpool(_decide, session, _parsed(DecideRequest, body), request.state.request_id)

    async def redraw(request: Request) -> Response:
        async with intake.place(request) as body:
            asked = _parsed(RedrawRequest, body)
            found = await intake.run(request, lambda is_wanted: session.redraw(asked.at, asked.bbox, is_wanted))
            return AsciiJson(found)

    async def write_export(request: Request) -> Response:
        async with intake.place(request) as body:
            return AsciiJson(await run_in_threadpool(export, _parsed(ExportRequest, body).format))

    return [
        Route("/api/decide", decide, methods=["POST"]),
        Route("/api/redraw", redraw, methods=["POST"]),
        Route("/api/export", write_export, methods=["POST"]),
    ]


def _decide(session: Session, asked: DecideRequest, request_id: str) -> Response:
    """Write a decision. What cannot be decided is answered with a ``kind``, by which the page tells what to do."""
    try:
        decision = session.decide(
            asked.at,
            asked.state,
            by=asked.by,
            operation=asked.operation,
            base=asked.base,
            segmentation=asked.segmentation,
            bbox=asked.bbox,
        )
    except StaleVersionError as error:
        who = "somebody" if error.current is None else error.current.by
        state = "taken back" if error.current is None else error.current.state
        text = f"{who} has decided on this mask meanwhile ({state}): nothing was overwritten; look at it again"
        return _refused(request_id, 409, "stale", text)
    except LabelsChangedError as error:
        return _refused(request_id, 409, "file-changed", str(error))
    except OSError as error:
        text = (
            f"the decision was NOT saved: {os.strerror(error.errno) if error.errno else error}. All earlier ones are;"
            " make room, then decide again"
        )
        return _refused(request_id, 507, "disk", text)
    log(request_id, f"annotation {decision.position}: {decision.state} by {decision.by}")
    return AsciiJson(brief(decision))


def _refused(request_id: str, status: int, kind: str, text: str) -> Response:
    log(request_id, text)
    return AsciiJson({"error": text, "kind": kind, "request": request_id}, status)


def _enter(security: Security) -> Callable[[Request], Any]:
    async def enter(request: Request) -> Response:
        given = request.query_params.get("token", "")
        if not security.is_token(given):
            raise HTTPException(401, "the address is of an earlier start: open the one that `mal review` printed last")
        answer = RedirectResponse("/", 303)
        assert security.cookie is not None
        answer.set_cookie(security.cookie, given, httponly=True, samesite="lax")
        return answer

    return enter


async def _page(_: Request) -> Response:
    return _static(_PAGE)


async def _asset(request: Request) -> Response:
    return _static(request.path_params["name"])


def _static(name: str) -> Response:
    folder = resources.files("mal") / "assets" / "review"
    kind = _TYPES.get(name.rpartition(".")[2])
    if kind is None or name not in {file.name for file in folder.iterdir()}:
        raise HTTPException(404, "there is no such file")
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}
    return Response((folder / name).read_bytes(), media_type=kind, headers=headers)


def _picture(content: bytes) -> Response:
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": f"private, max-age={_KEPT_SECONDS}"})


def _parsed(kind: type[Any], body: bytes) -> Any:
    try:
        return kind.model_validate(json_object(body))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, problem["loc"])) or "body"
        raise HTTPException(400, f"{where}: {problem['msg']}") from None


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    if not text.isdecimal() or len(text) > 9:
        raise UserError(f"{name}={text!r} is no whole number")
    return int(text)
