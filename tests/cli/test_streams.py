"""Closed, full and abandoned standard streams, and file names that are no text."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

import ksm_storage
from tests.cli.command import COMMAND, key_file

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a shell closes the streams")

NOT_TEXT = os.fsdecode(b"n\xff.json")


@pytest.fixture
def sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "c.json"
    path.write_text('{"clientId": "CID", "hostname": "keepersecurity.eu"}')
    ksm_storage.protect(path, [key_file(tmp_path)])
    monkeypatch.chdir(tmp_path)
    return path


def shell(script: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of shell in which $KSM is the command."""
    return subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "KSM": COMMAND, **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )


def open_for_no_reader() -> IO[str]:
    """Return a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w")


UNBUFFERED = pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])


@UNBUFFERED
@pytest.mark.parametrize(
    "command", ["get c.json hostname", "inspect c.json", "check c.json c.json", "--help"]
)
def test_data_for_a_closed_stdout_is_an_error(sealed: Path, command: str, unbuffered: str) -> None:
    done = shell(f'"$KSM" {command} >&-', PYTHONUNBUFFERED=unbuffered)

    assert done.returncode == 7
    assert b"error: cannot write to standard output: Bad file descriptor\n" in done.stderr
    assert b"Exception" not in done.stderr


def test_a_closed_stdout_is_no_error_where_there_is_no_data(sealed: Path) -> None:
    done = shell('echo x | "$KSM" set c.json appKey >&-')

    assert (done.returncode, done.stderr) == (0, b"set appKey in c.json\n")


def test_unbuffered_output_is_whole(sealed: Path) -> None:
    # More than a pipe takes at once.
    ksm_storage.open_storage(sealed).set("appKey", "x" * 500_000)
    script = '"$KSM" get c.json appKey --reveal | { sleep 1; wc -c; }'

    assert shell(script, PYTHONUNBUFFERED="1").stdout.strip() == b"500001"


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="limits the size of a file")
@UNBUFFERED
def test_output_that_is_cut_short_is_an_error(sealed: Path, unbuffered: str) -> None:
    ksm_storage.open_storage(sealed).set("appKey", "x" * 9000)
    script = 'prlimit --fsize=4096 "$KSM" get c.json appKey --reveal > cut'

    done = shell(script, PYTHONUNBUFFERED=unbuffered)

    assert (done.returncode, Path("cut").stat().st_size) == (7, 4096)
    assert b"error: cannot write to standard output: File too large\n" in done.stderr


def test_a_closed_stderr_is_no_error(sealed: Path) -> None:
    done = shell('"$KSM" check c.json c.json 2>&-')

    assert (done.returncode, done.stdout.count(b"ok ")) == (0, 2)


def test_a_closed_stdin_is_an_empty_one(sealed: Path) -> None:
    done = shell('"$KSM" set c.json appKey <&-')

    assert done.returncode == 7
    assert done.stderr.startswith(b"error: no value given for 'appKey'")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize(
    "command",
    ["get c.json hostname", "check c.json c.json", "--help", "--version", "secret get --help"],
)
@UNBUFFERED
def test_a_full_stdout_is_an_error_that_says_so(
    sealed: Path, command: str, unbuffered: str
) -> None:
    done = shell(f'"$KSM" {command} > /dev/full', PYTHONUNBUFFERED=unbuffered)

    assert done.returncode == 7
    assert b"error: cannot write to standard output: No space left on device\n" in done.stderr


def test_a_reader_that_goes_away_is_told_by_the_exit_code_alone(sealed: Path) -> None:
    many = " ".join(["c.json"] * 200)

    done = shell(f'"$KSM" check {many} 2> said | read -r; echo "${{PIPESTATUS[0]}}"; cat said')

    assert done.stdout == b"141\n"


@pytest.mark.parametrize("arguments", [["--help"], ["check", "--help"], ["providers"]])
def test_a_reader_that_never_came_is_told_by_the_exit_code_alone(arguments: list[str]) -> None:
    with open_for_no_reader() as stdout:
        done = subprocess.run(
            [COMMAND, *arguments], stdout=stdout, stderr=subprocess.PIPE, timeout=60, check=False
        )

    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("stderr", ["/dev/full", "closed pipe"])
@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [(["set", "c.json", "hostname"], 0), (["check", "missing"], 7), (["nonsense"], 2)],
)
def test_what_cannot_be_said_changes_no_exit_code(
    sealed: Path, arguments: list[str], exit_code: int, stderr: str
) -> None:
    with open_for_no_reader() if stderr == "closed pipe" else open(stderr, "w") as nobody:
        done = subprocess.run(
            [COMMAND, *arguments], stderr=nobody, stdout=subprocess.PIPE, input=b"x", check=False
        )

    assert (done.returncode, done.stdout) == (exit_code, b"")


@pytest.mark.parametrize("command", ["get c.json hostname", "check →"])
def test_what_the_encoding_has_not_is_an_error_that_says_so(sealed: Path, command: str) -> None:
    ksm_storage.open_storage(sealed).set("hostname", "→")
    Path("→").write_bytes(sealed.read_bytes())

    done = shell(f'"$KSM" {command}', PYTHONIOENCODING="latin-1")

    assert (done.returncode, done.stdout) == (7, b"")
    assert done.stderr == (
        b"error: cannot write to standard output: characters missing from the encoding latin-1\n"
        b"hint: set PYTHONIOENCODING=utf-8, or use a UTF-8 locale\n"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each name is text")
@pytest.mark.parametrize("encoding", ["utf-8:strict", "utf-8:surrogateescape"])
def test_a_file_name_that_is_no_text_is_printed_with_an_escape(sealed: Path, encoding: str) -> None:
    sealed.rename(NOT_TEXT)

    done = shell('"$KSM" check n*', PYTHONIOENCODING=encoding)

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(rb"ok n\xff.json revision 1")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each name is text")
@pytest.mark.parametrize("command", ["check", "inspect"])
def test_json_with_a_file_name_that_is_no_text_is_valid(sealed: Path, command: str) -> None:
    sealed.rename(NOT_TEXT)

    done = shell(f'"$KSM" {command} n* --json')

    printed = json.loads(done.stdout.decode("ascii"))
    assert (printed[0] if command == "check" else printed)["path"] == NOT_TEXT


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each name is text")
def test_a_json_error_about_a_file_name_that_is_no_text_is_valid(sealed: Path) -> None:
    sealed.rename(NOT_TEXT)
    Path(NOT_TEXT).write_bytes(b"x")

    done = shell('"$KSM" check n* n* --json')

    told = json.loads(done.stdout.decode("ascii"))
    assert [each["path"] for each in told] == [NOT_TEXT, NOT_TEXT]
    assert done.stderr == b""
