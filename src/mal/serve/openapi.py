"""The description of the server's routes as OpenAPI (`/openapi.json`), and a page of it (`/docs`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from mal import __version__
from mal.serve.app import AsciiJson

ERRORS = {
    400: "the request is not what the route takes",
    401: "the token is missing or wrong",
    403: "the name, the page or the place is not allowed",
    404: "nothing has this name",
    408: "the body did not arrive in time",
    409: "the server cannot do this, or not now",
    413: "the body is too large",
    422: "the picture cannot be used",
    503: "too many requests, or no answer in time; Retry-After says when to try again",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One route as the page tells it.

    Attributes:
        method, path: of the route.
        summary: one sentence.
        body: schema of the JSON that it takes; None takes none.
        answer: schema of the JSON that it gives; None says only that it is JSON.
        errors: statuses of :data:`ERRORS` that it may give besides 401 and 403.
    """

    method: str
    path: str
    summary: str
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    errors: tuple[int, ...] = ()


def openapi_routes(operations: Sequence[Operation]) -> list[Route]:
    """`/openapi.json` and `/docs` for some operations."""
    document = openapi_document(operations)
    page = _page(operations)

    async def schema(_: Request) -> Response:
        return AsciiJson(document)

    async def docs(_: Request) -> Response:
        policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    return [Route("/openapi.json", schema), Route("/docs", docs)]


def openapi_document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    models = {model for operation in operations for model in (operation.body, operation.answer) if model is not None}
    places = sorted(models, key=lambda model: model.__name__)
    _, schemas = models_json_schema(
        [(model, "validation") for model in places], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "mal serve", "version": __version__, "description": "Masks from boxes."},
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
        "security": [{"bearer": []}, {"basic": []}, {}],
    }


def _operation(operation: Operation) -> dict[str, Any]:
    answer = {} if operation.answer is None else {"schema": _reference(operation.answer)}
    found: dict[str, Any] = {
        "summary": operation.summary,
        "responses": {
            "200": {"description": "the answer", "content": {"application/json": answer}},
            **{str(status): {"description": ERRORS[status]} for status in sorted({401, 403, *operation.errors})},
        },
    }
    if operation.body is not None:
        content = {"application/json": {"schema": _reference(operation.body)}}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; }
code { font: .9em ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; }
td { border-bottom: 1px solid #8888; padding: .3rem .6rem; vertical-align: top; }
"""
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>mal serve</title>
<style>{style}</style>
<h1>mal serve {version}</h1>
<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>
<h2>Routes</h2>
<table>{routes}</table>
<h2>Errors</h2>
<p>Each is <code>{{"error": ..., "request": ID}}</code>; the log has the same ID.</p>
<table>{errors}</table>
</html>
"""


def _page(operations: Sequence[Operation]) -> str:
    routes = "".join(
        _row(f"{operation.method} {operation.path}", escape(operation.summary) + _fields(operation.body))
        for operation in operations
    )
    errors = "".join(_row(str(status), escape(text)) for status, text in ERRORS.items())
    return _PAGE.format(style=_STYLE, version=escape(__version__), routes=routes, errors=errors)


def _row(name: str, html: str) -> str:
    return f"<tr><td><code>{escape(name)}</code></td><td>{html}</td></tr>\n"


def _fields(body: type[BaseModel] | None) -> str:
    if body is None:
        return ""
    fields = body.model_fields.items()
    items = (f"<li><code>{escape(name)}</code>: {escape(field.description or '')}</li>" for name, field in fields)
    return f"<ul>{''.join(items)}</ul>"
