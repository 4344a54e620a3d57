"""Stand between the plugin and a real library at its table of functions: count, fail, alter."""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ksm_storage_entrust_hsm import cryptoki as ck

Answer = int | Callable[..., int]


class Interposer:
    """Hold the calls that were made, and what some functions answer instead of the library.

    An answer is a return value, or a function of the real function and the arguments.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.answers: dict[str, Answer] = {}
        self._kept: list[object] = []

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
            self.calls[name] += 1
            answer = self.answers.get(name)
            if answer is None:
                return int(real(*arguments))
            return answer(real, *arguments) if callable(answer) else answer

        return passed


def once(code: int) -> Answer:
    """Answer once with a return value, and then as the library does."""
    left = [code]
    return lambda real, *arguments: left.pop() if left else int(real(*arguments))


def writes_iv(iv: bytes) -> Answer:
    """Begin AES-GCM as an HSM does that puts an IV of its own where the caller's was."""

    def begun(real: Any, session: int, mechanism: Any, key: int) -> int:
        parameters = ck.GcmParameters.from_address(mechanism.contents.parameter)
        ctypes.memmove(parameters.iv, iv, len(iv))
        return int(real(session, mechanism, key))

    return begun
