"""Which faults are in force, for which operation, and how often still."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class FaultKind(StrEnum):
    """What can go wrong. The last three are applied by the service, the rest by the server."""

    LATENCY = "latency"
    HANG = "hang"
    DROP = "drop"
    THROTTLE = "throttle"
    ERROR = "error"
    TRUNCATE = "truncate"
    WRONG_CHECKSUM = "wrong-checksum"
    WRONG_KEY_ID = "wrong-key-id"
    OVER_LONG_KEY = "over-long-key"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault in force.

    Args:
        kind: What goes wrong.
        operation: The one operation that suffers, or None for all of them.
        times: How many calls still suffer, or None until cleared.
        seconds: The delay, for `LATENCY`.
        retry_after_seconds: What to advise, for `THROTTLE` and `ERROR`; None sends no advice.
        status: The HTTP status, for `ERROR`.
    """

    kind: FaultKind
    operation: str | None = None
    times: int | None = None
    seconds: float = 0.0
    retry_after_seconds: float | None = None
    status: int = 500

    def __post_init__(self) -> None:
        """Refuse values that could never take effect."""
        if self.times is not None and self.times < 1:
            raise ValueError("times must be at least 1, or None until cleared")
        if self.kind is FaultKind.LATENCY and self.seconds <= 0:
            raise ValueError("latency needs seconds above 0")
        if self.kind is FaultKind.ERROR and not 500 <= self.status <= 599:
            raise ValueError("status must be from 500 to 599")

    def concerns(self, kind: FaultKind, operation: str) -> bool:
        """Say whether this fault hits that operation."""
        return self.kind is kind and self.operation in (None, operation)

    def to_json(self) -> dict[str, Any]:
        """Return the form that the control endpoint shows."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {**fields, "kind": self.kind.value}


def fault_from_json(value: Mapping[str, Any]) -> Fault:
    """Read a fault from the control endpoint.

    Raises:
        ValueError: An unknown kind, a missing kind or a value out of range.
        TypeError: An unknown field.
    """
    fields = dict(value)
    return Fault(kind=FaultKind(fields.pop("kind", None)), **fields)


class FaultPlan:
    """The faults in force. Earlier ones are used up first; safe across threads."""

    def __init__(self) -> None:
        """Start without faults."""
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(
        self,
        kind: FaultKind,
        *,
        operation: str | None = None,
        times: int | None = None,
        seconds: float = 0.0,
        retry_after_seconds: float | None = None,
        status: int = 500,
    ) -> None:
        """Put a fault in force; the arguments are those of `Fault`."""
        self.put(Fault(kind, operation, times, seconds, retry_after_seconds, status))

    def put(self, fault: Fault) -> None:
        """Put a ready-made fault in force."""
        with self._lock:
            self._faults.append(fault)

    def take(self, kind: FaultKind, operation: str) -> Fault | None:
        """Return the fault that hits this call and count it as used, or None.

        Ask only when the fault will be applied: asking uses it up.
        """
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.concerns(kind, operation):
                    self._use(index, fault)
                    return fault
        return None

    def in_force(self) -> list[Fault]:
        """Return the faults that later calls will still meet."""
        with self._lock:
            return list(self._faults)

    def clear(self) -> None:
        """End every fault."""
        with self._lock:
            self._faults.clear()

    def _use(self, index: int, fault: Fault) -> None:
        if fault.times is None:
            return
        if fault.times == 1:
            del self._faults[index]
            return
        self._faults[index] = replace(fault, times=fault.times - 1)
