"""Seal, move and open many files by the command line: under a key file, and under a KMS key.

Run ``python benchmarks/fleet.py [FILES] [CALLS_PER_SECOND]``, 10,000 and no limit if not given.
Every step is one command on a list of paths, measured as a whole process, for 1, 10, 100 and
1,000 of the files and for all of them, to show how the start weighs and that memory does not
grow with them.

Beside it stands what the machine takes. For a key file, before and after each step: one process
that writes a file, syncs it, renames it over another and syncs the folder, one file after
another. For KMS: an emulator in a process of its own, how many of the step's calls a second it
answers to a client that only repeats bytes on open connections, and how many to AWS's own client
in one process with as many threads, which does nothing else.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from benchmarks.interleaved import child_environment
from benchmarks.tables import Row, Table, publish, words

PARALLEL = 8
# A folder of the floor has as many files as one of the fleet.
PER_FOLDER = 1000
DISK = "this disk: write, fsync, rename, fsync"
# Of a step's calls; enough for a rate, and few beside the step.
REPEATED = 400
CONFIG = {"clientId": "C" * 88, "privateKey": "P" * 180, "appKey": "A" * 44, "hostname": "h"}


class Step(NamedTuple):
    """Hold a command on all files, and how often it asks to encrypt and decrypt for each."""

    name: str
    arguments: Sequence[str]
    encrypts: int
    decrypts: int

    def rate(self, calls: Sequence[float]) -> float:
        """Return files a second, given the encryptions and the decryptions a second."""
        return 1 / sum(n / rate for n, rate in zip(self[2:], calls, strict=True))


def steps(old: str, new: str) -> Iterator[Step]:
    """Yield the life of a fleet: sealed, opened, reported, moved to another key, moved again."""
    move = ["rewrap", "--replace-key", f"{old}={new}"]
    yield Step("protect", ["protect", "--key", old], 1, 1)
    yield Step("check", ["check"], 0, 1)
    yield Step("status", ["status"], 0, 1)
    yield Step("rewrap", move, 1, 2)
    yield Step("rewrap again", move, 0, 1)


def main() -> None:
    """Run the steps and print the tables; or serve, where it starts itself for that."""
    given = words(sys.argv[1:])
    if given[:1] == ["emulator"]:
        emulate(int(given[1]))
        return
    if given[:1] == ["sdk"]:
        print(json.dumps(sdk_rates(given[1], int(given[2]))))
        return
    count = int(given[0]) if given else 10_000
    quota = int(given[1]) if len(given) > 1 else 0
    publish(tables(count, quota), sys.argv[1:])


def tables(count: int, quota: int) -> Iterator[Table]:
    """Return the curves under a key file and under KMS, up to so many files."""
    local: list[Row] = []
    kms: list[Row] = []
    for number in (*(each for each in (1, 10, 100, 1000) if each < count), count):
        local += [replace(row, at=number) for row in under_key_file(number)]
        kms += [replace(row, at=number) for row in under_kms(number, quota)]
    note = f"{PARALLEL} at a time"
    allowed = f"{quota} calls a second allowed" if quota else "no quota"
    yield Table("fleet", "Fleet, key file", "files/s", local, DISK, note, "files")
    yield Table("fleet", "Fleet, AWS KMS", "files/s", kms, None, f"{note}, {allowed}", "files")


def under_key_file(count: int) -> Iterator[Row]:
    """Run all steps on that many new files; the disk's own rate is the median of the run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        listing = write_files(folder, count)
        keys = [run(folder, ["keygen", str(folder / key)]).printed.strip() for key in ("a", "b")]
        rates = [disk_rate(folder, min(count, PER_FOLDER))]
        rows = []
        for step in steps(*keys):
            rows.append(row(step, count, run_step(folder, step, listing)))
            rates.append(disk_rate(folder, min(count, PER_FOLDER)))
        yield Row(DISK, "floor", statistics.median(rates))
        yield from rows


