"""The reference of all configuration keys, written from the schema itself, so that it cannot drift.

``python -m spine_ignite.config.reference > docs/configuration.md`` renews the page; a test compares.
"""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from spine_ignite.config.section import Section
from spine_ignite.config.sections import Named, RunConfig

_HEAD = """\
# Configuration

A run is defined by one YAML file (`--config`), overridden key by key on the command line (`--set train.epochs=50`).
Keys that are not listed here are refused. Besides `name`, the section `model` takes the options of the architecture
(`spine-ignite show-model NAME`). A run directory's `config.yaml` holds everything, resolved.

With `train.minutes` the learning rate follows the clock, so two such runs differ with the machine's load; with
`train.epochs` a run is repeatable.
"""


def reference() -> str:
    """Return the page as Markdown."""
    parts = [_HEAD]
    plain = {name: field for name, field in RunConfig.model_fields.items() if _section(field) is None}
    parts.append(_table("Top level", "", plain))
    for name, field in RunConfig.model_fields.items():
        section = _section(field)
        if section is not None:
            parts += _describe(name, section)
    return "\n".join(parts)


def _describe(name: str, section: type[BaseModel]) -> list[str]:
    plain = {key: field for key, field in section.model_fields.items() if _section(field) is None}
    parts = [_table(f"{name}: {_first_line(section)}", f"{name}.", plain)] if plain else []
    for key, field in section.model_fields.items():
        inner = _section(field)
        if inner is not None:
            parts += _describe(f"{name}.{key}", inner)
        elif (listed := _section_of_list(field)) is not None:
            parts += _describe(f"{name}.{key}.0", listed)
    return parts


def _table(title: str, prefix: str, fields: dict[str, FieldInfo]) -> str:
    rows = [f"| `{prefix}{key}` | {_default(field)} | {field.description or ''} |" for key, field in fields.items()]
    return "\n".join([f"## {title}", "", "| key | default | meaning |", "| --- | --- | --- |", *rows, ""])


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True) if field.default_factory is None else None
    if value in (None, "") or value is PydanticUndefined:
        return "none"
    if isinstance(value, tuple):
        return f"`[{', '.join(str(item) for item in value)}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _section_of_list(field: FieldInfo) -> type[BaseModel] | None:
    first, *_ = get_args(field.annotation) or (None,)
    return first if isinstance(first, type) and issubclass(first, Section) and first is not Named else None


def _first_line(section: type[BaseModel]) -> str:
    text = (section.__doc__ or "").strip().splitlines()[0].rstrip(".")
    return text[0].lower() + text[1:]


if __name__ == "__main__":
    print(reference(), end="")
