"""``python -m spine_ignite`` is ``spine-ignite``."""

from spine_ignite.cli import main

main()
