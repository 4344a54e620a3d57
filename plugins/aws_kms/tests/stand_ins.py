"""Other people's stand-ins for AWS, each in a process of its own, bound to loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

# In an environment of their own: see stand_ins.txt.
FOLDER = Path(__file__).parents[3] / ".venv-stand-ins" / "bin"
START_SECONDS = 60.0


def missing(name: str) -> bool:
    """Tell whether a stand-in is not installed."""
    return not (FOLDER / name).is_file()


@contextmanager
def ministack(home: Path) -> Iterator[str]:
    """Run ministack with authorization on; give its URL."""
    port = _free_port()
    environment = {
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "kms,iam,sts",
        "AWS_ACCESS_KEY_ID": "test",
    }
    with _running(["ministack"], home, environment, f"http://127.0.0.1:{port}") as url:
        yield url


@contextmanager
def microburst(home: Path, upstream: str) -> Iterator[str]:
    """Run microburst in front of a service; give its URL."""
    port = _free_port()
    command = ["microburst", "--host", "127.0.0.1", "--port", str(port), "--upstream", upstream]
    with _running(command, home, {}, f"http://127.0.0.1:{port}", path="/_microburst/health") as url:
        yield url


@contextmanager
def _running(
    command: list[str], home: Path, environment: Mapping[str, str], url: str, *, path: str = "/"
) -> Iterator[str]:
    process = subprocess.Popen(
        [str(FOLDER / command[0]), *command[1:]],
        env={"PATH": os.environ["PATH"], "HOME": str(home), **environment},
        cwd=home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_it_answers(process, url + path)
        yield url
    finally:
        # They take seconds to end politely, and keep nothing that is worth it.
        process.kill()
        process.wait(timeout=10)


def _wait_until_it_answers(process: subprocess.Popen[bytes], url: str) -> None:
    ends_at = time.monotonic() + START_SECONDS
    while time.monotonic() < ends_at:
        if process.poll() is not None:
            raise RuntimeError(f"a stand-in ended with {process.returncode}")
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)  # it says nothing when it is ready
    raise RuntimeError("a stand-in did not start")


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])
