"""Files of one JSON object a line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spine_ignite.errors import RunError
from spine_ignite.files import explain, open_to_append


def append_row(path: Path, values: Mapping[str, Any]) -> None:
    """Write a line; NaN becomes null.

    Raises:
        RunError: the file cannot be written.
    """
    plain = {k: (None if isinstance(v, float) and not math.isfinite(v) else v) for k, v in values.items()}
    try:
        with open_to_append(path) as file:
            file.write(json.dumps(plain) + "\n")
    except OSError as error:
        raise RunError(explain(error, path)) from error
