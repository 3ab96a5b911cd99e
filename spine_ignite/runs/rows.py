"""Files of one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spine_ignite.errors import RunError
from spine_ignite.files import explain, open_to_append
from spine_ignite.plain_json import plain_data


def append_row(path: Path, values: Mapping[str, Any]) -> None:
    """Write a line; NaN becomes null.

    Raises:
        RunError: the file cannot be written.
    """
    try:
        with open_to_append(path) as file:
            file.write(json.dumps(plain_data(values)) + "\n")
    except OSError as error:
        raise RunError(explain(error, path)) from error
