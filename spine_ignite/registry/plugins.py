"""Find plugins through entry points and keep what they register; a broken plugin never breaks the rest."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy
from pydantic import ValidationError

from spine_ignite import core_plugin, hookspecs
from spine_ignite.commands import COMMAND_ENTRY_POINTS
from spine_ignite.errors import RunError, SpineIgniteError, UsageError
from spine_ignite.registry.chosen import Chosen, choose
from spine_ignite.registry.claims import BrokenPlugin, Distribution, Registered, Shelf
from spine_ignite.registry.kinds import KINDS, MODEL, check
from spine_ignite.registry.origins import remembered
from spine_ignite.spec import CONTRACT, Component, ModelOptions, ModelSpec, require_contract
from spine_ignite.version import __version__

if TYPE_CHECKING:
    from ignite.engine import Engine


class Registry:
    """Everything that the installed plugins register.

    Attributes:
        core: the distribution of the core itself.
        broken: plugins that failed to load, with the reason.
        plugin_manager: pluggy's manager, for the hooks that are called later.
    """

    def __init__(self) -> None:
        self.plugin_manager = pluggy.PluginManager("spine_ignite")
        self.plugin_manager.add_hookspecs(hookspecs)
        self.core = Distribution("spine-ignite", __version__)
        self.broken: list[BrokenPlugin] = []
        self._owners: dict[str, Distribution] = {}
        self._shelves: dict[str, Shelf[Any]] = {kind: Shelf(about.words, self.core) for kind, about in KINDS.items()}

    def models(self) -> list[Registered[ModelSpec]]:
        """Return every registered architecture once, by name."""
        return sorted(self._shelves[MODEL].all(), key=lambda item: (item.value.name, item.distribution.name))

    def components(self, kind: str) -> list[Registered[Component]]:
        """Return every component of a kind, in the order in which they were registered, the core's own first."""
        return self._shelves[kind].all()

    @property
    def distributions(self) -> dict[str, Distribution]:
        """The distributions whose plugins are loaded, the core's too, by name."""
        return {owner.name: owner for owner in self._owners.values()}

    @property
    def clashes(self) -> list[str]:
        """Names that more than one distribution claims, each as a sentence."""
        return [sentence for shelf in self._shelves.values() for sentence in shelf.clashes()]

    def find(self, name: str) -> Registered[ModelSpec]:
        """Return the architecture of this name or alias; ``dist:name`` chooses between distributions.

        Raises:
            UsageError: there is none (the message says why, if a plugin of that name is broken), or two claim it.
        """
        try:
            return self._find(MODEL, name)
        except UsageError as error:
            if name not in self._shelves[MODEL].entries and ":" not in name:
                raise UsageError(f"{error} (further ones: pip install spine-ignite-<name>)") from error
            raise

    def component(self, kind: str, name: str) -> Registered[Component]:
        """Return the component of this kind and name; ``dist:name`` chooses between distributions.

        Raises:
            UsageError: there is none, or two claim it.
            RunError: a run had it from a distribution that is gone.
        """
        return self._find(kind, name)

    def choose(self, kind: str, name: str, options: Mapping[str, Any] | None = None) -> Chosen:
        """Import the component of this kind and name, and check its options.

        Raises:
            UsageError: there is none, two claim it, or an option is unknown or cannot be.
            RunError: it cannot be imported.
        """
        return choose(KINDS[kind].words, self.component(kind, name), options or {})

    def _find(self, kind: str, name: str) -> Registered[Any]:
        origin = remembered(kind, name)
        try:
            return self._shelves[kind].find(name if origin is None else f"{origin.name}:{name.rpartition(':')[2]}")
        except UsageError as error:
            if origin is not None:
                raise self._gone(kind, name, origin) from error
            for plugin in self.broken:
                if name in (plugin.entry_point, plugin.distribution.name.removeprefix("spine-ignite-")):
                    raise UsageError(
                        f"{KINDS[kind].words} '{name}' cannot be used: "
                        f"its plugin {plugin.distribution} failed to load: {plugin.error}"
                    ) from error
            if self.broken and name.rpartition(":")[2] not in self._shelves[kind].entries:
                listed = ", ".join(str(plugin.distribution) for plugin in self.broken)
                raise UsageError(f"{error}; it may be of what failed to load (list-components): {listed}") from error
            raise

    def _gone(self, kind: str, name: str, origin: Distribution) -> RunError:
        """Say what a run was made with and is not there any more."""
        broken = next((plugin for plugin in self.broken if plugin.distribution.name == origin.name), None)
        why = f"which cannot be used: {broken.error}" if broken else "which is not installed, or has it no more"
        return RunError(f"{KINDS[kind].words} '{name}' was that of {origin}, {why}; install that version again")

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

    def plugin_of(self, error: BaseException) -> str | None:
        """Name the distribution of the plugin whose code raised or passed on an error; None: no plugin's did."""
        packages: dict[str, str] = {}
        for name, plugin in self.plugin_manager.list_name_plugin():
            module = plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__module__
            packages[module.partition(".")[0]] = str(self._owners.get(name, name.partition(":")[0]))
        packages.pop(__name__.partition(".")[0], None)
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        names = [str(frame.f_globals.get("__name__")).partition(".")[0] for frame in frames]
        return next((packages[name] for name in reversed(names) if name in packages), None)

    def load(self, entry_point: EntryPoint, distribution: Distribution, commands: bool = True) -> None:
        """Import one plugin and take what it registers; any failure is recorded, none is raised.

        Args:
            entry_point: names the plugin's module.
            distribution: whose it is.
            commands: whether it may bring commands.
        """
        try:
            plugin = entry_point.load()
            self._add(f"{distribution.name}:{entry_point.name}", plugin, distribution, commands)
        except (Exception, SystemExit) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            self.broken.append(BrokenPlugin(entry_point.name, distribution, reason))

    def _add(self, name: str, plugin: Any, distribution: Distribution, commands: bool = True) -> None:
        found: list[tuple[str, Any]] = []

        def taker(kind: str) -> Callable[[Any], None]:
            def register(item: Any) -> None:
                check(kind, item)
                if any(item.name == other.name for known, other in found if known == kind):
                    raise ValueError(f"{KINDS[kind].words} '{item.name}' is registered twice")
                found.append((kind, item))

            return register

        # Before anything else: a plugin for another contract may have hooks that are not known here.
        require_contract(getattr(plugin, "CONTRACT", CONTRACT))
        manager = self.plugin_manager
        manager.register(plugin, name=name)
        try:
            manager.check_pending()  # a misspelt hook would else never be called
            implemented = {caller.name for caller in manager.get_hookcallers(plugin) or ()}
            if "register_commands" in implemented and not commands:
                raise ValueError(f"register_commands needs an entry point in the group '{COMMAND_ENTRY_POINTS}' too")
            others = [other for _, other in manager.list_name_plugin() if other is not plugin]
            for kind, about in KINDS.items():
                if about.hook in implemented:
                    manager.subset_hook_caller(about.hook, others)(register=taker(kind))
        except (Exception, SystemExit):
            manager.unregister(plugin)
            raise
        self._owners[name] = distribution
        # Only a plugin whose every hook succeeded adds anything.
        for kind, item in found:
            registered = Registered(item, distribution)
            for alias in (item.name, *getattr(item, "aliases", ())):
                self._shelves[kind].add(alias, registered)


def build_registry(points: Iterable[EntryPoint]) -> Registry:
    """Build a registry of the core and the given entry points, each loaded on its own."""
    registry = Registry()
    registry._add("spine-ignite:core", core_plugin, registry.core)
    # A module may be listed twice: in both groups, and by an editable install.
    groups: dict[tuple[Distribution, str], dict[str, EntryPoint]] = {}
    for point in sorted(points, key=lambda p: (p.name, Distribution.of(p).name)):
        groups.setdefault((Distribution.of(point), point.value), {})[point.group] = point
    for (distribution, _), found in groups.items():
        registry.load(next(iter(found.values())), distribution, COMMAND_ENTRY_POINTS in found)
    return registry


@cache
def load_registry() -> Registry:
    """Return the registry of the installed plugins; they are loaded once in a process."""
    groups = (hookspecs.ENTRY_POINT_GROUP, COMMAND_ENTRY_POINTS)
    return build_registry(point for group in groups for point in entry_points(group=group))


@cache
def load_commands() -> Registry:
    """Return a registry of those plugins alone that bring commands."""
    return build_registry(entry_points(group=COMMAND_ENTRY_POINTS))