def under_kms(count: int, quota: int) -> Iterator[Row]:
    """Run all steps on that many new files, each beside the emulator's own rate for its calls."""
    with tempfile.TemporaryDirectory() as name, Emulator(quota, count) as emulator:
        folder = Path(name)
        listing = write_files(folder, count)
        sdk = emulator.sdk_rates()
        for step in steps(*emulator.keys):
            before = emulator.rate(step)
            emulator.counts()
            done = run_step(folder, step, listing, emulator.environment)
            calls = emulator.counts()
            rate = (before + emulator.rate(step)) / 2
            more = {
                "calls": f"{calls['calls']}",
                "throttled": f"{calls['throttled']}",
                "of the emulator's own": f"{count / done.seconds / rate:.2f}",
                "of the AWS client's own": f"{count / done.seconds / step.rate(sdk):.2f}",
            }
            yield row(step, count, done, more)


class Done(NamedTuple):
    """Hold what a command took: seconds, the memory of its largest process, and its stdout."""

    seconds: float
    peak_mb: float
    printed: str


def row(step: Step, count: int, done: Done, more: Mapping[str, str] | None = None) -> Row:
    """Return the row of a step."""
    peak = {"MB peak": f"{done.peak_mb:.0f}"}
    return Row(step.name, "ours", count / done.seconds, {**(more or {}), **peak})


def run_step(
    folder: Path, step: Step, listing: Path, environment: Mapping[str, str] | None = None
) -> Done:
    """Run the command of a step on all files."""
    options = ["--from-file", str(listing), "--parallel", str(PARALLEL)]
    return run(folder, [*step.arguments, *options], environment)


def run(
    folder: Path, arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> Done:
    """Run a command that must succeed, with a home in the folder."""
    own = {**child_environment(), "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")}
    began = time.perf_counter()
    # Into files: a pipe would have to be read meanwhile.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "ksm_storage", *arguments],
            env={**own, **(environment or {})},
            stdout=out,
            stderr=err,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(arguments)}: {err.read()[-2000:]}")
        return Done(seconds, usage.ru_maxrss / 1024, out.read())


def disk_rate(folder: Path, count: int) -> float:
    """Return how many files a second this disk replaces durably, one after another."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        targets = [os.path.join(place, str(number)) for number in range(count)]
        for target in targets:
            Path(target).write_bytes(b"old")
        content = os.urandom(1200)
        began = time.perf_counter()
        for target in targets:
            new = os.open(f"{target}.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(new, content)
            os.fsync(new)
            os.close(new)
            os.rename(f"{target}.new", target)
            held = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(held)
            os.close(held)
        return count / (time.perf_counter() - began)


def write_files(folder: Path, count: int) -> Path:
    """Write plain configurations, and return the list of their paths."""
    listing = folder / "list"
    with listing.open("w") as lines:
        for number in range(count):
            path = folder / "files" / str(number // PER_FOLDER) / f"{number}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({**CONFIG, "serverPublicKeyId": str(number)}))
            lines.write(f"{path}\n")
    return listing


class Emulator:
    """Run the emulated KMS in a separate process while the context lasts."""

    def __init__(self, quota: int, count: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "emulator", str(quota)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started = self._answer()
        self.keys: Sequence[str] = started["keys"]
        self.environment: Mapping[str, str] = started["environment"]
        self._has_quota = bool(quota)
        # On each connection; for a few files not for longer than they take.
        self._repeats = min(REPEATED // PARALLEL, count)

    def counts(self) -> dict[str, int]:
        """Return the calls and the throttled ones since the last time."""
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        answer: dict[str, int] = self._answer()
        return answer

    def rate(self, step: Step) -> float:
        """Return for how many files a second it answers the calls of a step."""
        if self._has_quota:
            return float("nan")
        requests = self._requests()
        return step.rate([repeated(self._address(), each, self._repeats) for each in requests])

    def sdk_rates(self) -> Sequence[float]:
        """Return how many encryptions and decryptions a second AWS's own client makes."""
        if self._has_quota:
            return [float("nan")] * 2
        done = subprocess.run(
            [sys.executable, os.path.abspath(__file__), "sdk", self.keys[0], str(self._repeats)],
            env={**child_environment(), **self.environment},
            stdout=subprocess.PIPE,
            check=True,
        )
        rates: Sequence[float] = json.loads(done.stdout)
        return rates

    def _address(self) -> tuple[str, int]:
        parts = urlsplit(self.environment["AWS_ENDPOINT_URL"])
        return str(parts.hostname), parts.port or 80

    def _requests(self) -> tuple[bytes, bytes]:
        key = self.keys[0].removeprefix("aws-kms://")
        context = {f"ksm-storage.{name}": "0" * 32 for name in ("envelope-id", "purpose")}
        given = {"KeyId": key, "EncryptionContext": context}
        encrypt = self._signed("Encrypt", {**given, "Plaintext": "A" * 43 + "="})
        wrapped = json.loads(exchange(self._address(), encrypt))["CiphertextBlob"]
        return encrypt, self._signed("Decrypt", {**given, "CiphertextBlob": wrapped})

    def _signed(self, operation: str, content: Mapping[str, object]) -> bytes:
        from ksm_storage_aws_kms.direct_call import signed_headers

        host, port = self._address()
        body = json.dumps(content).encode()
        headers = {
            "content-type": "application/x-amz-json-1.1",
            "host": f"{host}:{port}",
            "x-amz-target": f"TrentService.{operation}",
        }
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        credentials = {name.lower(): self.environment[name] for name in names}
        region = self.environment["AWS_DEFAULT_REGION"]
        signed = signed_headers(headers, body, credentials, f"{region}/kms")
        lines = [f"{name}: {value}\r\n" for name, value in signed.items()]
        head = f"POST / HTTP/1.1\r\n{''.join(lines)}content-length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Emulator:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def repeated(address: tuple[str, int], request: bytes, times: int) -> float:
    """Return how many times a second the request is answered on ``PARALLEL`` connections."""
    return in_threads(lambda: exchange(address, request, times), times)


