"""Count the source files that one operation runs through, in a running process.

A file counts when one of its functions is called; that a module is imported does not count. Run
``python benchmarks/files_per_operation.py [--list]``; ``--list`` names the files.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path
from types import FrameType

import ksm_storage
from benchmarks.services.registry import started
from ksm_storage.providers.key_file import key_uri_of, write_key_file
from ksm_storage.wire.aes import gcm_seal
from ksm_storage.wire.base64_forms import new_uid, to_base64
from ksm_storage.wire.keys import new_private_key, private_key_to_text

CONFIG = {"hostname": "keepersecurity.com", "clientId": "aWQ=", "privateKey": "a2V5", "url": "x"}
PACKAGE = "ksm_storage"
HARNESS = ("ksm_storage_emulators", "ksm_storage_local_vault")

Operation = Callable[[], object]


def files_run(operation: Operation) -> list[str]:
    """Return the files of the package and its plugins whose functions the operation calls."""
    seen: set[str] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        # A module's body runs once in the life of a process, a class's with it.
        if event == "call" and frame.f_code.co_flags & _OPTIMIZED:
            seen.add(frame.f_code.co_filename)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        operation()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    # A copy: a thread that the operation left behind goes on noting.
    return sorted(name for name in map(_own, tuple(seen)) if name)


# Set in the code of functions only.
_OPTIMIZED = 0x1


def _own(file: str) -> str:
    parts = Path(file).parts
    own = [place for place, part in enumerate(parts) if part.startswith(PACKAGE)]
    if not own or parts[own[0]] in HARNESS:
        return ""
    return "/".join(parts[own[0] :])


@contextmanager
def local_operations() -> Iterator[dict[str, Operation]]:
    """Return the operations that need no service, on a file sealed under a key file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_key_file(str(folder / "app.key"))
        key = key_uri_of(folder / "app.key")
        plain = json.dumps(CONFIG)
        sealed, unsealed = folder / "sealed", folder / "unsealed"
        sealed.write_text(plain)
        ksm_storage.protect(sealed, [key])
        storage = ksm_storage.open_storage(sealed)
        count = iter(range(1_000))

        def protect() -> None:
            # As another program leaves it; what stood there is replaced, not written through.
            unsealed.unlink(missing_ok=True)
            unsealed.write_text(plain)
            ksm_storage.protect(unsealed, [key])

        yield {
            "open and get": lambda: ksm_storage.open_storage(sealed).get("hostname"),
            "set": lambda: storage.set("url", str(next(count))),
            "protect": protect,
            "engine read": engine_read,
        }


def engine_read() -> object:
    """Make a client over a plain mapping, get a record and read a field of it."""
    from ksm_storage.engine import KSMHttpResponse, SecretsManager

    def post(_url: str, transmission_key: object, *_rest: object) -> KSMHttpResponse:
        transmission_key.key = _ANSWER_KEY  # type: ignore[attr-defined]
        return KSMHttpResponse(200, _answer())

    manager = SecretsManager(config=_Mapping(_device()), custom_post_function=post)
    return manager.get_secrets()[0].field("password", single=True)


class _Mapping(dict[object, object]):
    """Be the least that the engine takes for a storage."""

    def set(self, key: object, value: object, /) -> None:
        self[key] = value

    def delete(self, key: object, /) -> None:
        self.pop(key, None)


_ANSWER_KEY = bytes(range(32))


@cache
def _device() -> dict[str, str]:
    return {
        "hostname": "localhost",
        "clientId": "id",
        "privateKey": private_key_to_text(new_private_key()),
        "appKey": to_base64(_ANSWER_KEY),
        "serverPublicKeyId": "10",
    }


@cache
def _answer() -> bytes:
    content = {"title": "t", "type": "login", "fields": [{"type": "password", "value": ["p"]}]}
    data = to_base64(gcm_seal(_ANSWER_KEY, json.dumps(content).encode()))
    entry = {
        "recordUid": new_uid(),
        "recordKey": to_base64(gcm_seal(_ANSWER_KEY, _ANSWER_KEY)),
        "data": data,
    }
    return gcm_seal(_ANSWER_KEY, json.dumps({"records": [entry]}).encode())


@contextmanager
def aws_operations() -> Iterator[dict[str, Operation]]:
    """Give the operations that ask AWS KMS to unwrap a DEK, over the emulator."""
    from ksm_storage.contract.key_wrapper import Aad, KeyUri
    from ksm_storage.keys.kek import Kek

    with tempfile.TemporaryDirectory() as name, started("aws-kms", Path(name)) as found:
        if found is None:
            yield {}
            return
        key, aad = KeyUri.parse(found[0].key), Aad({"env": "prod"})
        with Kek.open(key) as kek:
            wrapped = kek.wrap(bytes(32), aad=aad)

        def unwrap(*, is_direct: bool) -> None:
            with Kek.open(key, {"aws-kms": {"direct_call": is_direct}}) as kek:
                kek.unwrap(wrapped, aad=aad)

        yield {
            "AWS unwrap": partial(unwrap, is_direct=False),
            "AWS unwrap, direct": partial(unwrap, is_direct=True),
        }


def counted(operation: Operation) -> list[str]:
    """Return the files that an operation runs through when it is repeated."""
    operation()
    return files_run(operation)


def main() -> None:
    """Print how many files each operation runs through."""
    with ExitStack() as stack:
        groups = (local_operations(), aws_operations())
        operations = [each for group in groups for each in stack.enter_context(group).items()]
        for name, operation in operations:
            files = counted(operation)
            print(f"{name}: {len(files)}")
            if "--list" in sys.argv[1:]:
                print("".join(f"    {file}{os.linesep}" for file in files), end="")


if __name__ == "__main__":
    main()
