"""What makes a page safe and whole: templates that escape, and a policy under which it loads and runs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined

from spine_ignite.names import in_page


def templates(package: str) -> Environment:
    """Return the templates of a package; what they are given is escaped, and made safe to show."""
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=in_page,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["megabytes"] = lambda value: f"{value:.1f} MB"
    return environment


@cache
def package_text(package: str, name: str) -> str:
    """Return the text of a file of a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def policy(scripts: Sequence[str], style: str) -> str:
    """Return the content security policy: nothing is loaded from anywhere, and only what we wrote into the page runs.

    Args:
        scripts: the texts of the page's scripts.
        style: the text of its style sheet.
    """
    return (
        f"default-src 'none'; script-src {' '.join(map(_source, scripts))}; style-src {_source(style)}; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
