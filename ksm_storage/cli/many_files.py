"""What every command on many files shares: which files, how many at a time, and the end.

A command is written for one file::

    @click.command()
    @many_files_options
    @json_option
    def rewrap(files: Files, as_json: bool) -> int:
        def work(path: str) -> FileResult:
            if files.dry_run:
                return FileResult("would rewrap", said=(f"would rewrap {path}",))
            ...
            return FileResult("rewrapped", said=(f"rewrapped {path}",), content={"path": path})

        return files.run(work, service_of=services_in_header, as_json=as_json)

``work`` looks at the file first, and returns ``FileResult("skipped", ...)`` if it is as asked for
already: that is how a run that was interrupted goes on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import click

from ..batch.provider_queue import Work
from ..batch.runner import Runner, ServiceOf
from ..batch.selection import is_one_file
from ..contract.key_uri import KeyUri
from ..envelope.codec import decode
from ..envelope.opening import candidates
from ..storage.reading import read_file, resolved
from .given_paths import given_paths
from .interruption import stopping_at_signals
from .many_results import Results
from .options import Command

_PARALLEL = 8


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
        """Yield the paths; see :func:`given_paths`."""
        return given_paths(self.paths, self.lists)

    def run(
        self, work: Work, *, service_of: ServiceOf, as_json: bool, one_object: bool = False
    ) -> int:
        """Work on each file and return the exit code: 0, or that of the first that failed.

        Args:
            work: Does all that is to be done to one file.
            service_of: Names the key service of a file; files of one are bounded together.
            as_json: Print an array with the ``content`` of each file.
            one_object: Print it without the array where one file is named.
        """
        runner = Runner(work, service_of=service_of, limit=self.parallel)
        with Results(as_json=as_json, one=self.one, array=not (one_object and self.one)) as results:
            with stopping_at_signals(runner.stop) as interrupted:
                results.expect(None if self.lists else self._count)
                for outcome in runner.run(self.selected()):
                    results.add(outcome)
            return results.end(interrupted=interrupted())

    def _count(self) -> int:
        return sum(1 for _ in self.selected())


def many_files_options(command: Callable[..., int]) -> Command:
    """Add PATHS, ``--from-file``, ``--parallel`` and ``--dry-run``, and give them as ``files``."""

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
            raise _missing()
        return command(files=Files(paths, lists, parallel, dry_run), **rest)

    for option in reversed(_OPTIONS):
        option(bundled)
    return bundled


def services_in_header(trusted: Sequence[KeyUri] | None = None) -> ServiceOf:
    """Return a function that names the key service which a sealed file is opened with first."""

    def service_of(path: str) -> str:
        header = decode(read_file(resolved(path)).content).header
        return candidates(header.recipients, trusted)[0].key.provider

    return service_of


def _missing() -> click.MissingParameter:
    context = click.get_current_context()
    parameter = next(each for each in context.command.params if each.name == "paths")
    return click.MissingParameter(ctx=context, param=parameter)


_OPTIONS: tuple[Callable[[Command], Command], ...] = (
    click.argument("paths", nargs=-1, metavar="PATHS...", type=click.Path()),
    click.option(
        "--from-file",
        "lists",
        multiple=True,
        metavar="LIST",
        help="Also the paths in this file, one per line; '-' for stdin; repeatable.",
    ),
    click.option(
        "--parallel",
        type=click.IntRange(1, 64),
        default=_PARALLEL,
        show_default=True,
        metavar="N",
        help="So many files at a time for each key service.",
    ),
    click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
)
