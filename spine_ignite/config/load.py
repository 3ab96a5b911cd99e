"""Read, override, validate and write a run's configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from spine_ignite.config.sections import RunConfig
from spine_ignite.errors import UsageError, suggest
from spine_ignite.names import brief, cut

_MOST_ERRORS = 5  # that are told of one file
_MOST_TEXT = 800


def load_config(path: Path | None, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a YAML file (or the defaults), apply ``a.b=c`` overrides and validate.

    Raises:
        UsageError: the file, a key or a value is wrong; the message names the key and what would fit.
    """
    data = _read(path) if path is not None else {}
    for text in overrides:
        _apply(data, text)
    return parse_config(data, source=str(path) if path is not None else "configuration")


def parse_config(data: Any, source: str = "configuration") -> RunConfig:
    """Validate plain data; see :func:`load_config`."""
    if not isinstance(data, dict):
        raise UsageError(f"{source} must be a mapping of sections (model, data, train …), got {type(data).__name__}")
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        raise UsageError(f"{source}: {describe(error, RunConfig)}") from error


def dump_config(config: RunConfig) -> str:
    """Return the configuration as YAML that :func:`load_config` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


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
    message = cut(item["msg"].removeprefix("Value error, "), 300)
    value = "" if isinstance(item["input"], (dict, BaseModel)) else f" (got {brief(item['input'])})"
    return f"{key or 'value'}: {message[0].lower()}{message[1:]}{value}"


def _fields_at(model: type[BaseModel], location: Sequence[str]) -> list[str]:
    for part in location:
        field = model.model_fields.get(part)
        inner = field.annotation if field is not None else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"configuration file {path} does not exist") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"configuration file {path} cannot be read: {reason}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UsageError(f"configuration file {path} must hold a mapping of sections, got {type(data).__name__}")
    return data


def _apply(data: dict[str, Any], text: str) -> None:
    key, equals, raw = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UsageError(f"override '{text}' must look like section.key=value, for instance train.epochs=50")
    try:
        value = yaml.safe_load(raw)
    except yaml.YAMLError as error:
        raise UsageError(f"override '{text}': the value is not YAML: {' '.join(str(error).split())}") from error
    if isinstance(value, str):
        value = _number(value)
    for part in parts[:-1]:
        inner = data.setdefault(part, {})
        if inner is None:
            inner = data[part] = {}
        if not isinstance(inner, dict):
            raise UsageError(f"override '{text}': '{part}' is a value, not a section")
        data = inner
    data[parts[-1]] = value


def _number(text: str) -> Any:
    """YAML 1.1 takes ``1e-3`` for a string; a person who types it means a number."""
    try:
        return float(text)
    except ValueError:
        return text
