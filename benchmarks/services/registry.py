"""The key services that the benchmarks measure, and how each is started."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks.interleaved import Program
from benchmarks.services import aws_kms, azure_kv, gcp_kms, key_file, oracle_kv, os_keyring, pkcs11
from benchmarks.services.service import NotMeasuredError, Service

Start = Callable[[Path], AbstractContextManager[tuple[Service, Program]]]

SERVICES: dict[str, Start] = {
    "key-file": key_file.running,
    "os-keyring": os_keyring.running,
    "aws-kms": aws_kms.running,
    "azure-kv": azure_kv.running,
    "gcp-kms": gcp_kms.running,
    "gcp-kms-federation": gcp_kms.running_federated,
    "oracle-kv": oracle_kv.running,
    "oracle-kv-instance": oracle_kv.running_on_instance,
    "pkcs11": pkcs11.running,
}
CLOUD = ("aws-kms", "azure-kv", "gcp-kms", "oracle-kv")
DIRECT = (*CLOUD, "gcp-kms-federation", "oracle-kv-instance")


@contextmanager
def started(name: str, folder: Path) -> Iterator[tuple[Service, Program] | None]:
    """Run a service while the context lasts; print a line and return None if that is impossible."""
    place = folder / name
    place.mkdir()
    try:
        running = SERVICES[name](place)
        found = running.__enter__()
    except NotMeasuredError as exc:
        print(f"\n{name}: not measured: {exc}")
        yield None
        return
    with _ended(running):
        yield found


@contextmanager
def _ended(running: AbstractContextManager[object]) -> Iterator[None]:
    try:
        yield
    finally:
        running.__exit__(None, None, None)
