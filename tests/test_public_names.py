from __future__ import annotations

import ast
import inspect
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pytest

import spine_ignite


def test_all_that_is_promised_is_there_listed_and_documented() -> None:
    names = [name for name in dir(spine_ignite) if not name.startswith("__")]
    assert set(names) == {name for name in spine_ignite.__all__ if not name.startswith("__")}
    shown = pydoc.render_doc(spine_ignite, renderer=pydoc.plaintext)
    for name in names:
        found = getattr(spine_ignite, name)
        assert re.search(rf"^    (class )?{name}\b", shown, re.MULTILINE), name
        if inspect.isfunction(found):
            assert inspect.getdoc(found)
            assert pydoc.render_doc(found, renderer=pydoc.plaintext)
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        _ = spine_ignite.trian


def test_checkers_of_types_see_the_names_that_are_there() -> None:
    tree = ast.parse(Path(spine_ignite.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {a.name: n.module for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert seen == spine_ignite._PUBLIC


def test_importing_it_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'matplotlib', 'nibabel', 'pydantic'}"
    code = f"import sys, spine_ignite; dir(spine_ignite); assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
