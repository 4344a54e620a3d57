"""Run the commands and the code of a Markdown page and compare what they print.

In what is expected, ``…`` stands for anything within a line, and a line that is only ``…`` for
any number of lines. Blank lines at the end do not count.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType

from tests.markdown_page import Code, Command, File, Needs, NewFolder, NotRun, Step, read_steps
from tests.private_environment import private_environment
from tests.process_group import ProcessGroup

ANYTHING = "…"
SECONDS = 50
# What a command says on a busy machine; a page shows it only where it is about waiting.
_WAITING = re.compile(rb"^note: waiting for .*; Ctrl-C stops\n", re.MULTILINE)


class TranscriptError(AssertionError):
    """Report a command or code that did something else than the page says."""


def run_page(page: Path, folder: Path) -> int:
    """Run a page in an empty folder and return how many commands and codes were run.

    Raises:
        TranscriptError: Something was printed, or returned, that the page does not say.
        PageError: The page does not follow the form.
    """
    return run_steps(read_steps(page.read_text(encoding="utf-8")), name=page.name, folder=folder)


def run_steps(steps: Sequence[Step], *, name: str, folder: Path) -> int:
    """Run steps that were read before; see :func:`run_page`."""
    count = 0
    session = Session(folder / "0", name)
    try:
        for step in steps:
            if isinstance(step, NewFolder):
                session.close()
                session = Session(folder / str(step.line), name)
            elif not isinstance(step, NotRun | Needs):
                session.run(step)
                count += 1
    finally:
        session.close()
    return count


class Session:
    """Keep one folder, one shell state and one Python namespace; close it to end its processes."""

    def __init__(self, folder: Path, name: str) -> None:
        self._name = name
        self._group = ProcessGroup()
        self._work = folder / "work"
        self._state = folder / "shell-state"
        self._environment = _environment(folder / "home")
        self._python: PythonProcess | None = None
        self._work.mkdir(parents=True)
        self._state.write_text(f"cd {_quoted(self._work)}\n")

    def run(self, step: Command | Code | File) -> None:
        """Run one step, or raise TranscriptError."""
        if isinstance(step, Command):
            self._run_command(step)
        elif isinstance(step, Code):
            self._run_code(step)
        else:
            self._write(step)

    def close(self) -> None:
        """End what was started, servers that the page leaves behind included."""
        try:
            if self._python is not None:
                self._python.close()
        finally:
            self._group.close()

    def _run_command(self, command: Command) -> None:
        state = _quoted(self._state)
        # Exported variables and the folder live on, as they do for a reader who types along.
        script = (
            f'. {state}; trap \'{{ export -p; printf "cd %q\\n" "$PWD"; }} > {state}\' EXIT\n'
            f"{command.text}\n"
        )
        try:
            done = subprocess.run(
                ["bash", "-c", script],
                cwd=self._work,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                process_group=self._group.number,
            )
        except subprocess.TimeoutExpired as exc:
            raise self._error(command, f"it still runs after {SECONDS} seconds") from exc
        differences = [
            *_differences("stdout", command.stdout, done.stdout),
            *_differences("stderr", command.stderr, _WAITING.sub(b"", done.stderr)),
        ]
        if done.returncode != command.exit_code:
            differences.append(f"exit code: expected {command.exit_code}, got {done.returncode}")
        if differences:
            raise self._error(command, "\n".join(differences))

    def _run_code(self, code: Code) -> None:
        if self._python is None:
            self._python = PythonProcess(self._work, self._environment, self._group)
        problem = self._python.run(code.text, f"{self._name}:{code.line}")
        if problem:
            raise self._error(code, problem)

    def _write(self, file: File) -> None:
        relative = PurePosixPath(file.name)
        if relative.is_absolute() or ".." in relative.parts:
            raise self._error(file, "a page writes files below its own folder only")
        target = self._work / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(file.text, encoding="utf-8")

    def _error(self, step: Command | Code | File, what: str) -> TranscriptError:
        shown = f"$ {step.text}" if isinstance(step, Command) else step.text
        return TranscriptError(f"{self._name}:{step.line}\n{shown}\n{what}")


class PythonProcess:
    """Run pieces of code one after another in one namespace of another process."""

    def __init__(self, folder: Path, environment: dict[str, str], group: ProcessGroup) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LOOP],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            process_group=group.number,
        )

    def run(self, text: str, name: str) -> str:
        """Return the traceback, or nothing where the code ran through."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(SECONDS, self._process.kill)
        timer.start()
        try:
            self._process.stdin.write(json.dumps([text, name]) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        finally:
            timer.cancel()
        return str(json.loads(answer)) if answer else "the process ended"

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=SECONDS)

    def __enter__(self) -> PythonProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _environment(home: Path) -> dict[str, str]:
    environment = private_environment(home)
    programs = Path(sys.executable).parent
    environment["PATH"] = f"{programs}{os.pathsep}{environment.get('PATH', os.defpath)}"
    environment["LC_ALL"] = "C.UTF-8"
    return environment


def _differences(stream: str, expected: Sequence[str], raw: bytes) -> list[str]:
    actual = raw.decode("utf-8", errors="replace").rstrip("\n").splitlines()
    wanted = "\n".join(expected).rstrip("\n").splitlines()
    if _pattern(wanted).fullmatch("".join(f"{line}\n" for line in actual)):
        return []
    names = (f"expected {stream}", f"actual {stream}")
    return list(difflib.unified_diff(wanted, actual, *names, lineterm="", n=10))


def _pattern(expected: Sequence[str]) -> re.Pattern[str]:
    parts = [
        r"(?:.*\n)*" if line == ANYTHING else re.escape(line).replace(ANYTHING, ".*") + r"\n"
        for line in expected
    ]
    return re.compile("".join(parts))


def _quoted(path: Path) -> str:
    text = str(path)
    if "'" in text:
        raise ValueError(f"{text!r} holds a quote")
    # Double quotes: the trap that it stands in is quoted by single ones.
    return f'"{text}"'


_LOOP = """
import contextlib, io, json, sys, traceback
answers, namespace = sys.stdout, {"__name__": "__main__"}
for line in sys.stdin:
    text, name = json.loads(line)
    problem = ""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(text, name, "exec"), namespace)
    except BaseException:
        problem = traceback.format_exc()
    print(json.dumps(problem), file=answers, flush=True)
"""
