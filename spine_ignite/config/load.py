"""Read, override, validate and write a run's configuration."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from pydantic import ValidationError

from spine_ignite.config.sections import ModelConfig, RunConfig
from spine_ignite.errors import SpineIgniteError, UsageError
from spine_ignite.names import cut
from spine_ignite.plain_yaml import YamlError, parse_yaml, read_yaml
from spine_ignite.validation_errors import describe

Source: TypeAlias = "str | PathLike[str] | Mapping[str, Any] | RunConfig | None"
Overrides: TypeAlias = "str | Sequence[str] | Mapping[str, Any]"


def load_config(
    source: Source = None,
    overrides: Overrides = (),
    *,
    given: Mapping[str, Any] | None = None,
    echo: Callable[[str], None] | None = None,
) -> RunConfig:
    """Read a configuration (or the defaults), set what options gave, apply ``a.b=c`` overrides and validate.

    Where these name another architecture than a file does, the options of the file's architecture are left out.

    Args:
        source: a YAML file; a mapping of sections as in such a file, whose outermost keys may be dotted
            (``{"model": {"name": "unet"}, "train.epochs": 2}``); a configuration; None: the defaults.
        overrides: one ``a.b=c``, or several, the values as YAML; or a mapping of dotted keys to values.
        given: values by dotted key, taken as they are; those that are None count as not given.
        echo: takes a line about options that are left out.

    A relative path of a split or a table of patients is one beside the YAML file, or of anything else one in the
    working directory; both become absolute.

    Raises:
        UsageError: the file, a key or a value is wrong; the message names the key and what would fit.
    """
    if isinstance(source, RunConfig) and not overrides and not given:
        return source
    path = Path(source) if isinstance(source, (str, PathLike)) else None
    if path is not None:
        data = _read(path)
        _find_files(data, path.absolute().parent)
    else:
        data = _sections(source)
    changes = [(key, value) for key, value in (given or {}).items() if value is not None]
    changes += _changes(overrides)
    if isinstance(data.get("model"), dict):
        _leave_out_other_options(data, changes, echo)
    for key, value in changes:
        _set(data, key, value)
    _find_files(data, Path.cwd())
    return parse_config(data, source=str(path) if path is not None else "configuration")


def _sections(source: Source) -> dict[str, Any]:
    """Return a caller's configuration as nested plain data of its own."""
    if source is None:
        return {}
    if isinstance(source, RunConfig):
        return source.model_dump()
    if not isinstance(source, Mapping):
        raise UsageError(
            f"a configuration is a YAML file, a dict of sections (model, data, train …) or a RunConfig, got "
            f"{type(source).__name__}"
        )
    data: dict[str, Any] = {}
    for key, value in source.items():
        _merge(data, str(key), value)
    return data


def _merge(data: dict[str, Any], key: str, value: Any) -> None:
    """Set a value by its dotted key; a section is merged into what is there of it."""
    if not isinstance(value, Mapping) or not value:
        _set(data, key, copy.deepcopy(value))
    for name, inner in value.items() if isinstance(value, Mapping) else ():
        section = data
        for part in key.split("."):
            section = _section(section, part, key)
        if isinstance(inner, Mapping) and isinstance(section.get(name), dict):
            _merge(section, str(name), inner)
        else:
            section[str(name)] = copy.deepcopy(inner)


def _changes(overrides: Overrides) -> list[tuple[str, Any]]:
    if isinstance(overrides, Mapping):
        return [(str(key), value) for key, value in overrides.items()]
    return [_parse_override(text) for text in ([overrides] if isinstance(overrides, str) else overrides)]


def _leave_out_other_options(
    data: dict[str, Any], changes: Sequence[tuple[str, Any]], echo: Callable[[str], None] | None
) -> None:
    """Take the model's options out of what a file says, if the changes to it name another architecture."""
    changed = copy.deepcopy(data)
    for key, value in changes:
        _set(changed, key, value)
    former, wanted = _model_name(data), _model_name(changed)
    options = [str(name) for name in data["model"] if name != "name"]
    if not options or former == wanted or _same_architecture(former, wanted):
        return
    data["model"] = {}
    if echo is not None:
        echo(f"Note: the file's options of {former} ({', '.join(options)}) are left out, since the model is {wanted}")


def _model_name(data: Mapping[str, Any]) -> str:
    model = data.get("model")
    name = model.get("name") if isinstance(model, dict) else None
    return ModelConfig().name if name is None else str(name)


def _same_architecture(one: str, other: str) -> bool:
    """Whether two names are those of one architecture, which may have several."""
    from spine_ignite.registry import load_registry  # it uses this module

    try:
        return load_registry().find(one) == load_registry().find(other)
    except SpineIgniteError:
        return False  # who builds the network says what is wrong


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


def _read(path: Path) -> dict[str, Any]:
    try:
        data = read_yaml(path)
    except FileNotFoundError:
        raise UsageError(f"configuration file {path} does not exist") from None
    except (OSError, YamlError) as error:
        raise UsageError(f"configuration file {path} cannot be read: {error}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UsageError(f"configuration file {path} must hold a mapping of sections, got {type(data).__name__}")
    return data


def _find_files(data: dict[str, Any], folder: Path) -> None:
    section = data.get("data")
    if not isinstance(section, dict):
        return
    if isinstance(section.get("split"), (str, Path)):
        section["split"] = str(folder / section["split"])
    also = section.get("also")
    for dataset in (section, *(also if isinstance(also, (list, tuple)) else ())):
        patients = dataset.get("patients") if isinstance(dataset, dict) else None
        if isinstance(patients, str) and patients.lower().endswith(".csv"):
            dataset["patients"] = str(folder / patients)


def _parse_override(text: str) -> tuple[str, Any]:
    key, equals, raw = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise UsageError(f"override '{cut(text, 200)}' must look like section.key=value, for instance train.epochs=50")
    try:
        value = parse_yaml(raw)
    except YamlError as error:
        raise UsageError(f"override '{cut(text, 200)}': the value is not YAML: {error}") from error
    return key, _number(value) if isinstance(value, str) else value


def _set(data: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for part in sections:
        data = _section(data, part, key)
    data[last] = value


def _section(data: dict[str, Any], part: str, key: str) -> dict[str, Any]:
    inner = data.setdefault(part, {})
    if inner is None:
        inner = data[part] = {}
    if not isinstance(inner, dict):
        raise UsageError(f"override '{key}': '{part}' is a value, not a section")
    return inner


def _number(text: str) -> Any:
    """YAML 1.1 takes ``1e-3`` for a string; a person who types it means a number."""
    try:
        return float(text)
    except ValueError:
        return text
