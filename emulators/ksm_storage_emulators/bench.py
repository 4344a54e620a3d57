"""What every emulator has besides its service: clock, faults, quotas, transcript."""

import threading

from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.faults import FaultPlan
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
