from __future__ import annotations

import re

import pytest

from mal.serve.app import app
from mal.serve.masks_route import MasksAnswer, MasksRequest
from mal.serve.openapi import Operation, openapi_document, openapi_routes
from mal.serve.security import Security

OPERATIONS = [
    Operation("POST", "/v1/masks", "Masks & <more>.", MasksRequest, MasksAnswer, (400, 503)),
    Operation("GET", "/v1/model", "The model."),
]


def references(value):
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_every_schema_that_the_document_names_is_in_it():
    document = openapi_document(OPERATIONS)
    assert document["openapi"] == "3.1.0"
    names = {name.removeprefix("#/components/schemas/") for name in references(document)}
    assert {"MasksRequest", "MasksAnswer", "PictureField"} <= names <= document["components"]["schemas"].keys()
    assert {"401", "403", "400", "503"} < document["paths"]["/v1/masks"]["post"]["responses"].keys()


@pytest.fixture(scope="module")
def client():
    from starlette.testclient import TestClient

    application = app(openapi_routes(OPERATIONS), Security.for_address("127.0.0.1", None))
    return TestClient(application, base_url="http://127.0.0.1")


def test_the_document_is_served(client):
    assert client.get("/openapi.json").json() == openapi_document(OPERATIONS)


def test_the_page_fetches_nothing_and_escapes_texts(client):
    answer = client.get("/docs")
    assert "Masks &amp; &lt;more&gt;." in answer.text
    assert not re.search(r"(src|href)=\"?(https?:)?//|@import|<script", answer.text)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
