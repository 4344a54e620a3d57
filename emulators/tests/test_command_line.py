"""The command `ksm-storage-emulators`, as a process."""

import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import boto3
import pytest

from ksm_storage_emulators.registry import SERVICES, create_service

COMMAND = [sys.executable, "-m", "ksm_storage_emulators"]


@pytest.fixture
def process() -> Iterator["subprocess.Popen[str]"]:
    started = subprocess.Popen(  # noqa: S603
        [*COMMAND, "aws-kms", "--https"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    yield started
    started.kill()
    started.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_line_tells_all_and_a_signal_ends_cleanly(
    process: "subprocess.Popen[str]", number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert process.stdout is not None
    name, url, *variables = shlex.split(process.stdout.readline())
    for variable in variables:
        monkeypatch.setenv(*variable.split("=", 1))

    kms = boto3.Session().client("kms")
    described = kms.describe_key(KeyId="alias/demo")["KeyMetadata"]

    assert (name, url.startswith("https://127.0.0.1:")) == ("aws-kms", True)
    assert described["KeyState"] == "Enabled"
    process.send_signal(number)
    assert process.wait(5) == 0


@pytest.mark.parametrize("name", SERVICES)
def test_every_registered_service_can_be_created(name: str) -> None:
    assert create_service(name).name == name


def test_a_taken_port_is_one_line_on_standard_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(  # noqa: S603
            [*COMMAND, "aws-kms", "--port", port], capture_output=True, text=True, timeout=10
        )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: cannot start:")


def test_help_imports_no_service() -> None:
    script = (
        "import sys; from ksm_storage_emulators.cli import main; main(['--help'], "
        "standalone_mode=False); print([m for m in sys.modules if 'aws_kms' in m])"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=10
    )

    assert done.stdout.splitlines()[-1] == "[]"
