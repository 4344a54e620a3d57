"""What a program does with a file, each made ready before a fault strikes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ksm_storage
from ksm_storage.cli.main import main
from tests.key_service_faults.outcomes import UNWRAP, WRAP
from tests.key_service_faults.scene import Scene
from tests.unit.storage.fixtures import CONFIG


class CommandFailedError(Exception):
    """Hold the exit code of a command."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def create(scene: Scene) -> None:
    """Seal a new file."""
    ksm_storage.open_storage(scene.new, keys=scene.service.keys[:1]).save_storage(CONFIG)


def open_existing(scene: Scene) -> None:
    """Open a file as another start of the application does."""
    assert ksm_storage.open_storage(scene.sealed).read_storage() == CONFIG


def check(scene: Scene) -> None:
    """Check a file from the command line."""
    code = main(["check", str(scene.sealed)])
    if code:
        raise CommandFailedError(code)


def protect(scene: Scene) -> None:
    """Seal a plain file where it lies."""
    ksm_storage.protect(scene.plain, scene.service.keys[:1])


def add_key(scene: Scene) -> None:
    """Add the second key."""
    ksm_storage.rewrap(scene.sealed, add=scene.service.keys[1:])


def rekey(scene: Scene) -> None:
    """Make a new DEK."""
    ksm_storage.rekey(scene.sealed)


OPERATIONS: Mapping[str, Callable[[Scene], None]] = {
    "create": create,
    "open": open_existing,
    "check": check,
    "protect": protect,
    "rewrap --add-key": add_key,
    "rekey": rekey,
}

# Each call that an operation makes. The unwrap of one that wraps before is the proof that the
# new wrapped DEK opens.
CALLS_OF: tuple[tuple[str, str], ...] = (
    ("create", WRAP),
    ("create", UNWRAP),
    ("open", UNWRAP),
    ("check", UNWRAP),
    ("protect", WRAP),
    ("protect", UNWRAP),
    ("rewrap --add-key", UNWRAP),
    ("rewrap --add-key", WRAP),
    ("rekey", UNWRAP),
    ("rekey", WRAP),
)
