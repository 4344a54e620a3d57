"""What stands in the way on a machine, as ``doctor`` tells it in a process of its own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.envelope import sealing
from ksm_storage.testing.distributions import write_distribution
from tests.cli.command import COMMAND
from tests.doctor.conftest import Patient

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes, locks and labels of POSIX")

# Python runs it before anything else: each lock fails as on NFS without its lock server.
NO_LOCKS = """
import errno, fcntl, os

def flock(*_):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

fcntl.flock = flock
"""


def doctor(home: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    """Run the command with these variables alone; return its code and all that it said."""
    done = subprocess.run(
        [COMMAND, "doctor", *arguments],
        env={"HOME": str(home), "PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def dead_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def labelled(path: Path) -> bool:
    """Label a file as SELinux does, if this user and file system can."""
    try:
        os.setxattr(path, "security.selinux", b"system_u:object_r:etc_t:s0\0")
    except (AttributeError, OSError):
        return False
    return True


def test_each_obstacle_is_named_and_none_hides_another(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dead_port: int
) -> None:
    ahead = sealing.current_time() + timedelta(hours=3)
    monkeypatch.setattr(sealing, "current_time", lambda: ahead)
    ksm_storage.open_storage(patient.path).set("hostname", "saved.where.the.clock.is.right")
    patient.path.chmod(0o640)
    has_label = labelled(patient.path)
    site = tmp_path / "site"
    write_distribution(site, "click", version="8.2.2")
    (site / "sitecustomize.py").write_text(NO_LOCKS)

    code, said = doctor(
        tmp_path,
        str(patient.path),
        PYTHONPATH=str(site),
        HTTPS_PROXY=f"http://user:CANARY@127.0.0.1:{dead_port}",
        REQUESTS_CA_BUNDLE="/nowhere/ca.pem",
    )

    for obstacle in (
        "the clock of this machine is at least 2 hours behind",
        "accessible to other users (mode 0640)",
        "the file system has no locks (No locks available)",
        "click 8.2.2 was withdrawn by its maintainers",
        "pip install --upgrade click",
        f"the proxy in $HTTPS_PROXY takes no connections at 127.0.0.1:{dead_port}",
        "$REQUESTS_CA_BUNDLE names a file that does not exist: /nowhere/ca.pem",
    ):
        assert obstacle in said
    assert ("system_u:object_r:etc_t:s0" in said) == has_label
    assert "CANARY" not in said
    # They are warnings: the file opens all the same.
    assert code == 0


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, ["cannot resolve the hostname of the server", "DNS on this host"]),
        ({"HTTPS_PROXY": "http://proxy.invalid:3128"}, ["$HTTPS_PROXY has no address"]),
        ({"SSL_CERT_FILE": "/nowhere"}, ["$SSL_CERT_FILE names a file that does not exist"]),
    ],
    ids=["resolver", "proxy", "CA"],
)
def test_a_service_that_cannot_be_reached_is_told_with_its_cause(
    variables: Mapping[str, str], told: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("ksm_storage_vault_transit")
    server = {"VAULT_ADDR": "https://vault.invalid:8200", "VAULT_TOKEN": "CANARY"}

    code, said = doctor(tmp_path, "--examine", "vault-transit://transit/a", **server, **variables)

    assert code != 0
    assert [each for each in told if each not in said] == []
    assert "CANARY" not in said
    assert re.search(r"^  hint ", said, re.MULTILINE)
