"""What each key service provides to the benchmarks: a key, a floor and the official class."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import ksm_storage
from benchmarks.interleaved import Program, python

CONFIG = {"hostname": "keepersecurity.eu", "clientId": "x" * 88, "privateKey": "y" * 184}
SIGN_IN = frozenset({"challenge", "token", "openid-configuration", "Token"})

_OURS = "import ksm_storage\nstorage = ksm_storage.open_storage(path, keys=[{key!r}])\n"
_READ = "assert storage.get(ConfigKeys.KEY_HOSTNAME)\n"
# What is written first is what the clock is stopped by.
_TELL = "\nprint('the value is here', flush=True)\n"
_KEYS = "from keeper_secrets_manager_core.configkeys import ConfigKeys\n"


class NotMeasuredError(Exception):
    """Say in one line why a service or the official class is missing."""


class Service(NamedTuple):
    """Hold a running service.

    Attributes:
        provider: Its provider's name.
        title: What people call it.
        key: The URI of a key of it.
        official: Code that makes ``storage``, the official class, of the file ``path``.
        official_name: The name of that class.
        counted: Returns the calls since it was asked last, those that sign in among them.
    """

    provider: str
    title: str
    key: str
    official: str | None = None
    official_name: str = ""
    counted: Callable[[], Counter[str]] | None = None

    @property
    def ours(self) -> str:
        """Code that makes ``storage``, ours, of the file ``path``."""
        return _OURS.format(key=self.key)


def cold_starts(service: Service, floor: Program, folder: Path, *, direct: bool) -> list[Program]:
    """Return the floor, our program and the official one; each reports when it has the value.

    With ``direct``, ours makes its call itself, and is run through the vendor's SDK as well.
    """
    path = sealed(folder / f"{service.provider}.json", service.key)
    opening = f"import ksm_storage; assert ksm_storage.open_storage({str(path)!r}).get('hostname')"
    programs = [floor, python("ksm-storage", "ours", opening)]
    if direct:
        variable = f"KSM_STORAGE_{service.provider.upper().replace('-', '_')}_DIRECT_CALL"
        off = f"import os; os.environ[{variable!r}] = 'no'\n"
        programs.append(python("ksm-storage, through the SDK", "other", off + opening))
    if service.official is not None:
        written = folder / f"{service.provider}-official.json"
        written.write_text(json.dumps(CONFIG), encoding="utf-8")
        code = f"path = {str(written)!r}\n{_KEYS}{service.official}{_READ}"
        # The first run, which warms the caches, seals it; a file that stayed plain costs no call.
        code += "assert open(path, 'rb').read(1) != b'{'\n"
        programs.append(python(service.official_name, "official", code))
    return [_telling(program) for program in programs]


def _telling(program: Program) -> Program:
    *interpreter, code = program.command
    return program._replace(command=(*interpreter, f"{code}{_TELL}"))


def sealed(path: Path, key: str) -> Path:
    """Write the configuration, sealed under a key; settings come from the environment."""
    path.write_text(json.dumps(CONFIG), encoding="utf-8")
    ksm_storage.protect(path, [key])
    return path


def official(package: str, code: str) -> str | None:
    """Return the code of an official class, or None if its package is not installed."""
    return code if find_spec(package) is not None else None


def require(*modules: str) -> None:
    """Check that packages are installed, without importing them.

    Raises:
        NotMeasuredError: One is not installed.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise NotMeasuredError(f"not installed: {', '.join(missing)}")


@contextmanager
def variables(wanted: Mapping[str, str]) -> Iterator[None]:
    """Set variables for this process and the programs it starts, while the context lasts."""
    before = dict(os.environ)
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def key_service_calls(calls: Counter[str]) -> int:
    """Return how many calls use the key."""
    return sum(number for name, number in calls.items() if name not in SIGN_IN)


def sign_in_calls(calls: Counter[str]) -> int:
    """Return how many calls sign in: challenges, tokens and what is read about them."""
    return sum(number for name, number in calls.items() if name in SIGN_IN)


def counting(emulator: object) -> Callable[[], Counter[str]]:
    """Return a function that returns an emulator's calls since the last time."""
    transcript = emulator.transcript  # type: ignore[attr-defined]  # one type for each service

    def counted() -> Counter[str]:
        calls = Counter(transcript.calls())
        transcript.reset()
        return calls

    return counted
