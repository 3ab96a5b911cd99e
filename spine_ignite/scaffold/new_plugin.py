"""Write a new plugin from the templates."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from spine_ignite.errors import UsageError
from spine_ignite.files import make_folder
from spine_ignite.names import printable
from spine_ignite.scaffold.plugin_names import PluginNames, name_plugin, require_suffix
from spine_ignite.version import __version__

KINDS = ("model", "loss", "metric", "reader", "tracker", "command")
TEMPLATES = Path(__file__).with_name("templates")
SUFFIX = ".npz"
_ENDING = ".jinja"
_PACKAGE = "__package__"  # stands for the package in the paths of templates


@dataclass(frozen=True, slots=True)
class NewPlugin:
    """A plugin that was written.

    Args:
        folder: where it lies.
        names: what it is called.
        files: its files, below the folder.
    """

    folder: Path
    names: PluginNames
    files: tuple[str, ...]


def new_plugin(
    name: str, kind: str, folder: Path | None = None, *, author: str = "", suffix: str = SUFFIX
) -> NewPlugin:
    """Write a plugin: a distribution that installs and passes its tests, and does something small of its kind.

    Args:
        name: of the distribution, as ``spine-ignite-mynet``.
        kind: one of :data:`KINDS`.
        folder: a new one; default: the distribution's name, here.
        author: for the licence and the metadata; default: the authors of it.
        suffix: of a reader, the ending of the files that it reads.

    Raises:
        UsageError: there is no such kind, or the name or the suffix cannot be used or is taken.
        RunError: the folder exists, or cannot be written.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no template for '{printable(kind)}'; kinds: {', '.join(KINDS)}")
    names = name_plugin(name, kind)
    if kind == "reader":
        require_suffix(suffix)
    folder = Path(names.distribution) if folder is None else folder
    files = _render(names, kind, author or f"The authors of {names.distribution}", suffix)
    with make_folder(folder) as part:
        for path, text in files.items():
            (part / path).parent.mkdir(parents=True, exist_ok=True)
            (part / path).write_text(text, encoding="utf-8")
    return NewPlugin(folder, names, tuple(sorted(files)))


def _render(names: PluginNames, kind: str, author: str, suffix: str) -> dict[str, str]:
    """Return the text of each file by its path below the plugin's folder."""
    environment = Environment(  # nosec B701 # Python and TOML, no pages; what is inserted is checked or quoted
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True
    )
    major, minor, *_ = __version__.split(".")
    given = asdict(names) | {
        "kind": kind,
        "author": printable(author),
        "suffix": suffix,
        "year": date.today().year,
        "requires": f">={major}.{minor},<{major}.{int(minor) + 1}",
    }
    files = {}
    for part in ("distribution", kind):
        for path in sorted((TEMPLATES / part).rglob(f"*{_ENDING}")):
            below = path.relative_to(TEMPLATES / part).as_posix()
            if not path.name.startswith("_usage"):
                place = below.removesuffix(_ENDING).replace(_PACKAGE, names.package)
                files[place] = environment.get_template(f"{part}/{below}").render(given)
    return files
