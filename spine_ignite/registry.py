"""Find plugins through entry points and keep what they register; a broken plugin never breaks the rest."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pluggy
from pydantic import ValidationError

from spine_ignite import core_plugin, hookspecs
from spine_ignite.errors import RunError, SpineIgniteError, UsageError, suggest
from spine_ignite.spec import ModelOptions, ModelSpec

if TYPE_CHECKING:
    from ignite.engine import Engine

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Distribution:
    """The installed distribution that a plugin comes from."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin that could not be used, and why."""

    entry_point: str
    distribution: Distribution
    error: str


@dataclass(frozen=True, slots=True)
class Registered(Generic[T]):
    """Something registered, and by which distribution."""

    value: T
    distribution: Distribution


@dataclass(frozen=True, slots=True)
class LossEntry:
    """A loss: where its factory lives, and one line about it."""

    target: str
    summary: str


class _Shelf(Generic[T]):
    """Registered things of one kind by name; a name claimed twice belongs to nobody until a distribution is named."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.entries: dict[str, list[Registered[T]]] = {}

    def add(self, name: str, item: Registered[T]) -> None:
        claims = self.entries.setdefault(name, [])
        if all(claim.distribution != item.distribution for claim in claims):
            claims.append(item)

    def find(self, name: str) -> Registered[T]:
        distribution, _, bare = name.rpartition(":")
        claims = [c for c in self.entries.get(bare, []) if not distribution or c.distribution.name == distribution]
        if len(claims) == 1:
            return claims[0]
        if claims:
            owners = " and ".join(str(claim.distribution) for claim in claims)
            choice = f"'{claims[0].distribution.name}:{bare}'"
            raise UsageError(
                f"{self.kind} '{bare}' is registered by both {owners}; uninstall one, or choose with {choice}"
            )
        listed = ", ".join(sorted(self.entries)) or "none"
        raise UsageError(f"there is no {self.kind} '{name}'.{suggest(bare, self.entries)} Installed: {listed}")

    def clashes(self) -> list[str]:
        return [
            f"{self.kind} '{name}' is registered by " + " and ".join(str(claim.distribution) for claim in claims)
            for name, claims in sorted(self.entries.items())
            if len(claims) > 1
        ]


class Registry:
    """Everything that the installed plugins register.

    Attributes:
        broken: plugins that failed to load, with the reason.
        plugin_manager: pluggy's manager, for the hooks that are called later.
    """

    def __init__(self) -> None:
        self.plugin_manager = pluggy.PluginManager("spine_ignite")
        self.plugin_manager.add_hookspecs(hookspecs)
        self.broken: list[BrokenPlugin] = []
        self._owners: dict[str, Distribution] = {}
        self._models: _Shelf[ModelSpec] = _Shelf("model")
        self._losses: _Shelf[LossEntry] = _Shelf("loss")
        self._schemes: _Shelf[Path] = _Shelf("label scheme")

    def models(self) -> list[Registered[ModelSpec]]:
        """Return every registered architecture once, by name."""
        unique = {
            (item.value.name, item.distribution.name): item
            for claims in self._models.entries.values()
            for item in claims
        }
        return [unique[key] for key in sorted(unique)]

    @property
    def clashes(self) -> list[str]:
        """Names that more than one distribution claims, each as a sentence."""
        return [*self._models.clashes(), *self._losses.clashes(), *self._schemes.clashes()]

    def losses(self) -> dict[str, str]:
        """Return the names of the losses with one line about each."""
        return {name: claims[0].value.summary for name, claims in sorted(self._losses.entries.items())}

    def find(self, name: str) -> Registered[ModelSpec]:
        """Return the architecture of this name or alias; ``dist:name`` chooses between distributions.

        Raises:
            UsageError: there is none (the message says why, if a plugin of that name is broken), or two claim it.
        """
        try:
            return self._models.find(name)
        except UsageError as error:
            for plugin in self.broken:
                if name in (plugin.entry_point, plugin.distribution.name.removeprefix("spine-ignite-")):
                    raise UsageError(
                        f"model '{name}' cannot be used: "
                        f"its plugin {plugin.distribution} failed to load: {plugin.error}"
                    ) from error
            if name not in self._models.entries and ":" not in name:
                raise UsageError(f"{error} (further ones: pip install spine-ignite-<name>)") from error
            raise

    def resolve_options(self, name: str, options: dict[str, Any]) -> ModelOptions:
        """Validate an architecture's options.

        Raises:
            UsageError: an option is unknown or out of range.
        """
        spec = self.find(name).value
        from spine_ignite.validation_errors import describe

        try:
            return spec.options.model_validate(options)
        except ValidationError as error:
            raise UsageError(f"options of model '{spec.name}': {describe(error, spec.options)}") from error

    def loss_factory(self, name: str) -> Callable[..., Any]:
        """Import and return the factory of a loss.

        Raises:
            UsageError: no such loss.
            RunError: its plugin cannot be imported.
        """
        item = self._losses.find(name)
        return import_target(item.value.target, f"loss '{name}'", item.distribution)

    def label_scheme_path(self, name: str) -> Path:
        """Return the YAML file of a label scheme.

        Raises:
            UsageError: no such scheme.
        """
        return self._schemes.find(name).value

    def attach_handlers(self, trainer: Engine, evaluator: Engine, run: Any) -> None:
        """Let every plugin attach handlers of its own to a run.

        Raises:
            RunError: a plugin fails; the message names its distribution.
        """
        manager = self.plugin_manager
        for implementation in reversed(manager.hook.attach_handlers.get_hookimpls()):
            others = [plugin for plugin in manager.get_plugins() if plugin is not implementation.plugin]
            hook = manager.subset_hook_caller("attach_handlers", others)
            name = implementation.plugin_name
            owner = self._owners.get(name, name.partition(":")[0])
            try:
                hook(trainer=trainer, evaluator=evaluator, run=run)
            except SpineIgniteError as error:
                raise RunError(f"the plugin {owner} refuses the run: {error}") from error
            except (Exception, SystemExit) as error:
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                raise RunError(
                    f"the plugin {owner} failed in attach_handlers: {reason}; nothing was started or deleted: update "
                    "or uninstall it"
                ) from error

    def load(self, entry_point: EntryPoint, distribution: Distribution) -> None:
        """Import one plugin and take what it registers; any failure is recorded, none is raised."""
        try:
            plugin = entry_point.load()
            self._add(f"{distribution.name}:{entry_point.name}", plugin, distribution)
        except (Exception, SystemExit) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            self.broken.append(BrokenPlugin(entry_point.name, distribution, reason))

    def _add(self, name: str, plugin: Any, distribution: Distribution) -> None:
        models: list[ModelSpec] = []
        losses: list[tuple[str, LossEntry]] = []
        schemes: list[tuple[str, Path]] = []
        manager = self.plugin_manager
        manager.register(plugin, name=name)
        try:
            manager.check_pending()  # a misspelt hook would else never be called
            hooks = manager.subset_hook_caller
            others = [other for _, other in manager.list_name_plugin() if other is not plugin]
            hooks("register_models", others)(register=lambda spec: models.append(_checked(spec)))
            hooks("register_losses", others)(
                register=lambda name, target, summary: losses.append((name, LossEntry(target, summary)))
            )
            hooks("register_label_schemes", others)(register=lambda name, path: schemes.append((name, Path(path))))
        except (Exception, SystemExit):
            manager.unregister(plugin)
            raise
        self._owners[name] = distribution
        # Only a plugin whose every hook succeeded adds anything.
        for spec in models:
            for alias in (spec.name, *spec.aliases):
                self._models.add(alias, Registered(spec, distribution))
        for loss, entry in losses:
            self._losses.add(loss, Registered(entry, distribution))
        for scheme, path in schemes:
            self._schemes.add(scheme, Registered(path, distribution))


def _checked(spec: Any) -> ModelSpec:
    if not isinstance(spec, ModelSpec):
        raise TypeError(f"register_models must be given a ModelSpec, got {type(spec).__name__}")
    return spec


def build_registry(points: Iterable[EntryPoint]) -> Registry:
    """Build a registry of the core and the given entry points, each loaded on its own."""
    from spine_ignite.version import __version__

    registry = Registry()
    registry._add("spine-ignite:core", core_plugin, Distribution("spine-ignite", __version__))
    seen: set[tuple[str, str, str]] = set()
    for point in sorted(points, key=lambda p: (p.name, _distribution(p).name)):
        distribution = _distribution(point)
        # An editable install can be listed twice, by the same distribution.
        key = (distribution.name, point.name, point.value)
        if key not in seen:
            seen.add(key)
            registry.load(point, distribution)
    return registry


@cache
def load_registry() -> Registry:
    """Return the registry of the installed plugins; they are loaded once in a process."""
    return build_registry(entry_points(group=hookspecs.ENTRY_POINT_GROUP))


def import_target(target: str, what: str, distribution: Distribution) -> Callable[..., Any]:
    """Import ``"package.module:name"``.

    Raises:
        RunError: that fails; the message names ``what`` and the distribution.
    """
    module, _, name = target.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise RunError(f"{what} of {distribution} cannot be imported from '{target}': {error}; reinstall it") from error
    return found


def _distribution(point: EntryPoint) -> Distribution:
    dist = point.dist
    return Distribution(dist.name, dist.version) if dist is not None else Distribution("unknown", "0")
