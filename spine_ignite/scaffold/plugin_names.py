"""What a new plugin is called: as a distribution, as a package and in a configuration."""

from __future__ import annotations

import builtins
import importlib.util
import keyword
import re
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

from spine_ignite.commands import COMMANDS
from spine_ignite.errors import UsageError
from spine_ignite.names import cut, printable
from spine_ignite.registry import KINDS, load_registry

PREFIX = "spine-ignite-"
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")  # of Python's packaging specifications
_IMPORTED = (  # by the templates' code, in words that a class may be called
    *("Affine", "Any", "Callable", "ClassVar", "CommandConformance", "Component", "DataError", "Engine", "Field"),
    *("LossConformance", "MetricConformance", "ModelConformance", "ModelOptions", "ModelSpec", "Options", "Paper"),
    *("Path", "ReaderConformance", "RegisterComponent", "RegisterModel", "Run", "Sequence", "Stored", "Tensor"),
    *("TrackerConformance", "TrainingEvents"),
)
_LONGEST = 40  # so that lines of code with the name stay short


@dataclass(frozen=True, slots=True)
class PluginNames:
    """The names of a plugin.

    Args:
        distribution: what pip installs, ``spine-ignite-mynet``, in the normalised form of Python's packaging.
        package: what Python imports, ``spine_ignite_mynet``.
        component: what a configuration or the command line says, ``mynet``.
        class_name: of the class in it, ``Mynet``.
    """

    distribution: str
    package: str
    component: str
    class_name: str


def name_plugin(name: str, kind: str) -> PluginNames:
    """Return the names that follow from that of a distribution, if all of them are free.

    Args:
        name: of the distribution; the component has it without ``spine-ignite-``.
        kind: as ``list-components`` has it.

    Raises:
        UsageError: it is no name of a distribution, cannot be that of a package, a component or a class, or is taken.
    """
    if not _DISTRIBUTION.fullmatch(name) or len(name) > _LONGEST:
        raise UsageError(
            f"'{cut(printable(name), 80)}' cannot name a distribution: use at most {_LONGEST} letters, digits and "
            "hyphens, a letter first, as in spine-ignite-mynet"
        )
    normalised = re.sub(r"[-_.]+", "-", name).lower()
    bare = normalised.removeprefix(PREFIX)
    if not bare[0].isalpha():
        raise UsageError(f"'{name}' cannot name a plugin: '{bare}' does not begin with a letter")
    component = bare.replace("-", "_") if kind == "model" else bare
    package = normalised.replace("-", "_")
    _require_package(name, package)
    _require_not_installed(normalised)
    _require_free(component, kind)
    class_name = "".join(part.capitalize() for part in bare.split("-"))
    _require_class(name, class_name)
    return PluginNames(normalised, package, component, class_name)


def _require_package(name: str, package: str) -> None:
    if keyword.iskeyword(package) or package in sys.stdlib_module_names:
        raise UsageError(f"'{name}' cannot name a plugin: '{package}' is a word or module of Python's; choose another")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is not None and spec.origin is not None:  # a folder that happens to lie here has no origin
        raise UsageError(f"'{name}' cannot name a plugin: there is a module '{package}' already, {spec.origin}")


def _require_class(name: str, class_name: str) -> None:
    taken = {class_name, f"{class_name}Options"} & {*_IMPORTED, *dir(builtins)}
    if taken:
        raise UsageError(
            f"'{name}' cannot name a plugin: its code uses '{min(taken)}', which its class would be called, for "
            "something else; choose another"
        )


def _require_not_installed(name: str) -> None:
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return
    raise UsageError(f"'{name}' is installed already, version {found.version}; choose another name")


def _require_free(component: str, kind: str) -> None:
    registry, words = load_registry(), KINDS[kind].words
    known = registry.models() if kind == "model" else registry.components(kind)
    for item in known:
        if component in (item.value.name, *getattr(item.value, "aliases", ())):
            raise UsageError(f"there is a {words} '{component}' already, of {item.distribution}; choose another name")
    if kind == "command" and component in COMMANDS:
        raise UsageError(f"'{component}' is a command of spine-ignite itself; choose another name")


def require_suffix(suffix: str) -> None:
    """Refuse the ending of files for a new reader if another reads such files.

    Raises:
        UsageError: one does, or it is no ending.
    """
    if not re.fullmatch(r"\.[a-z0-9]+(\.[a-z0-9]+)?", suffix):
        raise UsageError(f"'{cut(printable(suffix), 40)}' is no ending of files: write it as .npz, in lower case")
    for item in load_registry().components("reader"):
        if suffix in item.value.suffixes:
            raise UsageError(
                f"{suffix} files are read by '{item.value.name}' of {item.distribution}; choose another with --suffix"
            )
