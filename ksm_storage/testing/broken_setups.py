"""A machine whose credentials are set up wrongly, and what each error about that must say."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ..errors import KsmStorageError
from .traces import holders_of

# It stands in every broken set-up where a secret would: no error may repeat it.
SECRET = "c0rrect-horse-b4ttery/staple"  # noqa: S105  # opens nothing

# Nothing that a user's machine can cause is a bug of ours, and no class name tells what to mend.
_NO_HELP = (
    *("report it", "report this", "maintainers", "authors", "internal error", "Traceback"),
    *("KeyError", "TypeError", "ValueError", "AttributeError", "JSONDecodeError", "IndexError"),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """Hold the files and the variables of one process.

    Attributes:
        folder: Where its files lie.
        settings: The plugin's settings.
        server: The URL of a server that answers as the case wants.
    """

    folder: Path
    environment: pytest.MonkeyPatch
    server: str = ""
    settings: dict[str, object] = field(default_factory=dict)

    def file(self, name: str, content: str | bytes, *, mode: int = 0o600) -> str:
        """Write a file and return its path."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return str(path)

    def pipe(self) -> str:
        """Make a named pipe that nobody writes to, and return its path."""
        path = self.folder / "pipe"
        os.mkfifo(path)
        return str(path)

    def options(self, **values: object) -> Machine:
        """Set the plugin's settings."""
        self.settings.update(values)
        return self

    def variables(self, **values: str | None) -> Machine:
        """Set variables, and unset those that are None."""
        for name, value in values.items():
            if value is None:
                self.environment.delenv(name, raising=False)
            else:
                self.environment.setenv(name, value)
        return self

    def program(self, code: str) -> str:
        """Write a Python program and return the command that runs it."""
        return f"{sys.executable} -I -S {self.file('program.py', code)}"


@dataclass(frozen=True, slots=True)
class BrokenSetup:
    """Hold one way to break a machine, and what its error must be.

    Attributes:
        break_it: Breaks it.
        kind: The class of the error.
        names: A word that its message or its hint must have: what the user must mend.
    """

    break_it: Callable[[Machine], object]
    kind: type[KsmStorageError]
    names: str


def assert_finishes_the_job(
    error: BaseException, setup: BrokenSetup, *, also_secret: str = SECRET
) -> None:
    """Assert that an error has its class, names what to mend and repeats no secret."""
    assert isinstance(error, KsmStorageError)
    text = f"{error.message}\n{error.hint}"
    assert type(error) is setup.kind, f"{type(error).__name__}: {text}"
    assert setup.names in text, text
    assert error.hint, text
    assert not [word for word in _NO_HELP if word in text], text
    assert "{" not in text, text
    assert holders_of(error, also_secret.encode()) == []
