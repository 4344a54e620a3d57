"""A Secret Service of the test's own: gnome-keyring on a private bus, in a private home."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.private_environment import private_environment

PASSWORD = "of-this-test-only"

# Without service folders the bus starts nothing by itself, least of all the developer's keyring.
_BUS_CONFIGURATION = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


def missing_programs() -> list[str]:
    """Return which of the programs needed here are not installed."""
    needed = ("dbus-daemon", "gnome-keyring-daemon")
    return [program for program in needed if shutil.which(program) is None]


@contextlib.contextmanager
def bus(folder: Path) -> Iterator[str]:
    """Run a private session bus without any service, and return its address."""
    configuration = folder / "bus.conf"
    configuration.write_text(_BUS_CONFIGURATION.format(socket=folder / "bus"))
    process = subprocess.Popen(
        ["dbus-daemon", "--nofork", "--print-address=1", f"--config-file={configuration}"],
        env=private_environment(folder / "bus-home"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        # The address is printed once the bus listens: no waiting, no guessing.
        yield process.stdout.readline().strip()
    finally:
        _end(process)


class KeyringDaemon:
    """Run gnome-keyring with an unlocked, empty login collection, or without any."""

    def __init__(self, folder: Path, address: str, *, unlock: bool = True) -> None:
        environment = private_environment(folder / "keyring-home")
        environment["DBUS_SESSION_BUS_ADDRESS"] = address
        mode = "--unlock" if unlock else "--start"
        self._process = subprocess.Popen(
            ["gnome-keyring-daemon", "--foreground", mode, "--components=secrets"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(PASSWORD.encode())
        self._process.stdin.close()
        # It prints its control folder when it is up.
        self._process.stdout.readline()

    def lock(self) -> None:
        """Lock the default collection."""
        import secretstorage

        with contextlib.closing(secretstorage.dbus_init()) as connection:
            secretstorage.get_collection_by_alias(connection, "default").lock()

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Let the service take calls and answer none."""
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End the service."""
        _end(self._process)


def _end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=5)
    if process.stdout is not None:
        process.stdout.close()
