"""A run over many files is stopped by Ctrl-C in good order, and goes on when repeated."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import click
import pytest

import ksm_storage
from ksm_storage.cli.many_results import Results
from ksm_storage.cli.process import INTERRUPTED
from ksm_storage.envelope.codec import decode, looks_like_envelope
from tests.cli.command import key_file, run

COUNT = 60
# The signal comes when one of the processes has done five files.
STOPPED = textwrap.dedent(
    """
    import os, signal, sys, tempfile, threading, time
    import ksm_storage.cli.{module} as command
    from ksm_storage.cli.main import main

    # Files of a local key are processed in copies of this process.
    process, once = os.getpid(), os.path.join(tempfile.mkdtemp(), "sent")
    real, lock, done = command.{name}_file, threading.Lock(), []

    def counted(path, *arguments, **options):
        result = real(path, *arguments, **options)
        with lock:
            done.append(path)
            if len(done) == 5:
                try:
                    os.mkdir(once)
                    os.kill(process, signal.{signal})
                except FileExistsError:
                    pass
        if len(done) >= 5:
            # On a busy machine the command is not told at once.
            time.sleep(0.05)
        return result

    command.{name}_file = counted
    sys.exit(main(sys.argv[1:]))
    """
)


def plain_files(folder: Path) -> list[Path]:
    paths = [folder / f"{number:02}.json" for number in range(COUNT)]
    for path in paths:
        path.write_text('{"clientId": "CID", "appKey": "APP"}')
    return paths


def sealed(paths: list[Path]) -> int:
    return sum(looks_like_envelope(path.read_bytes()) for path in paths)


def interrupted(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-c"),
            STOPPED.format(module="protect", name="protect", signal=name),
            *("protect", f"{folder}/*.json", "--key", key_file(folder), "--parallel", "2"),
        ],
        capture_output=True,
        text=True,
        timeout=50,
    )


def test_ctrl_c_finishes_what_runs_and_the_same_command_does_the_rest(tmp_path: Path) -> None:
    paths = plain_files(tmp_path)

    first = interrupted(tmp_path, "SIGINT")
    after_first = sealed(paths)
    second = run("protect", f"{tmp_path}/*.json", "--key", key_file(tmp_path))

    assert first.returncode == 130, first.stderr
    assert "error: interrupted" in first.stderr
    assert 5 <= after_first < COUNT
    assert re.search(rf"^not started +{COUNT - after_first}$", first.stderr, re.MULTILINE)
    assert second.returncode == 0
    assert re.search(rf"^unchanged +{after_first}$", second.stderr, re.MULTILINE)
    assert sealed(paths) == COUNT
    assert sorted(os.listdir(tmp_path)) == sorted(["app.key", *(path.name for path in paths)])


def test_a_service_manager_stops_it_as_well(tmp_path: Path) -> None:
    paths = plain_files(tmp_path)

    assert interrupted(tmp_path, signal.SIGTERM.name).returncode == 130
    assert 5 <= sealed(paths) < COUNT


def test_the_same_rekey_goes_on_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "fleet"
    folder.mkdir()
    paths = [folder / f"{number:02}.json" for number in range(12)]
    for path in paths:
        path.write_text('{"clientId": "CID", "appKey": "APP"}')
        ksm_storage.protect(path, [key_file(tmp_path)])
    command = ["rekey", f"{folder}/*.json", "--parallel", "2"]

    first = subprocess.run(
        [
            *(sys.executable, "-c"),
            *(STOPPED.format(module="rewrap", name="rekey", signal="SIGINT"), *command),
        ],
        capture_output=True,
        text=True,
        timeout=50,
    )
    second = run(*command)
    third = run(*command)

    assert first.returncode == 130, first.stderr
    left = re.search(r"error: interrupted; ([0-9]+) files? not processed: .*fleet/", first.stderr)
    assert left is not None
    assert second.returncode == 0, second.stderr
    assert re.search(rf"^rekeyed +{left[1]}$", second.stderr, re.MULTILINE)
    assert re.search(r"^rekeyed +12$", third.stderr, re.MULTILINE)
    assert {decode(path.read_bytes()).header.generation for path in paths} == {3}
    assert os.listdir(tmp_path / "state" / "ksm-storage" / "rekey") == []


@pytest.mark.parametrize("command", ["check", "status"])
def test_each_file_of_a_batch_is_compared_with_the_one_that_was_opened_before(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    paths = plain_files(tmp_path)[:3]
    for path in paths:
        ksm_storage.protect(path, [key_file(tmp_path)])
    older = paths[1].read_bytes()
    ksm_storage.open_storage(paths[1]).set("url", "u")

    first = run(command, *map(str, paths))
    paths[1].write_bytes(older)
    second = run(command, *map(str, paths))

    assert "does not continue" not in first.stderr
    assert re.findall(r"warning: '(.*)' does not continue", second.stderr) == [str(paths[1])]


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (["a.json"], "error: interrupted; 1 file not processed: a.json"),
        (["a.json", "b.json"], "error: interrupted; 2 files not processed: a.json, b.json"),
        (
            list("abcdefg"),
            "error: interrupted; 7 files not processed: a, b, c, d, e and 2 more",
        ),
    ],
)
def test_an_interrupted_batch_counts_what_is_left(
    left: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with click.Context(click.Command("rewrap")):
        results = Results(as_json=False, one=True)
    for path in left:
        results.add_left(path)

    assert results.end(interrupted=True) == INTERRUPTED
    assert capsys.readouterr().err.splitlines()[0] == said


# Says that it wanted to fork, and ends.
FORKED = textwrap.dedent(
    """
    import os, sys
    from ksm_storage.cli.main import main

    def fork():
        raise SystemExit("forked")

    os.fork = fork
    sys.exit(main(sys.argv[1:]))
    """
)
TWO_CORES = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1


def forks(*arguments: str) -> bool:
    done = subprocess.run(
        [sys.executable, "-c", FORKED, *arguments], capture_output=True, text=True, timeout=50
    )
    return done.stderr.endswith("forked\n")


@pytest.mark.skipif(not TWO_CORES, reason="needs Linux and two cores")
@pytest.mark.parametrize(
    ("change", "is_forked"),
    [
        (["--add-key", "key-file:///other.key"], True),
        (["--add-key", "acme-kms://key"], False),
        (["--replace-key", "key-file:///old.key=acme-kms://key"], False),
        (["--refresh"], True),
        (["--refresh", "--add-key", "acme-kms://key"], False),
    ],
)
def test_only_what_no_key_service_takes_part_in_is_done_in_copies_of_the_process(
    change: list[str], is_forked: bool, tmp_path: Path
) -> None:
    for path in plain_files(tmp_path)[:2]:
        ksm_storage.protect(path, [key_file(tmp_path)])

    assert forks("rewrap", f"{tmp_path}/0[01].json", *change) == is_forked


@pytest.mark.skipif(not TWO_CORES, reason="needs Linux and two cores")
def test_one_file_is_not_worth_a_copy_of_the_process(tmp_path: Path) -> None:
    path = plain_files(tmp_path)[0]

    assert not forks("protect", str(path), "--key", key_file(tmp_path))
    assert ksm_storage.open_storage(path).contains("clientId")


@pytest.mark.skipif(not TWO_CORES, reason="needs Linux and two cores")
def test_a_refresh_asks_the_key_services_that_are_not_trusted_to_open(tmp_path: Path) -> None:
    for path in plain_files(tmp_path)[:2]:
        ksm_storage.protect(path, [key_file(tmp_path)])
        content = path.read_bytes()
        path.write_bytes(content.replace(b"recipient: ", b"recipient: acme-kms://k\nrecipient: "))

    trusted = ["--trust", key_file(tmp_path)]

    assert forks("check", f"{tmp_path}/0[01].json", *trusted)
    assert not forks("rewrap", f"{tmp_path}/0[01].json", *trusted, "--refresh")


@pytest.mark.skipif(not TWO_CORES, reason="needs Linux and two cores")
def test_official_files_of_a_key_service_are_not_opened_in_copies_of_the_process(
    tmp_path: Path,
) -> None:
    plain_files(tmp_path)
    key = ["--key", key_file(tmp_path)]

    assert forks("protect", f"{tmp_path}/0[01].json", *key)
    assert not forks("protect", f"{tmp_path}/0[01].json", *key, "--from-key", "acme-kms://key")


# As where 'ulimit -u' is reached, which does not bind root.
LIMITED = textwrap.dedent(
    """
    import os, sys, threading
    from ksm_storage.cli.main import main

    allowed = {allowed}
    start = threading.Thread.start

    def limited(thread):
        global allowed
        allowed -= 1
        if allowed < 0:
            raise RuntimeError("can't start new thread")
        start(thread)

    def fork():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    threading.Thread.start, os.fork = limited, fork
    sys.exit(main())
    """
)


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_a_command_is_served_where_the_system_allows_no_further_process(
    allowed: int, tmp_path: Path
) -> None:
    for path in plain_files(tmp_path)[:2]:
        ksm_storage.protect(path, [key_file(tmp_path)])

    done = subprocess.run(
        [
            *(sys.executable, "-c", LIMITED.format(allowed=allowed)),
            *("check", f"{tmp_path}/0[01].json", "--json"),
        ],
        capture_output=True,
        text=True,
        timeout=50,
    )

    assert [each["result"] for each in json.loads(done.stdout)] == ["ok", "ok"]
    notes = [json.loads(line)["message"] for line in done.stderr.splitlines()]
    assert [note for note in notes if "no further thread" in note] == notes[: not allowed]


# The stream is in the middle of a write when the signal comes, and takes no other until it ends.
WRITING = textwrap.dedent(
    """
    import io, os, signal, sys
    from ksm_storage.cli.main import main

    class Raw(io.RawIOBase):
        sent = False

        def writable(self):
            return True

        def write(self, content):
            if not self.sent and b"missing" in bytes(content):
                self.sent = True
                os.kill(os.getpid(), signal.SIGINT)
            return os.write(2, content)

    sys.stderr = io.TextIOWrapper(io.BufferedWriter(Raw()), write_through=True)
    sys.exit(main(sys.argv[1:]))
    """
)


def test_ctrl_c_while_a_line_is_written_is_no_fault(tmp_path: Path) -> None:
    paths = plain_files(tmp_path)
    missing = f"{tmp_path}/00-missing.json"

    done = subprocess.run(
        [
            *(sys.executable, "-c", WRITING, "protect", missing, *map(str, paths)),
            *("--key", key_file(tmp_path), "--parallel", "1"),
        ],
        capture_output=True,
        text=True,
        timeout=50,
    )

    assert "RuntimeError" not in done.stderr
    assert "interrupted: finishing the files in progress" in done.stderr
    assert (done.returncode, done.stderr.count("missing.json' does not exist")) == (130, 1)
