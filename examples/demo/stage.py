"""What the demo needs around its story: a folder that goes away, a vault, and plain speech."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

COMMAND = str(Path(sys.executable).with_name("ksm-storage"))
STOP_SECONDS = 10

_Done = subprocess.CompletedProcess[str]


class DemoFailedError(Exception):
    """Report that something did not go as the story says."""


class Stage:
    """Speak, run commands in the demo's folder, and hold what they printed."""

    def __init__(self, folder: Path, vault: dict[str, str], pool: ThreadPoolExecutor) -> None:
        self.folder = folder
        self.vault = vault
        self._step = 0
        self._pool = pool
        self._begun: dict[tuple[str, ...], Future[_Done]] = {}

    def step(self, title: str) -> None:
        """Begin the next step of the story."""
        self._step += 1
        print(f"\n--- {self._step}. {title}", flush=True)

    def proves(self, text: str) -> None:
        """Say in one line what the step has shown."""
        print(f"    => {text}", flush=True)

    def show(self, text: str) -> None:
        """Print lines that belong to the story."""
        for line in text.rstrip("\n").splitlines():
            print(f"    {line}", flush=True)

    def run(self, *arguments: str, stdin: str = "", show: bool = True) -> str:
        """Run a command that must succeed, show it and what it says, and return its stdout."""
        done = self._run(arguments, stdin)
        if done.returncode != 0:
            raise DemoFailedError(f"'ksm-storage {arguments[0]}' failed: {done.stderr.strip()}")
        if show:
            self.show(done.stdout + done.stderr)
        return done.stdout

    def begin(self, *arguments: str) -> None:
        """Start a command that needs no stdin; the step that runs it shows what it said.

        Most of a command's time is its start, and these need nothing of each other.
        """
        self.begin_program([COMMAND, *arguments], {})

    def begin_program(self, command: Sequence[str], variables: Mapping[str, str]) -> None:
        """Start a program that a step will run, in the same way."""
        self._begun[tuple(command)] = self._pool.submit(self._call, command, variables, "")

    def program(self, command: Sequence[str], variables: Mapping[str, str]) -> _Done:
        """Run a program of the story with these variables besides the demo's own."""
        begun = self._begun.pop(tuple(command), None)
        return begun.result() if begun else self._call(command, variables, "")

    def ends(self) -> None:
        """Fail the demo if a command was started that no step has shown."""
        if self._begun:
            raise DemoFailedError(f"started but never shown: {[*self._begun]}")

    def quietly(self, *arguments: str, stdin: str = "") -> str:
        """Run a command that must succeed, show nothing, and return its stdout."""
        done = self._run(arguments, stdin, announce=False)
        if done.returncode != 0:
            raise DemoFailedError(f"'ksm-storage {arguments[0]}' failed: {done.stderr.strip()}")
        return done.stdout

    def refused(self, *arguments: str, because: str, stdin: str = "") -> None:
        """Run a command that must be refused for the reason given, and show the refusal."""
        done = self._run(arguments, stdin)
        if done.returncode == 0:
            raise DemoFailedError(f"'ksm-storage {arguments[0]}' was not refused")
        if because not in done.stderr:
            raise DemoFailedError(f"refused for another reason: {done.stderr.strip()}")
        self.show(done.stderr)

    @contextmanager
    def serving(self, *arguments: str) -> Iterator[dict[str, str]]:
        """Run a command that serves until the block ends, and give what it announces."""
        print(f"    $ ksm-storage {self._readable(arguments)}", flush=True)
        command = [COMMAND, *arguments, "--json"]
        with _serving(command, self.folder, self.folder / f"{arguments[0]}.log") as announced:
            yield announced

    def _run(self, arguments: Sequence[str], stdin: str, *, announce: bool = True) -> _Done:
        if announce:
            print(f"    $ ksm-storage {self._readable(arguments)}", flush=True)
        command = [COMMAND, *arguments]
        return self._call(command, {}, stdin) if stdin else self.program(command, {})

    def _call(self, command: Sequence[str], variables: Mapping[str, str], stdin: str) -> _Done:
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **variables},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def _readable(self, arguments: Sequence[str]) -> str:
        """Return the arguments as a person would type them; a long server key is cut."""
        here = [argument.replace(str(self.folder), "$PWD") for argument in arguments]
        short = [part if len(part) < 60 else f"{part[:12]}..." for part in here]
        return " ".join(f"'{part}'" if " " in part else part for part in short)


@contextmanager
def stage() -> Iterator[Stage]:
    """Set up the folder and the vault; take both down whatever happens, Ctrl-C included."""
    # A kill from outside becomes an exception, so that what follows "finally" runs then too.
    signal.signal(signal.SIGTERM, _end)
    folder = Path(tempfile.mkdtemp(prefix="ksm-storage-demo-"))
    try:
        _forget_the_users_settings(folder)
        # As many as cores are common; a step that fails waits for those that it began.
        with _vault(folder) as listening, ThreadPoolExecutor(2) as pool:
            yield Stage(folder, listening, pool)
    finally:
        # A second Ctrl-C must not leave half of the folder behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _vault(folder: Path) -> Iterator[dict[str, str]]:
    command = [COMMAND, "vault", "serve", "--data", str(folder / "vault"), "--json"]
    with _serving(command, folder, folder / "server.log") as announced:
        yield announced


@contextmanager
def _serving(command: list[str], folder: Path, log: Path) -> Iterator[dict[str, str]]:
    with log.open("wb") as errors:
        # In a session of its own: Ctrl-C reaches the demo, which then stops the server.
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        yield _announcement(process, log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _announcement(process: subprocess.Popen[str], log: Path) -> dict[str, str]:
    text = ""
    for line in process.stdout or ():
        text += line
        if line.startswith("}"):
            announced: dict[str, str] = json.loads(text)
            return announced
    raise DemoFailedError(f"the server did not start: {log.read_text().strip()}")


def _forget_the_users_settings(folder: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("KSM_", "REQUESTS_CA", "SSL_CERT", "CURL_CA")) or name.upper() in (
            *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
        ):
            del os.environ[name]
    os.environ["KSM_STORAGE_VAULT_DATA"] = str(folder / "vault")
    settings = folder / "settings.toml"
    settings.touch(mode=0o600)
    os.environ["KSM_STORAGE_SETTINGS"] = str(settings)


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(143)
