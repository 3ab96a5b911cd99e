"""The installed plugins: finds them, and resolves the names that configurations use to what they registered.

Uses the plugin contract alone. Everything by name goes through here, and the core's own comes the same way.
"""

from spine_ignite.registry.chosen import Chosen, import_target
from spine_ignite.registry.claims import BrokenPlugin, Distribution, Registered
from spine_ignite.registry.kinds import KINDS
from spine_ignite.registry.plugins import Registry, build_registry, load_commands, load_registry

__all__ = [
    "KINDS",
    "BrokenPlugin",
    "Chosen",
    "Distribution",
    "Registered",
    "Registry",
    "build_registry",
    "import_target",
    "load_commands",
    "load_registry",
]
