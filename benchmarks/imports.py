"""Print the cost of importing ksm-storage and of finding its plugins."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks.interleaved import NOTE, measure, python
from benchmarks.tables import Table, publish

_OPENING = "from ksm_storage import open_storage"
IMPORTS = (
    python("floor: Python that does nothing", "floor", "pass"),
    python("import ksm_storage", "ours", "import ksm_storage"),
    python(_OPENING, "ours", _OPENING),
    python(
        "import ksm_storage.engine.SecretsManager",
        "ours",
        "from ksm_storage.engine import SecretsManager",
    ),
    python(
        "import the official SecretsManager",
        "official",
        "from keeper_secrets_manager_core import SecretsManager",
    ),
)
SCANS = (
    IMPORTS[0],
    python(
        "ksm_storage.keys.discovery.find_entry_points()",
        "ours",
        "from ksm_storage.keys.discovery import find_entry_points; assert find_entry_points()",
    ),
    python(
        "importlib.metadata.entry_points(group=...)",
        "other",
        "from importlib.metadata import entry_points; "
        "assert entry_points(group='ksm_storage.providers')",
    ),
)


def tables() -> Iterator[Table]:
    """Return the table of imports, and that of the search for plugins."""
    floor = IMPORTS[0].name
    yield Table("imports", "Imports", "ms", measure(IMPORTS), floor, NOTE)
    yield Table("imports", "Finding the plugins", "ms", measure(SCANS), floor, NOTE)


if __name__ == "__main__":
    publish(tables(), sys.argv[1:])
