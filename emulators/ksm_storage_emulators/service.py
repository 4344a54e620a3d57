"""The contract between the framework and one emulated service."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.faults import FaultKind, FaultPlan
from ksm_storage_emulators.message import Reply, Request
from ksm_storage_emulators.quotas import Quotas
from ksm_storage_emulators.transcript import Transcript


class Bench:
    """The test bench around one service, shared by all of its listeners (HTTP, gRPC)."""

    def __init__(self, clock: MovableClock) -> None:
        """Start without faults, quotas or calls."""
        self.clock = clock
        self.faults = FaultPlan()
        self.quotas = Quotas(clock)
        self.transcript = Transcript()
        # Set when the emulator stops: every wait ends then, so that no hang outlives it.
        self.stopping = threading.Event()

    def reset(self) -> None:
        """Clear faults, quotas and transcript, and set the clock right. Keys are kept."""
        self.faults.clear()
        self.quotas.clear()
        self.transcript.reset()
        self.clock.reset()


@dataclass(frozen=True, slots=True)
class Call:
    """One admitted request on its way through a service."""

    request: Request
    operation: str
    bench: Bench

    def suffers(self, kind: FaultKind) -> bool:
        """Say whether the service has to falsify this reply, and count the fault as used.

        Ask at the very place where the reply is falsified, and only for `WRONG_CHECKSUM`,
        `WRONG_KEY_ID` and `OVER_LONG_KEY`; the server applies all other faults.
        """
        return self.bench.faults.take(kind, self.operation) is not None


@dataclass(frozen=True, slots=True)
class Address:
    """Where an emulator listens. `ca_file` is the private CA's PEM file, if one was written."""

    url: str
    host: str
    port: int
    ca_file: str | None = None


class Service(Protocol):
    """An emulated service. One instance holds the state of one emulator.

    It is called from many threads at once and locks its own state.

    Attributes:
        name: The name on the command line.
        clock: The service's time; also moved through `Emulator.clock`.
        hostnames: Names for the TLS certificate besides localhost and 127.0.0.1.
    """

    name: str
    clock: MovableClock
    hostnames: Sequence[str]

    def operation(self, request: Request) -> str:
        """Name the operation a request asks for: the key of counters, faults and quotas.

        Never raises; whatever it cannot name it calls "unknown".
        """

    def respond(self, call: Call) -> Reply:
        """Answer, errors included. An exception from here is a bug and becomes a bare 500."""

    def throttled(self, call: Call, *, retry_after_seconds: float | None) -> Reply:
        """Return the service's documented throttling error."""

    def failed(self, call: Call, *, status: int, retry_after_seconds: float | None) -> Reply:
        """Return a 5xx in the service's own error format."""

    def environment(self, address: Address) -> Mapping[str, str]:
        """Return the variables with which a client library finds this emulator."""


@runtime_checkable
class Controlled(Protocol):
    """A service with control requests of its own, below `/_emulator/service/`."""

    def control(self, request: Request) -> Reply | None:
        """Answer a control request, or None for one that it does not know.

        Raises:
            ValueError, TypeError, KeyError: A body that makes no sense; becomes a 400.
        """


@runtime_checkable
class Accompanied(Protocol):
    """A service with a second listener, such as a gRPC port beside the HTTP one."""

    def start_companion(self, bench: Bench, *, port: int) -> None:
        """Listen on 127.0.0.1 and use `admission.admit` and `bench.transcript` for each call."""

    def stop_companion(self) -> None:
        """Stop listening; called after `bench.stopping` was set."""
