"""Make the programs whose start is measured, and say why one cannot be."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import ksm_storage
from benchmarks.interleaved import Program

CONFIG = {"hostname": "keepersecurity.eu", "clientId": "x" * 88, "privateKey": "y" * 184}

_OURS = "import ksm_storage; assert ksm_storage.open_storage({path!r}).get('hostname')"


class NotMeasuredError(Exception):
    """Say in one line why a service, or the official class, is left out."""


def ours(path: Path, provider: str) -> Program:
    """Return the program that opens a sealed file and reads one value."""
    return Program(f"ksm-storage, {provider}", _OURS.format(path=str(path)))


def sealed(path: Path, key: str) -> Path:
    """Write the configuration, sealed under a key; settings come from the environment."""
    path.write_text(json.dumps(CONFIG), encoding="utf-8")
    ksm_storage.protect(path, [key])
    return path


def official(name: str, code: str, *, package: str, path: Path | None = None) -> list[Program]:
    """Return the program of an official class, or say that its package is not there.

    With a path, the program checks that the class has sealed that file: its first run, which
    warms the caches, seals it, and one that stayed plain would cost no call.
    """
    if find_spec(package) is None:
        print(f"\nofficial {name}: not measured: not installed: {package}")
        return []
    if path is not None:
        path.write_text(json.dumps(CONFIG), encoding="utf-8")
        code += f"assert open({str(path)!r}, 'rb').read(2) == b'\\xff\\xff'\n"
    return [Program(f"official {name}", code)]


def require(*modules: str) -> None:
    """Check that packages are there, without importing them.

    Raises:
        NotMeasuredError: One is not installed.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise NotMeasuredError(f"not installed: {', '.join(missing)}")


@contextmanager
def variables(wanted: Mapping[str, str]) -> Iterator[None]:
    """Set variables for this process and the programs it starts, while the context lasts."""
    before = dict(os.environ)
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
