"""Tests cannot leave this machine, nor see the developer's environment."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]


def test_loopback_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address, timeout=5) as client:
            assert client.getpeername() == address


def test_a_name_that_never_resolves_needs_no_resolver() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("kms.invalid", 443)


@pytest.mark.parametrize("host", ["192.0.2.1", "kms.example.com"])
def test_a_test_that_reaches_elsewhere_fails_even_if_it_hides_the_error(
    pytester: pytest.Pytester, host: str
) -> None:
    root = Path(__file__).parent.parent
    pytester.makeconftest((root / "tests/conftest.py").read_text())
    pytester.makepyfile(
        f"""
        import socket
        def test_reaching():
            try:
                socket.create_connection(({host!r}, 443), timeout=1)
            except OSError:
                pass
        """
    )

    result = pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", f"--rootdir={pytester.path}", f"-opythonpath={root}"
    )

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([f"*the test tried to reach {host}*"])


def test_the_environment_names_nothing_of_the_developers(private_home: Path) -> None:
    named = {name for name in os.environ if name.startswith(("AWS_", "KSM_", "SSL_", "HTTP"))}

    assert Path.home() == private_home
    assert named == {"AWS_EC2_METADATA_DISABLED", "KSM_STORAGE_OS_KEYRING_BACKEND"}
