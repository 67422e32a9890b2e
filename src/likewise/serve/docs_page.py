"""The page at ``/docs``: every address with its fields and an example to paste, from the OpenAPI document.

It is drawn on the server, as plain HTML: no script, nothing from another site, so it also works without a network.
"""

from __future__ import annotations

import json
import shlex
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

__all__ = ["docs_page"]


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("likewise.serve"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("docs.html.j2")


def docs_page(schema: dict[str, Any], address: str) -> str:
    """The page as HTML.

    Args:
        schema: OpenAPI document of the app.
        address: of the server, for the examples.
    """
    operations = [
        _operation(schema, path, method, operation, address)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    return _template().render(title=schema["info"]["title"], version=schema["info"]["version"], operations=operations)


def _operation(
    schema: dict[str, Any], path: str, method: str, operation: dict[str, Any], address: str
) -> dict[str, Any]:
    parameters = [
        {"name": it["name"], "where": it["in"], "required": it.get("required", False), **_described(schema, it)}
        for it in operation.get("parameters", ())
    ]
    for body in operation.get("requestBody", {}).get("content", {}).values():
        shape = _resolved(schema, body["schema"])
        required = shape.get("required", ())
        parameters += [
            {
                "name": name,
                "where": "form",
                "required": name in required,
                **_described(schema, {"schema": field, **field}),
            }
            for name, field in shape.get("properties", {}).items()
        ]
    content = operation["responses"].get("200", {}).get("content", {})
    answer = _resolved(schema, content.get("application/json", {}).get("schema", {}))
    fields = [
        {"name": name, **_described(schema, {"schema": field, **field})}
        for name, field in answer.get("properties", {}).items()
    ]
    return {
        "anchor": f"{method}-{path.strip('/').partition('/')[0]}",
        "method": method.upper(),
        "path": path,
        "summary": operation.get("summary", ""),
        "description": operation.get("description", "").split("\n\n"),
        "parameters": parameters,
        "fields": fields,
        "shapes": {
            name: list(schema["components"]["schemas"][name]["properties"])
            for name in (field["type"].removeprefix("list of ") for field in fields)
            if name in schema["components"]["schemas"]
        },
        "example": _example(path, method, parameters, address),
    }


def _resolved(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """What a reference points to."""
    if "$ref" not in part:
        return part
    found: dict[str, Any] = schema
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def _described(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, str]:
    shape = _resolved(schema, part.get("schema", {}))
    default = shape.get("default")
    return {
        "type": _type(schema, shape),
        "default": "" if default is None else json.dumps(default),
        "description": part.get("description") or shape.get("description", ""),
    }


def _type(schema: dict[str, Any], shape: dict[str, Any]) -> str:
    if "$ref" in shape:
        return str(shape["$ref"].rsplit("/", 1)[1])
    if "anyOf" in shape:
        return " or ".join(_type(schema, one) for one in shape["anyOf"] if one.get("type") != "null")
    if shape.get("type") == "array":
        return f"list of {_type(schema, shape.get('items', {}))}"
    if shape.get("format") == "binary" or "contentMediaType" in shape:
        return "file"
    return str(shape.get("type", "any"))


def _example(path: str, method: str, parameters: list[dict[str, Any]], address: str) -> str:
    """A line for the shell that asks for it."""
    values = {"text": "a red shoe", "texts": "a red shoe", "names": "shoe", "id": "train/00007"}
    words = ["curl"]
    if method == "post":
        shown = [it for it in parameters if it["type"].endswith("file")] or parameters
        first = shown[0]["name"]
        words += ["-F", f"{first}=@photo.jpg"] if shown[0]["type"].endswith("file") else []
        words += [
            part
            for it in parameters
            if it["required"] and it["name"] != first
            for part in ("-F", f"{it['name']}={values.get(it['name'], '…')}")
        ]
    words.append(address + path.replace("{id}", values["id"]))
    return shlex.join(words)
