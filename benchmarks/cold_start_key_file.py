"""A key file beside bare Python, and what finding the plugins of an environment costs."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.cold_start_programs import ours, sealed
from benchmarks.interleaved import Program, measure, print_table

BARE = Program(
    "bare Python + AESGCM",
    """
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
import os
key = os.urandom(32)
AESGCM(key).decrypt(bytes(12), AESGCM(key).encrypt(bytes(12), b"value", None), None)
""",
)
SCANS = (
    Program("bare Python", "pass"),
    Program(
        "importlib.metadata.entry_points(group=...)",
        "from importlib.metadata import entry_points; "
        "assert entry_points(group='ksm_storage.providers')",
    ),
    Program(
        "ksm_storage.entry_points.find_entry_points()",
        "from ksm_storage.entry_points import find_entry_points; assert find_entry_points()",
    ),
)


def show(folder: Path) -> None:
    """Measure and print the table of a key file."""
    key = folder / "app.key"
    descriptor = os.open(key, os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, os.urandom(32))
    os.close(descriptor)
    path = sealed(folder / "key-file.json", f"key-file://{key}")
    rows = measure([BARE, ours(path, "key-file")])
    print_table("Key file: first value", rows, beside=BARE.name)


def show_scans() -> None:
    """Measure and print what a look at the entry points costs."""
    print_table("Finding the plugins of this environment", measure(SCANS), beside="bare Python")
