"""Run the installed command as a shell would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMAND = str(Path(sys.executable).with_name("ksm-storage"))


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command and return what it printed."""
    return subprocess.run(
        [COMMAND, *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


def key_file(folder: Path) -> str:
    """Write a key file and return its URI."""
    path = folder / "app.key"
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(descriptor, os.urandom(32))
        os.close(descriptor)
    return f"key-file://{path}"
