"""Give every test an empty home, no credentials, and no network beyond loopback."""

from __future__ import annotations

import functools
import ipaddress
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.private_environment import private_environment
from tests.secret_service_daemon import KeyringDaemon, bus, missing_programs

# Files whose tests are long and share nothing: each test goes to the worker that is free.
SPREAD_FILES = frozenset(
    {
        "tests/cli/test_scripts.py",
        "tests/key_service_faults/test_no_answer.py",
        "tests/test_demo.py",
        "tests/test_docs.py",
        "tests/unit/scan/test_detection.py",
    }
)

_attempts: list[str] = []


class NetworkForbiddenError(OSError):
    """Report that a test tried to leave this machine."""


@pytest.fixture(scope="session")
def outside_environment() -> Mapping[str, str]:
    """Return the environment that the tests were started in, for running pip and nothing else."""
    return _OUTSIDE


@pytest.fixture(autouse=True, scope="session")
def private_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Empty the environment for the session, so that its servers start without credentials too."""
    base = tmp_path_factory.mktemp("homes")
    with pytest.MonkeyPatch.context() as patch:
        _make_private(patch, base / "session")
        yield base


@pytest.fixture(autouse=True, scope="session")
def parsed_private_keys() -> Iterator[None]:
    """Parse each private key once, as the fixture of the emulators does, which may be missing."""
    from cryptography.hazmat.primitives import serialization

    with pytest.MonkeyPatch.context() as patch:
        once = functools.cache(serialization.load_pem_private_key)
        patch.setattr(serialization, "load_pem_private_key", once)
        yield


@pytest.fixture(autouse=True)
def private_home(private_session: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test a home of its own and an environment that names nothing of the developer's."""
    home = Path(tempfile.mkdtemp(dir=private_session))
    _make_private(monkeypatch, home)
    return home


@pytest.fixture(autouse=True)
def loopback_only() -> Iterator[None]:
    """Fail the test if this process tried to reach another machine, even if it hid the error."""
    _attempts.clear()
    yield
    if _attempts:
        pytest.fail(f"the test tried to reach {', '.join(sorted(set(_attempts)))}")


@pytest.fixture
def private_bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the test a D-Bus session of its own on which nothing is offered."""
    if missing_programs():
        pytest.skip(f"not installed: {', '.join(missing_programs())}")
    # A socket's path has at most 107 bytes; tmp_path can be longer.
    with tempfile.TemporaryDirectory(prefix="ksm-") as folder, bus(Path(folder)) as address:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        yield address


@pytest.fixture
def secret_service(
    private_bus: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KeyringDaemon]:
    """Give the test an empty, unlocked Secret Service of its own."""
    daemon = KeyringDaemon(tmp_path_factory.mktemp("keyring"), private_bus)
    yield daemon
    daemon.close()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    """With ``--dist loadfile``, give a worker whole files, but for the ones that are spread."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # has no types

    scheduling = LoadFileScheduling(config, log)
    scheduling._split_scope = unit_of_work
    return scheduling  # type: ignore[no-any-return]  # it is xdist's


def unit_of_work(nodeid: str) -> str:
    """Return what of a test's name the tests have in common that one worker runs."""
    file = nodeid.partition("::")[0]
    return nodeid if file in SPREAD_FILES else file


def pytest_configure() -> None:
    """Watch the sockets; an audit hook sees the ones that libraries open too."""
    # It cannot be removed again: in a process that configures pytest twice it would be doubled.
    if not getattr(sys, "_ksm_storage_network_watched", False):
        sys._ksm_storage_network_watched = True  # type: ignore[attr-defined]  # a mark, once
        sys.addaudithook(_watch)


def _make_private(patch: pytest.MonkeyPatch, home: Path) -> None:
    wanted = private_environment(home)
    for name in set(os.environ) - set(wanted):
        patch.delenv(name)
    for name, value in wanted.items():
        patch.setenv(name, value)


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.getaddrinfo":
        _refuse_lookup(arguments[0])
    elif event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        if isinstance(address, tuple) and address and isinstance(address[0], str):
            _refuse_lookup(address[0])


def _refuse_lookup(host: object) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if not isinstance(name, str) or _is_here(name):
        return
    if name.endswith(".invalid"):
        # RFC 6761: such a name never resolves, so a test may rely on it without a resolver.
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    _attempts.append(name)
    raise NetworkForbiddenError(f"tests must not reach {name!r}")


def _is_here(name: str) -> bool:
    if name in ("", "localhost", "localhost.", "0.0.0.0", "::", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return name.endswith(".localhost")


_OUTSIDE = dict(os.environ)
