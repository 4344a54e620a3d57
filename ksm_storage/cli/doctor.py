"""``ksm-storage doctor``: diagnose files that cannot be opened or saved."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import click

from ..contract.abilities import NEEDS, Need
from ..contract.key_wrapper import KeyUri
from ..doctor.examination import examine_file, examine_key, open_examined
from ..doctor.finding import (
    FileFinding,
    KeyFinding,
    file_as_dict,
    key_as_dict,
    lines_of_file,
    lines_of_key,
)
from ..doctor.surroundings import (
    network_in_force,
    network_notes,
    network_variables,
    proxy_notes,
    version_notes,
)
from ..doctor.unread import unread_tables, unread_variables
from ..errors import UnavailableError
from ..keys.discovery import OFFLINE
from ..keys.setting_sources import settings_file
from ..storage.open_policy import read_key
from ..storage.sources import configured_path
from .commands import command
from .many_files import validated_paths
from .options import PATH, Settings, json_option, setting_option, timeout_option
from .output import echo, echo_err, echo_json, echo_line
from .process import current_process

_MAX_THREADS = 8


@command()
@click.argument("paths", nargs=-1, metavar="[PATHS]...", type=PATH)
@click.option(
    "--examine", "keys", multiple=True, metavar="URI", help="Also examine this key; repeatable."
)
@click.option(
    "--for",
    "purpose",
    type=click.Choice(NEEDS),
    default="open",
    show_default=True,
    help="Check the keys for this use: open files, seal them, sign for a device, or run 'status'.",
)
@setting_option
@timeout_option
@json_option
def doctor(
    paths: tuple[str, ...],
    keys: tuple[str, ...],
    purpose: Need,
    settings: Settings,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Examine files and their keys, and say what is wrong and how to fix it.

    A permission that the purpose (--for) does not need may be missing. To open files, each file
    with a usable key is opened. Nothing is changed, and no value is shown. Without PATHS and
    --examine, the file that applications open is examined. Exits with the code of the first
    problem.
    """
    deadline = None
    if timeout is not None and timeout < threading.TIMEOUT_MAX:
        deadline = time.monotonic() + timeout
    asked = [read_key(key) for key in keys]
    files = [examine_file(path) for path in _paths(paths, asked)]
    uris = dict.fromkeys([*asked, *(KeyUri.parse(key) for file in files for key in file.keys)])
    services = " and ".join(sorted({uri.provider for uri in uris}))
    # In parallel: one service that does not answer must not hold up the others.
    threads = ThreadPoolExecutor(_MAX_THREADS)
    try:
        asking = {uri: threads.submit(examine_key, uri, settings, purpose=purpose) for uri in uris}
        with current_process().waiting(services or "the network"):
            late = wait(asking.values(), timeout=_left(deadline)).not_done
            found = [
                _unanswered(uri, purpose, timeout) if future in late else future.result()
                for uri, future in asking.items()
            ]
            # Nobody is asked for a recovery secret here.
            online = [key for key in found if KeyUri.parse(key.uri).provider not in OFFLINE]
            usable = {key.uri for key in online if not key.exit_code}
            opening = [
                (file, threads.submit(open_examined, file.path, settings, usable))
                for file in files
                if purpose == "open" and not file.problems and not usable.isdisjoint(file.keys)
            ]
            unopened = wait([future for _, future in opening], timeout=_left(deadline)).not_done
    finally:
        # After an interrupt nothing waits for the threads: a service may hold them for long.
        threads.shutdown(wait=False, cancel_futures=True)
    for file, future in opening:
        file.note_opening(_unopened(file.path, timeout) if future in unopened else future.result())
    # A settings file that cannot be used fails the file and its keys; once is enough.
    reported = {problem.message for key in found for problem in key.problems}
    for file in files:
        file.problems = [each for each in file.problems if each.message not in reported]
    _show(files, found, as_json=as_json)
    code = next((code for code in _exit_codes(files, found) if code), 0)
    if late or unopened:
        # The end of the process would wait for their threads.
        current_process().leave(code)
    return code


def _unanswered(uri: KeyUri, purpose: Need, timeout: float | None) -> KeyFinding:
    error = UnavailableError(
        f"{uri.provider} did not answer within the {timeout or 0:g} s of --timeout",
        hint=f"raise --timeout, or check the network between this host and {uri.provider}",
        key=str(uri),
    )
    return KeyFinding(str(uri), purpose=purpose, problems=[error])


def _unopened(path: str, timeout: float | None) -> UnavailableError:
    return UnavailableError(
        f"{path!r} did not open within the {timeout or 0:g} s of --timeout",
        hint="raise --timeout, or check the network between this host and its key services",
    )


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else deadline - time.monotonic()


def _paths(paths: tuple[str, ...], asked: Sequence[KeyUri]) -> Sequence[str]:
    if paths:
        return list(validated_paths(paths))
    return [] if asked else [configured_path()]


def _show(files: Sequence[FileFinding], keys: Sequence[KeyFinding], *, as_json: bool) -> None:
    source = settings_file()
    there = os.path.exists(source)
    variables = unread_variables(os.environ, {KeyUri.parse(key.uri).provider for key in keys})
    tables = unread_tables()
    network = network_variables(os.environ)
    faults = [*version_notes(None), *network_notes(os.environ), *proxy_notes(os.environ)]
    if as_json:
        content: dict[str, object] = {
            "settings_file": source,
            "settings_file_exists": there,
            "unread_variables": variables,
            "unread_tables": tables,
            "network": network,
            "notes": faults,
            "files": [file_as_dict(file) for file in files],
            "keys": [key_as_dict(key) for key in keys],
        }
        echo_json(content)
        return
    echo_err(f"settings file: {source}{'' if there else ' (missing)'}")
    in_force = network_in_force(os.environ)
    for name, value in network.items():
        echo_err(f"network: {name}={value}{' (in force)' if name in in_force else ''}")
    for note in faults:
        echo_err(f"warning: {note}")
    for name in variables:
        echo_err(f"note: unknown variable {name}; check the spelling")
    for name in tables:
        echo_err(f"note: the plugin for [{name}] in the settings file is not installed")
    for number, lines in enumerate([*map(lines_of_file, files), *map(lines_of_key, keys)]):
        if number:
            echo("")
        for line in lines:
            echo_line(line)
    codes = _exit_codes(files, keys)
    wrong = sum(code != 0 for code in codes)
    echo_err(f"error: {wrong} of {len(codes)} examined are not usable" if wrong else "ok")


def _exit_codes(files: Sequence[FileFinding], keys: Sequence[KeyFinding]) -> list[int]:
    return [*(file.exit_code for file in files), *(key.exit_code for key in keys)]
