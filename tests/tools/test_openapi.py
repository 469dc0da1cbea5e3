"""The operations of an OpenAPI document as tools, against a real HTTP server."""

from __future__ import annotations

import json

import pytest

from tests.tools.web_server import serving
from xtune.errors import UsageError
from xtune.tools.arguments import read_arguments
from xtune.tools.base import ToolError
from xtune.tools.openapi import OpenAPI

DOCUMENT = {
    "openapi": "3.0.3",
    "info": {"title": "Pets", "version": "1"},
    "paths": {
        "/pets/{id}": {
            "parameters": [{"$ref": "#/components/parameters/id"}],
            "get": {
                "operationId": "getPet",
                "summary": "Find one pet.",
                "parameters": [
                    {"name": "fields", "in": "query", "schema": {"type": "array",
                     "items": {"type": "string"}}},
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                ],
            },
            "delete": {"description": "Remove a pet."},
        },
        "/pets": {
            "post": {
                "operationId": "add pet!",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {
                        "$ref": "#/components/schemas/Pet"}}},
                },
            }
        },
        "/tags": {
            "put": {
                "operationId": "setTags",
                "requestBody": {"required": True, "content": {"application/json": {
                    "schema": {"type": "array", "items": {"type": "string"}}}}},
            }
        },
    },
    "components": {
        "parameters": {"id": {"name": "id", "in": "path", "required": True,
                              "description": "its\n number", "schema": {"type": "integer"}}},
        "schemas": {"Pet": {
            "type": "object",
            "properties": {"name": {"type": "string"},
                           "parent": {"$ref": "#/components/schemas/Pet"}},
            "required": ["name"],
        }},
    },
}  # fmt: skip


def answer(asked):
    if asked.path == "/openapi.json":
        return 200, {}, DOCUMENT
    if asked.path.endswith("/404"):
        return 404, {}, "no such pet"
    return 200, {}, {"method": asked.method, "path": asked.path}


@pytest.fixture(scope="module")
def service():
    with serving(answer) as (url, asked):
        yield url, asked


def tools_of(url, **options):
    tools = OpenAPI(document=f"{url}/openapi.json", **options).tools()
    return {tool.spec.name: tool for tool in tools}


def call(tool, arguments):
    return json.loads(tool.function(**read_arguments(tool.spec, arguments)))


def test_each_operation_is_a_tool_with_its_schema(service):
    tools = tools_of(service[0])
    assert list(tools) == ["getPet", "delete_pets_id", "add_pet", "setTags"]
    spec = tools["getPet"].spec
    assert spec.description == "Find one pet."
    assert spec.parameters == {
        "type": "object",
        "properties": {
            "id": {"type": "integer", "description": "its number"},
            "fields": {"type": "array", "items": {"type": "string"}},
            "X-Trace": {"type": "string"},
        },
        "required": ["id"],
    }
    assert tools["add_pet"].spec.parameters["required"] == ["name"]
    assert tools["setTags"].spec.parameters["required"] == ["body"]


def test_arguments_go_where_they_belong(service, monkeypatch):
    url, asked = service
    monkeypatch.setenv("PET_KEY", "secret")
    tools = tools_of(url, headers={"Authorization": "Bearer $PET_KEY"})
    arguments = {"id": "7", "fields": ["a", "b c"], "X-Trace": "x\r\nEvil: 1"}
    assert call(tools["getPet"], arguments) == {"method": "GET", "path": "/pets/7"}
    assert asked[-1].query == {"fields": ["a", "b c"]}
    assert asked[-1].headers["x-trace"] == "xEvil: 1"
    assert "evil" not in asked[-1].headers
    assert asked[-1].headers["authorization"] == "Bearer secret"
    call(tools["add_pet"], {"name": "Rex", "parent": {"name": "Max"}})
    assert asked[-1].body == {"name": "Rex", "parent": {"name": "Max"}}
    call(tools["setTags"], {"body": ["a"]})
    assert asked[-1].body == ["a"]
    assert call(tools["delete_pets_id"], {"id": 3})["method"] == "DELETE"
    with pytest.raises(ToolError, match="answered 404: no such pet"):
        tools["getPet"].function(id=404)


def test_an_argument_cannot_name_another_path(service):
    tools = tools_of(service[0])
    assert json.loads(tools["getPet"].function(id="../tags"))["path"] == "/pets/..%2Ftags"
    with pytest.raises(ToolError, match="cannot be"):
        tools["getPet"].function(id="..")


def test_only_some_operations_and_another_server(service, tmp_path):
    url, _ = service
    path = tmp_path / "pets.json"
    path.write_text(json.dumps(DOCUMENT))
    (tool,) = OpenAPI(document=str(path), operations=["getPet"], server=f"{url}/v2").tools()
    assert json.loads(tool.function(id=1))["path"] == "/v2/pets/1"
    yaml = tmp_path / "pets.yaml"
    yaml.write_text("openapi: 3.1.0\npaths:\n  /a:\n    get: {operationId: a}\n")
    (tool,) = OpenAPI(document=str(yaml), server=url).tools()
    assert tool.spec.name == "a"


def test_what_is_wrong_is_said(service, tmp_path):
    url, _ = service
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "old.json").write_text('{"swagger": "2.0"}')
    (tmp_path / "nowhere.json").write_text('{"openapi": "3.0.0", "paths": {}}')
    for options, said in [
        ({"document": f"{tmp_path}/none.json"}, "cannot be read"),
        ({"document": f"{tmp_path}/bad.json"}, "cannot be read"),
        ({"document": f"{tmp_path}/old.json"}, "is no OpenAPI 3 document"),
        ({"document": f"{tmp_path}/nowhere.json"}, "names no server"),
        ({"document": f"{url}/openapi.json", "operations": ["getpet"]}, "did you mean 'getPet'"),
    ]:
        with pytest.raises(UsageError, match=said):
            OpenAPI(**options)