def sdk_rates(key: str, times: int) -> list[float]:
    """Return the rates of the AWS client in ``PARALLEL`` threads: encryptions, decryptions."""
    import botocore.session

    session = botocore.session.get_session()
    kms: Any = session.create_client("kms", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    name, context = key.removeprefix("aws-kms://"), {"purpose": "0" * 32}
    given = {"KeyId": name, "EncryptionContext": context}
    wrapped = kms.encrypt(**given, Plaintext=bytes(32))["CiphertextBlob"]

    def repeat(call: Callable[[], object]) -> None:
        for _ in range(times):
            call()

    return [
        in_threads(lambda: repeat(lambda: kms.encrypt(**given, Plaintext=bytes(32))), times),
        in_threads(lambda: repeat(lambda: kms.decrypt(**given, CiphertextBlob=wrapped)), times),
    ]


def in_threads(work: Callable[[], object], calls: int) -> float:
    """Return how many calls a second ``PARALLEL`` threads make, if each makes that many."""
    threads = [threading.Thread(target=work) for _ in range(PARALLEL)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return PARALLEL * calls / (time.perf_counter() - began)


def exchange(address: tuple[str, int], request: bytes, times: int = 1) -> bytes:
    """Send a request a number of times on one connection; return the body of the last reply."""
    body = b""
    with socket.create_connection(address) as link, link.makefile("rb") as replies:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(times):
            link.sendall(request)
            status, length = replies.readline(), 0
            while (line := replies.readline().lower()) != b"\r\n":
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            body = replies.read(length)
            if b" 200 " not in status:
                raise SystemExit(f"the emulator answered {status!r}: {body!r}")
    return body


def emulate(quota: int) -> None:
    """Serve until stdin ends; answer each line with the calls since the last one."""
    from ksm_storage_emulators.aws_kms.service import AwsKmsService
    from ksm_storage_emulators.emulator import Emulator as Server

    with Server(AwsKmsService()) as server:
        keys = [f"aws-kms://{server.service.create_key().arn}" for _ in range(2)]
        variables = dict(server.service.environment(server.address))
        variables["KSM_STORAGE_AWS_KMS_ENDPOINT"] = variables["AWS_ENDPOINT_URL"]
        if quota:
            server.quotas.limit(quota)
        print(json.dumps({"keys": keys, "environment": variables}), flush=True)
        for _ in sys.stdin:
            refused = sum(each.status == 400 for each in server.transcript.exchanges())
            calls = sum(server.transcript.calls().values())
            server.transcript.reset()
            print(json.dumps({"calls": calls, "throttled": refused}), flush=True)


if __name__ == "__main__":
    main()
