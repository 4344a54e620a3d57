"""Stand between the plugin and a real library at its table of functions: count, fail, alter."""

from __future__ import annotations

import ctypes
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ksm_storage_entrust_hsm import cryptoki as ck

Answer = int | Callable[..., int]


class Interposer:
    """Hold the calls that were made, and what some functions answer instead of the library.

    An answer is a return value, or a function of the real function and the arguments. Such a
    function is called from any thread that calls the library, and must not raise: ctypes would
    answer ``CKR_OK`` for it.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.answers: dict[str, Answer] = {}
        self._kept: list[object] = []
        self._lock = threading.Lock()

    def interposed(self, real: ck.FunctionList) -> ck.FunctionList:
        """Return a table whose functions pass through here."""
        table = ck.FunctionList.from_buffer_copy(real)
        for name, (place, arguments) in ck.FUNCTIONS.items():
            prototype = ctypes.CFUNCTYPE(ctypes.c_ulong, *arguments)
            callback = prototype(self._passing(name, prototype(real.functions[place])))
            self._kept.append(callback)
            table.functions[place] = ctypes.cast(callback, ctypes.c_void_p).value
        return table

    @contextmanager
    def answering(self, **answers: Answer) -> Iterator[None]:
        """Answer so inside the block."""
        self.answers.update(answers)
        try:
            yield
        finally:
            for name in answers:
                del self.answers[name]

    def _passing(self, name: str, real: Any) -> Callable[..., int]:
        def passed(*arguments: Any) -> int:
            with self._lock:
                self.calls[name] += 1
            answer = self.answers.get(name)
            if answer is None:
                return int(real(*arguments))
            return answer(real, *arguments) if callable(answer) else answer

        return passed


def once(code: int) -> Answer:
    """Answer once with a return value, and then as the library does."""
    # What an iterator gives, it gives to one thread.
    left = iter([code])

    def answered(real: Any, *arguments: Any) -> int:
        found = next(left, None)
        return int(real(*arguments)) if found is None else found

    return answered


def writes_iv(iv: bytes) -> Answer:
    """Begin AES-GCM as an HSM does that puts an IV of its own where the caller's was."""

    def begun(real: Any, session: int, mechanism: Any, key: int) -> int:
        parameters = ck.GcmParameters.from_address(mechanism.contents.parameter)
        ctypes.memmove(parameters.iv, iv, len(iv))
        return int(real(session, mechanism, key))

    return begun
