"""Read from a Markdown page the fences that can be run.

- A ``console`` fence holds commands (``$ command``, continued by a backslash or a here-document),
  each with what it prints: stdout lines as they are, stderr lines behind ``! ``, and ``[exit N]``
  where the exit code is not 0.
- A ``python`` fence holds code.
- Any fence behind ``<!-- file: NAME -->`` is the content of a file.
- A fence behind ``<!-- not run: reason -->`` is left out, and the reason is told.
- ``<!-- new folder -->`` starts again in an empty folder.
- ``<!-- needs: PROGRAM ... -->`` skips the page if one of the programs is not installed.
- A fence within an HTML comment is run like any other, and no viewer shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = re.compile(r"(?P<indent> *)```+(?P<language>[\w-]*)\s*$")
_COMMENT = re.compile(
    r"<!--\s*(?P<word>file|not run|new folder|needs)(?::\s*(?P<text>.*?))?\s*-->\s*$"
)
_EXIT = re.compile(r"\[exit (\d+)\]")
_HERE_DOCUMENT = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")


class PageError(AssertionError):
    """Report a page that does not follow the form above."""


@dataclass(frozen=True, slots=True)
class Command:
    """Hold one shell command and what it must print."""

    line: int
    text: str
    stdout: tuple[str, ...]
    stderr: tuple[str, ...]
    exit_code: int


@dataclass(frozen=True, slots=True)
class Code:
    """Hold Python code to run."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class File:
    """Hold a file to write."""

    line: int
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class NewFolder:
    """Ask for an empty folder and fresh state."""

    line: int


@dataclass(frozen=True, slots=True)
class NotRun:
    """Hold the reason why a fence is not run."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Needs:
    """Name the programs without which the page cannot be run."""

    line: int
    programs: tuple[str, ...]


Step = Command | Code | File | NewFolder | NotRun | Needs


def read_steps(text: str) -> list[Step]:
    """Return what is to be run, in the order of the page.

    Raises:
        PageError: A marker without its text, a fence without its end, output without a command.
    """
    lines = text.splitlines()
    steps: list[Step] = []
    marker: tuple[str, str] | None = None
    number = 0
    while number < len(lines):
        comment, fence = _COMMENT.match(lines[number].strip()), _FENCE.match(lines[number])
        number += 1
        if comment:
            marker = (comment["word"], comment["text"] or "")
            if marker[0] == "new folder":
                steps.append(NewFolder(number))
                marker = None
            elif marker[0] == "needs":
                steps.append(Needs(number, tuple(marker[1].split())))
                marker = None
        elif fence:
            body, end = _body(lines, number, fence)
            steps += _steps_of(fence["language"], body, number + 1, marker)
            marker, number = None, end
        elif lines[number - 1].strip() and marker:
            raise PageError(f"line {number}: <!-- {marker[0]} --> is not followed by a fence")
    return steps


def _body(lines: list[str], start: int, fence: re.Match[str]) -> tuple[list[str], int]:
    indent = len(fence["indent"])
    for end in range(start, len(lines)):
        if lines[end].strip() == "```":
            return [line[indent:] for line in lines[start:end]], end + 1
    raise PageError(f"line {start}: the fence has no end")


def _steps_of(
    language: str, body: list[str], line: int, marker: tuple[str, str] | None
) -> Iterator[Step]:
    if marker:
        word, text = marker
        if not text:
            raise PageError(f"line {line}: <!-- {word}: --> says nothing")
        if word == "file":
            yield File(line, text, "\n".join(body) + "\n")
        else:
            yield NotRun(line, text)
    elif language == "console":
        yield from _commands(body, line)
    elif language == "python":
        yield Code(line, "\n".join(body) + "\n")


def _commands(body: list[str], first_line: int) -> Iterator[Command]:
    number = 0
    while number < len(body):
        line = first_line + number
        if not body[number].startswith("$ "):
            if body[number].strip():
                raise PageError(f"line {line}: output without a command before it")
            number += 1
            continue
        command, number = _command(body, number)
        expected: list[str] = []
        while number < len(body) and not body[number].startswith("$ "):
            expected.append(body[number])
            number += 1
        yield _expecting(line, command, expected)


def _command(body: list[str], number: int) -> tuple[str, int]:
    taken = [body[number][2:]]
    number += 1
    while taken[-1].endswith("\\") and number < len(body):
        taken.append(body[number])
        number += 1
    here = _HERE_DOCUMENT.search(taken[-1])
    while here and number < len(body):
        taken.append(body[number])
        number += 1
        if taken[-1] == here[2]:
            break
    return "\n".join(taken), number


def _expecting(line: int, command: str, expected: list[str]) -> Command:
    stdout: list[str] = []
    stderr: list[str] = []
    exit_code = 0
    for text in expected:
        exits = _EXIT.fullmatch(text)
        if exits:
            exit_code = int(exits[1])
        elif text == "!" or text.startswith("! "):
            stderr.append(text[2:])
        else:
            stdout.append(text)
    return Command(line, command, tuple(stdout), tuple(stderr), exit_code)
