"""A rotation is killed before and after each save and each request, and one device works."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ksm_storage_local_vault.testing import LocalVault

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.engine.transport import HttpsTransport
from tests.attacks.claims import the_attacker
from tests.device.signing_service import SigningService
from tests.device.test_device_key import read
from tests.unit.storage import forked

Run = Callable[..., int]

# Two saves of a bind and its request, a read, and the swap, each with a moment before and after.
MAX_MOMENTS = 40


@the_attacker("kills the process while it rotates a device")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("in_service", [False, True], ids=["stored key", "key in a service"])
def test_a_rotation_that_is_killed_anywhere_leaves_one_device_that_works(
    in_service: bool,
    init: Run,
    path: Path,
    vault: LocalVault,
    signing: SigningService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = ["--device-key", signing.new_key("one")] if in_service else []
    init()
    begun = path.read_bytes()
    swapped = set()
    for moment in range(MAX_MOMENTS):
        path.write_bytes(begun)
        monkeypatch.setenv("KSM_TOKEN", vault.new_client().token)
        command = ["device", "rotate", str(path), "--ca-file", vault.ca_file, *options]
        old = ksm_storage.open_storage(path).get("clientId")

        process = forked.start(lambda at=moment, what=command: _killed(at, what))  # type: ignore[misc]
        status = forked.status_of(process)

        assert status in (0, -signal.SIGKILL)
        assert read(path, vault) > 0
        swapped.add(ksm_storage.open_storage(path).get("clientId") != old)
        # The same command begins, ends what was begun, or finds that it is done.
        assert main(command) == 0
        assert ksm_storage.open_storage(path).get("clientId") != old
        assert "nextDevice" not in ksm_storage.open_storage(path).read_storage()
        assert read(path, vault) > 0
        if status == 0:
            break
    else:
        pytest.fail("the rotation has more moments than were tried")
    assert moment > 10
    assert swapped == {False, True}


def _killed(moment: int, command: list[str]) -> None:
    """Run the command until so many saves and requests have begun or ended, and kill it there."""
    left = moment

    def at_a_moment() -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            at_a_moment()
            result = call(*arguments, **options)
            at_a_moment()
            return result

        return wrapped

    os.replace = watched(os.replace)
    HttpsTransport._exchange = watched(HttpsTransport._exchange)  # type: ignore[method-assign]
    assert main(command) == 0
