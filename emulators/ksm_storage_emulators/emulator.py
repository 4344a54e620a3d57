"""Run one emulated service on the loopback interface: the entry point of this package."""

import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

from ksm_storage_emulators.certificates import PrivateAuthority
from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.control import Control
from ksm_storage_emulators.faults import FaultPlan
from ksm_storage_emulators.listener import HOST, Listener
from ksm_storage_emulators.quotas import Quotas
from ksm_storage_emulators.service import Accompanied, Address, Bench, Service
from ksm_storage_emulators.transcript import Transcript

ServiceT = TypeVar("ServiceT", bound=Service)


class Emulator(Generic[ServiceT]):
    """A running emulator; a context manager. Bound to 127.0.0.1 and nothing else.

    Args:
        service: The service with its state; one emulator each.
        port: The port, or 0 for a free one.
        companion_port: The port of a second listener (gRPC), if the service has one.
        authority: With a private CA the emulator speaks HTTPS, without it HTTP.
        ca_file: Where to write the CA's certificate when it starts.
    """

    def __init__(
        self,
        service: ServiceT,
        *,
        port: int = 0,
        companion_port: int = 0,
        authority: PrivateAuthority | None = None,
        ca_file: Path | None = None,
    ) -> None:
        """Prepare; nothing listens yet."""
        if ca_file is not None and authority is None:
            raise ValueError("ca_file needs an authority")
        self.service = service
        self.bench = Bench(service.clock)
        self._port = port
        self._companion_port = companion_port
        self._authority = authority
        self._ca_file = ca_file
        self._listener: Listener | None = None
        self._thread: threading.Thread | None = None

    @property
    def faults(self) -> FaultPlan:
        """The faults in force: `faults.add(FaultKind.THROTTLE, operation="Decrypt", times=2)`."""
        return self.bench.faults

    @property
    def quotas(self) -> Quotas:
        """The calls admitted per second."""
        return self.bench.quotas

    @property
    def transcript(self) -> Transcript:
        """What was asked and answered."""
        return self.bench.transcript

    @property
    def clock(self) -> MovableClock:
        """The service's time."""
        return self.bench.clock

    @property
    def address(self) -> Address:
        """Where it listens.

        Raises:
            RuntimeError: It is not running.
        """
        if self._listener is None:
            raise RuntimeError("the emulator is not running")
        scheme = "http" if self._authority is None else "https"
        port = self._listener.server_address[1]
        ca_file = None if self._ca_file is None else str(self._ca_file)
        return Address(f"{scheme}://{HOST}:{port}", HOST, int(port), ca_file)

    @property
    def url(self) -> str:
        """The endpoint URL for clients, without a trailing slash."""
        return self.address.url

    def environment(self) -> Mapping[str, str]:
        """Return the variables with which a client library finds this emulator."""
        return self.service.environment(self.address)

    def reset(self) -> None:
        """Clear faults, quotas, transcript and clock; keys and callers stay."""
        self.bench.reset()

    def start(self) -> None:
        """Listen and serve in a thread of its own.

        Raises:
            OSError: The port is taken, or the CA file cannot be written.
            RuntimeError: It was started before.
        """
        if self._listener is not None or self.bench.stopping.is_set():
            raise RuntimeError("an emulator starts once")
        tls = None
        if self._authority is not None:
            tls = self._authority.server_context(self.service.hostnames)
            if self._ca_file is not None:
                self._ca_file.write_bytes(self._authority.certificate_pem)
        control = Control(self.service, self.bench)
        self._listener = Listener(
            self.service, self.bench, control=control, port=self._port, tls=tls
        )
        self._thread = threading.Thread(
            target=self._listener.serve_forever,
            kwargs={"poll_interval": 0.02},
            name=f"emulator-{self.service.name}",
            daemon=True,
        )
        self._thread.start()
        if isinstance(self.service, Accompanied):
            self.service.start_companion(self.bench, port=self._companion_port)

    def stop(self) -> None:
        """Stop serving, ending hanging calls as well; again is harmless."""
        if self._listener is None or self._thread is None:
            return
        self._listener.stop()
        self._thread.join()
        self._listener = None
        if isinstance(self.service, Accompanied):
            self.service.stop_companion()

    def __enter__(self) -> "Emulator[ServiceT]":
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()
