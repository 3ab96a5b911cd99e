"""What pydantic finds wrong, in words: wherever options, configurations and received files are checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from spine_ignite.errors import suggest
from spine_ignite.names import brief, cut

_MOST_ERRORS = 5  # that are told of one file
_MOST_TEXT = 800


def describe(error: ValidationError, model: type[BaseModel]) -> str:
    """Say in words what pydantic found: each key by its dotted name, with the closest known one; never at length."""
    found = error.errors(include_url=False)
    said = [_describe_one(item, model) for item in found[:_MOST_ERRORS]]
    if len(found) > _MOST_ERRORS:
        said.append(f"and {len(found) - _MOST_ERRORS} more")
    return cut("; ".join(said), _MOST_TEXT)


def _describe_one(item: Any, model: type[BaseModel]) -> str:
    location = [cut(str(part), 60) for part in item["loc"]]
    key = ".".join(location)
    if item["type"] == "extra_forbidden":
        known = _fields_at(model, location[:-1])
        listed = ", ".join(known)
        return f"unknown key '{key}'.{suggest(location[-1], known)} Known here: {listed}"
    if item["type"] == "missing":
        return f"{key} is missing"
    if item["type"] == "tuple_type":
        return f"{key or 'value'}: must be a list, as in [a, b] (got {brief(item['input'])})"
    if item["type"] == "path_type":
        return f"{key or 'value'}: must be a path (got {brief(item['input'])})"
    message = cut(item["msg"].removeprefix("Value error, "), 300)
    value = "" if isinstance(item["input"], (dict, BaseModel)) else f" (got {brief(item['input'])})"
    return f"{key or 'value'}: {message[0].lower()}{message[1:]}{value}"


def _fields_at(model: type[BaseModel], location: Sequence[str]) -> list[str]:
    for part in location:
        if part.isdecimal():  # a place in a list
            continue
        field = model.model_fields.get(part)
        inner = field.annotation if field is not None else None
        if get_origin(inner) is tuple:
            inner = get_args(inner)[0]
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)
