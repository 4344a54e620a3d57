"""What every command on many files shares: which files, how many at a time, and the end.

A command is written for one file::

    @command()
    @many_files_options
    @json_option
    def rewrap(files: Files, as_json: bool) -> int:
        def work(path: str) -> FileResult:
            if files.dry_run:
                return FileResult("would rewrap", status="skipped")
            ...
            return FileResult("rewrapped", said=(f"rewrapped {path}",))

        return files.run(work, service_of=services_in_header, as_json=as_json)

``work`` looks at the file first, and returns ``FileResult("unchanged", status="unchanged")`` if
there is nothing left to do: that is how an interrupted run is resumed.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

import click

from ..batch.provider_queue import Work
from ..batch.runner import Deadline, Runner, ServiceOf
from ..batch.selection import is_one_file, selected_paths
from ..config.recognise import is_plain
from ..contract.key_wrapper import KeyUri
from ..envelope.codec import looks_like_envelope, peek_providers
from ..envelope.opening import turn_of
from ..errors import StorageError
from ..files.reading import read_file, refuse_configuration
from ..keys.discovery import COMPUTED, OFFLINE
from .commands import FILE_VARIABLE, timed_out
from .many_results import Results
from .options import PATH, Command
from .output import echo_err
from .process import current_process

_PARALLEL = 8
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Files(NamedTuple):
    """Hold which files a command was given, and how to work on them."""

    paths: tuple[str, ...]
    lists: tuple[str, ...]
    parallel: int
    dry_run: bool

    @property
    def one(self) -> bool:
        """Tell whether exactly one file is named, by its own name."""
        return is_one_file(self.paths, self.lists)

    def selected(self) -> Iterator[str]:
        """Yield the paths; see :func:`validated_paths`."""
        return validated_paths(self.paths, self.lists)

    def run(
        self,
        work: Work,
        *,
        service_of: ServiceOf,
        as_json: bool,
        timeout: float | None = None,
        forked: Collection[str] = (),
    ) -> int:
        """Work on each file and return the exit code: 0, or that of the first that failed.

        Args:
            work: Does all that is to be done to one file.
            service_of: Names the key service of a file; files of one service share a limit.
            as_json: Print an array with an object for each file (docs/json.md).
            timeout: The time in seconds for all files together.
            forked: The services whose files may be processed in copies of this process, where
                several files are named: ``work`` must change nothing in memory.
        """
        deadline = None
        if timeout is not None and timeout < threading.TIMEOUT_MAX:
            deadline = Deadline(time.monotonic() + timeout, lambda: timed_out(timeout))
        runner = Runner(
            work,
            service_of=service_of,
            limit=self.parallel,
            deadline=deadline,
            # A copy costs more than one file.
            forked=() if self.one else forked,
            on_stop=_say_stopping,
        )
        process, paths = current_process(), self.selected()
        if not self.one:
            process.stopped_now("run the same command again for the remaining files")
        with Results(as_json=as_json, one=self.one) as results:
            with _stopping_at_signals(runner.stop) as interrupted:
                results.expect(None if self.lists else self._count)
                for outcome in runner.run(paths):
                    results.add(outcome)
            if interrupted() and "-" not in self.lists:
                for path in paths:
                    results.add_left(path)
            code = results.end(interrupted=interrupted())
        if runner.is_late:
            # Threads of a library may hold what is closed next.
            process.leave(code)
        return code

    def _count(self) -> int:
        return sum(1 for _ in self.selected())


def many_files_options(command: Callable[..., int]) -> Command:
    """Add PATHS, ``--from-file``, ``--parallel`` and ``--dry-run``, and pass them as ``files``."""

    @functools.wraps(command)
    def bundled(
        *,
        paths: tuple[str, ...],
        lists: tuple[str, ...],
        parallel: int,
        dry_run: bool,
        **rest: Any,
    ) -> int:
        if not paths and not lists:
            paths = _configured()
        return command(files=Files(paths, lists, parallel, dry_run), **rest)

    for option in reversed(_OPTIONS):
        option(bundled)
    return bundled


def services_in_header(trusted: Sequence[KeyUri] | None = None) -> ServiceOf:
    """Return a function that names the key service which is asked first to open a file."""

    usable = None if trusted is None else {key.provider for key in trusted}

    def service_of(path: str) -> str:
        # Whether the file is whole, and its keys trusted, is for the work to see.
        found = peek_providers(read_file(path).content)
        found = sorted((name for name in found if usable is None or name in usable), key=turn_of)
        if found and found[0] in COMPUTED:
            # What is computed alone is told from what may go on to a key service.
            return "+".join(dict.fromkeys(name for name in found if name not in OFFLINE))
        return found[0] if found else ""

    return service_of


def validated_paths(paths: Sequence[str], lists: Sequence[str] = ()) -> Iterator[str]:
    """Yield each path in the order given; see :func:`selected_paths`.

    Raises:
        StorageError: A list cannot be read, or a configuration is given as a path or as a list.
            Messages name paths, and so it would be shown.
    """
    for path in selected_paths(paths, ()):
        refuse_configuration(path)
        yield path
    for path in selected_paths((), lists):
        _refuse_content(path)
        yield path


def _refuse_content(line: str) -> None:
    # Whatever it looks like, the name of a file is a path; to read it as a configuration would
    # take a thirteenth of a check.
    if os.path.lexists(line):
        return
    raw = os.fsencode(line).removeprefix(b"\xef\xbb\xbf").lstrip()
    # The first line of a configuration that has several is enough: what follows is not read.
    begins = raw.startswith((b"{", b"["))
    if begins or is_plain(raw) or looks_like_envelope(raw):
        raise StorageError(
            "the list of paths is a configuration", hint="pass the configuration's path as PATHS"
        )


@contextmanager
def _stopping_at_signals(stop: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Call ``stop`` at the first SIGINT or SIGTERM; give a function that tells if there was one.

    A second signal ends the process as it would without this.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        restore()
        stop()

    for number in _SIGNALS:
        signal.signal(number, handle)
    try:
        yield lambda: bool(came)
    finally:
        restore()


def _say_stopping() -> None:
    # Not from the handler: the thread it interrupts may be writing to stderr, which then refuses.
    echo_err("interrupted: finishing the files in progress; interrupt again to stop at once")


def _configured() -> tuple[str, ...]:
    path = os.environ.get(FILE_VARIABLE)
    if path:
        return (path,)
    context = click.get_current_context()
    parameter = next(each for each in context.command.params if each.name == "paths")
    raise click.MissingParameter(ctx=context, param=parameter)


_OPTIONS: tuple[Callable[[Command], Command], ...] = (
    click.argument("paths", nargs=-1, metavar="PATHS...", type=PATH),
    click.option(
        "--from-file",
        "lists",
        multiple=True,
        metavar="LIST",
        type=PATH,
        help="Read more paths from this file, one per line; '-' for stdin; repeatable.",
    ),
    click.option(
        "--parallel",
        type=click.IntRange(1, 64),
        default=_PARALLEL,
        show_default=True,
        metavar="N",
        help="Maximum files processed at once per key service.",
    ),
    click.option("--dry-run", is_flag=True, help="Show what would be done without doing it."),
)
