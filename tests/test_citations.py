"""What the project's texts name of the project's files is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "configs", "docs", "plugins", "spine_ignite", "tests")
# In a folder of the project; or a page or a test by its name alone. Configurations are YAML: official repositories have
# others in a folder of that name.
CITED = re.compile(
    r"(?<![\w/.\"-])((?:benchmarks|docs|plugins|spine_ignite|tests)/[\w/.-]*\.(?:py|md|yaml)"
    r"|configs/[\w/.-]*\.yaml|\w+\.md|test_\w+\.py)\b"
)
# What the program writes, what an example invents. What code puts together from quoted parts is not looked for.
OTHERS = {"comparison.md", "test_mynet.py", "tests/test_mynet.py", "test_acme.py", "configs/models/NAME.yaml"}


def test_files_that_are_cited_exist() -> None:
    texts = [
        path for folder in FOLDERS for ending in ("py", "md", "yaml") for path in ROOT.glob(f"{folder}/**/*.{ending}")
    ]
    texts += ROOT.glob("*.md")
    texts = [path for path in texts if ".venv" not in path.parts and "build" not in path.parts]
    names = {path.name for path in texts}
    assert len(texts) > 300
    missing = {
        f"{text.relative_to(ROOT)}: {cited}"
        for text in texts
        for cited in CITED.findall(text.read_text(encoding="utf-8"))
        if cited not in OTHERS
        and not any((folder / cited).exists() for folder in (ROOT, text.parent))
        and not ("/" not in cited and cited.startswith("test_") and cited in names)
    }
    assert not missing
