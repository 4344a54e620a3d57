"""The command `ksm-storage-emulators SERVICE`: run one emulator in the foreground."""

import shlex
import signal
import tempfile
import threading
from pathlib import Path

import click

from ksm_storage_emulators.certificates import PrivateAuthority
from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.registry import SERVICES, create_service
from ksm_storage_emulators.service import Service


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("service", type=click.Choice(sorted(SERVICES)))
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port; 0 picks a free one.")
@click.option(
    "--companion-port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port of the second listener (gRPC), for services that have one.",
)
@click.option("--https/--http", default=None, help="Default: what the service's clients expect.")
@click.option(
    "--ca-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the private CA (HTTPS only). Default: a temporary file.",
)
def main(
    service: str, port: int, companion_port: int, https: bool | None, ca_file: Path | None
) -> None:
    """Emulate a key service on 127.0.0.1 until SIGTERM or SIGINT.

    Prints one line: the address, then the environment that clients need, quoted for a shell.
    """
    secure = SERVICES[service].https if https is None else https
    if ca_file is not None and not secure:
        raise click.UsageError("--ca-file needs --https")
    stop = _stop_on_signals()
    with tempfile.TemporaryDirectory(prefix="ksm-storage-emulators-") as directory:
        emulator = Emulator(
            _create(service),
            port=port,
            companion_port=companion_port,
            authority=PrivateAuthority() if secure else None,
            ca_file=(ca_file or Path(directory, "ca.pem")) if secure else None,
        )
        _run(emulator, stop)


def _create(name: str) -> Service:
    try:
        return create_service(name)
    except ImportError as exc:
        hint = f"is the extra for {name} installed, as in 'ksm-storage-emulators[gcp]'?"
        raise click.ClickException(f"cannot import {exc.name!r}: {hint}") from exc


def _run(emulator: Emulator[Service], stop: threading.Event) -> None:
    try:
        emulator.start()
    except OSError as exc:
        raise click.ClickException(f"cannot start: {exc.strerror}") from exc
    try:
        click.echo(_announcement(emulator))
        # In slices: on some platforms a bare wait is not interrupted by signals.
        while not stop.wait(0.5):
            pass
    finally:
        emulator.stop()


def _announcement(emulator: Emulator[Service]) -> str:
    variables = [f"{k}={shlex.quote(v)}" for k, v in emulator.environment().items()]
    return " ".join([f"{emulator.service.name} {emulator.url}", *variables])


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
