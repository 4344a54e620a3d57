"""Seal many files under one KMS key, and move them to another, within the service's quota.

Run ``python benchmarks/fleet.py [FILES] [CALLS_PER_SECOND]``, 10,000 and 400 if not given. An
emulator of AWS KMS runs in a process of its own and refuses each call above the quota. Every
step is a fresh process that works through the list with the runner of the many-file commands.
Memory is the peak of that process; each step is done for a tenth of the files too, to show that
it does not grow with them.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.interleaved import child_environment
from benchmarks.tables import Row, Table, publish, words
from ksm_storage.batch.provider_queue import FileResult
from ksm_storage.batch.runner import Runner
from ksm_storage.batch.selection import selected_paths
from ksm_storage.envelope.codec import decode
from ksm_storage.keys.kek import KekPool
from ksm_storage.storage.open_policy import OpenPolicy
from ksm_storage.storage.profiles import read_document
from ksm_storage.storage.protecting import protect_file
from ksm_storage.storage.recipient_changes import RecipientChanges
from ksm_storage.storage.rewrapping import rewrap_file

PARALLEL = 8
STEPS = ("protect", "rewrap", "rewrap again", "check")


def main() -> None:
    """Start the emulator, run the steps and print the table."""
    given = words(sys.argv[1:])
    if given[:1] == ["emulator"]:
        emulate(int(given[1]))
        return
    if given[:1] == ["step"]:
        print(json.dumps(step(*given[1:5])))
        return
    count = int(given[0]) if given else 10_000
    quota = int(given[1]) if len(given) > 1 else 400
    publish(tables(count, quota), sys.argv[1:])


def tables(count: int, quota: int) -> Iterator[Table]:
    """Return a table for a tenth of the files, and one for all of them."""
    note = f"{quota} KMS calls a second allowed, {PARALLEL} at a time"
    for number in (count // 10, count) if count >= 10 else (count,):
        rows = list(measure(number, quota))
        yield Table("fleet", f"Fleet of {number:,} files", "files/s", rows, None, note)


def measure(count: int, quota: int) -> Iterator[Row]:
    """Run all steps on that many new files, and return a row for each."""
    with tempfile.TemporaryDirectory() as folder, Emulator(quota) as emulator:
        listing = write_files(Path(folder), count)
        for name in STEPS:
            emulator.counts()
            done = emulator.run(["step", name, str(listing), *emulator.keys])
            calls = emulator.counts()
            failed = {result: n for result, n in done["results"].items() if "Error" in result}
            if failed or sum(done["results"].values()) != count:
                raise SystemExit(f"{name}: {done['results']}")
            more = {
                "calls": f"{calls['calls']}",
                "throttled": f"{calls['throttled']}",
                "MB peak": f"{done['peak_mb']:.0f}",
            }
            yield Row(name, "ours", count / done["seconds"], more)


def write_files(folder: Path, count: int) -> Path:
    """Write plain configurations, and return the list of their paths."""
    listing = folder / "list"
    with listing.open("w") as lines:
        for number in range(count):
            path = folder / str(number // 1000) / f"{number}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps({"clientId": f"client {number}", "hostname": "h"}))
            lines.write(f"{path}\n")
    return listing


def step(name: str, listing: str, old: str, new: str) -> dict[str, Any]:
    """Run one step on each listed file and return the result."""

    pool = KekPool()
    policies = {key: OpenPolicy.from_args([key], None, None, pool=pool) for key in (old, new)}
    moving = OpenPolicy.from_args(None, None, None, pool=pool)
    changes = RecipientChanges.of((), (), {old: new})

    def work(path: str) -> FileResult:
        if name == "protect":
            protect_file(path, policies[old])
        elif name == "check":
            read_document(path, policies[new])
        elif _is_under(path, new) or not rewrap_file(path, changes, moving).changed:
            return FileResult("skipped")
        return FileResult("done")

    runner = Runner(work, service_of=lambda _: "aws-kms", limit=PARALLEL)
    results: Counter[str] = Counter()
    began = time.perf_counter()
    for outcome in runner.run(selected_paths([], [listing])):
        results[outcome.done.result if outcome.done else type(outcome.error).__name__] += 1
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "results": results, "peak_mb": peak / 1024}


def _is_under(path: str, key: str) -> bool:
    # A file that is under the new key has nothing to replace: seen from its header alone.
    header = decode(Path(path).read_bytes()).header
    return all(str(recipient.key) == key for recipient in header.recipients)


class Emulator:
    """Run the emulated KMS in a separate process while the context lasts."""

    def __init__(self, quota: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "emulator", str(quota)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started = self._answer()
        self.keys: Sequence[str] = started["keys"]
        self._environment: Mapping[str, str] = started["environment"]

    def counts(self) -> dict[str, int]:
        """Return the calls and the throttled ones since the last time."""
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        answer: dict[str, int] = self._answer()
        return answer

    def run(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Run this file in a process that uses the emulator as its KMS."""
        done = subprocess.run(
            [sys.executable, __file__, *arguments],
            env={**child_environment(), **self._environment},
            stdout=subprocess.PIPE,
            check=True,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Emulator:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def emulate(quota: int) -> None:
    """Serve until stdin ends; answer each line with the calls since the last one."""
    from ksm_storage_emulators.aws_kms.service import AwsKmsService
    from ksm_storage_emulators.emulator import Emulator as Server

    with Server(AwsKmsService()) as server:
        keys = [f"aws-kms://{server.service.create_key().arn}" for _ in range(2)]
        variables = dict(server.service.environment(server.address))
        variables["KSM_STORAGE_AWS_KMS_ENDPOINT"] = variables["AWS_ENDPOINT_URL"]
        server.quotas.limit(quota)
        print(json.dumps({"keys": keys, "environment": variables}), flush=True)
        for _ in sys.stdin:
            refused = sum(each.status == 400 for each in server.transcript.exchanges())
            calls = sum(server.transcript.calls().values())
            server.transcript.reset()
            print(json.dumps({"calls": calls, "throttled": refused}), flush=True)


if __name__ == "__main__":
    main()
