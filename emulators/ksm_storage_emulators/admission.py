"""What happens to a call before its service sees it: the faults and quotas in force."""

from dataclasses import dataclass
from enum import Enum

from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.service import Bench


class Outcome(Enum):
    """How a listener has to treat a call."""

    ADMIT = "admit"
    ABANDON = "abandon"
    THROTTLE = "throttle"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Admission:
    """The verdict on one call.

    Args:
        outcome: `ADMIT` goes to the service, `ABANDON` closes the connection without a reply,
            `THROTTLE` and `FAIL` are answered in the service's own words.
        retry_after_seconds: The advice that goes with `THROTTLE` and `FAIL`.
        status: The HTTP status that goes with `FAIL`.
    """

    outcome: Outcome
    retry_after_seconds: float | None = None
    status: int = 500


def admit(bench: Bench, operation: str) -> Admission:
    """Wait as the faults demand, then decide. Independent of the transport."""
    latency = bench.faults.take(FaultKind.LATENCY, operation)
    if latency is not None:
        bench.stopping.wait(latency.seconds)
    if bench.faults.take(FaultKind.HANG, operation) is not None:
        bench.stopping.wait()
        return Admission(Outcome.ABANDON)
    if bench.faults.take(FaultKind.DROP, operation) is not None:
        return Admission(Outcome.ABANDON)
    return _answered_fault(bench, operation) or _quota(bench, operation)


def _answered_fault(bench: Bench, operation: str) -> Admission | None:
    throttle = bench.faults.take(FaultKind.THROTTLE, operation)
    if throttle is not None:
        return Admission(Outcome.THROTTLE, throttle.retry_after_seconds)
    error = bench.faults.take(FaultKind.ERROR, operation)
    if error is not None:
        return Admission(Outcome.FAIL, error.retry_after_seconds, error.status)
    return None


def _quota(bench: Bench, operation: str) -> Admission:
    if bench.quotas.admit(operation):
        return Admission(Outcome.ADMIT)
    return Admission(Outcome.THROTTLE)
