"""The fifth service: a real PKCS #11 library, with the plugin tests' interposer before it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.key_service_faults.outcomes import UNWRAP, WRAP

_PLUGINS = Path(__file__).parents[2] / "plugins"
_FUNCTIONS = {WRAP: "C_Encrypt", UNWRAP: "C_Decrypt"}

RETURN_VALUES: Mapping[str, int] = {
    "device error": 0x30,
    "device memory": 0x31,
    "session closed": 0xB0,
    "token removed": 0xE0,
    "key disabled": 0x68,
}


def module_of_plugin_tests(name: str, *, plugin: str = "entrust_hsm") -> ModuleType:
    """Load a module of a plugin's tests, whose package has the same name as this one."""
    full = f"{plugin}_tests_{name}"
    if full not in sys.modules:
        spec = spec_from_file_location(full, _PLUGINS / plugin / "tests" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[full] = module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[full]


def is_installed() -> bool:
    """Tell whether there is a library of SoftHSM 2."""
    return module_of_plugin_tests("soft_token").LIBRARY is not None


class SoftHsm:
    """Command what the library answers in the place of SoftHSM 2."""

    provider = "pkcs11"
    in_a_hurry: Mapping[str, str] = {}

    def __init__(self, folder: Path) -> None:
        tokens = module_of_plugin_tests("soft_token")
        token = tokens.SoftToken.create(folder)
        self.keys: tuple[str, str] = ("pkcs11:token=ksm;object=one", "pkcs11:token=ksm;object=two")
        self.variables = {
            "SOFTHSM2_CONF": os.environ["SOFTHSM2_CONF"],
            "KSM_STORAGE_PKCS11_MODULE": token.library,
            "KSM_STORAGE_PKCS11_PIN": tokens.PIN,
        }
        self.interposer = module_of_plugin_tests("interposer").Interposer()
        self._strike: _Strike | None = None

    def strike(self, fault: str, call: str | None, *, times: int | None = None) -> None:
        """Answer so at one kind of call or at both."""
        self._strike = _Strike(fault, times)
        for name in _FUNCTIONS.values() if call is None else (_FUNCTIONS[call],):
            self.interposer.answers[name] = self._strike

    def was_struck(self) -> bool:
        """Tell whether the fault was used up."""
        return self._strike is not None and self._strike.is_used_up()

    def heal(self) -> None:
        """Answer as the library does."""
        self.interposer.answers.clear()


class _Strike:
    """Answer falsely, until healed or so many times, whichever threads call."""

    def __init__(self, fault: str, times: int | None) -> None:
        self._fault, self._left = fault, times
        self._lock = threading.Lock()

    def is_used_up(self) -> bool:
        return self._left == 0

    def __call__(self, real: Callable[..., int], *arguments: Any) -> int:
        if self._is_one_more():
            return _answered(self._fault, real, *arguments)
        return int(real(*arguments))

    def _is_one_more(self) -> bool:
        with self._lock:
            if self._left == 0:
                return False
            if self._left is not None:
                self._left -= 1
            return True


def _answered(fault: str, real: Callable[..., int], *arguments: Any) -> int:
    if fault in RETURN_VALUES:
        return RETURN_VALUES[fault]
    code = int(real(*arguments))
    _session, _data, _length, output, output_length = arguments
    if code == 0 and output:
        if fault == "short reply":
            output_length.contents.value -= 1
        else:
            output[0] ^= 1
    return code
