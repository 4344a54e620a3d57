"""A vault that answers key operations with what a test tells it to; tokens are the emulator's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ksm_storage_emulators.azure_key_vault.service import AzureKeyVaultService
from ksm_storage_emulators.certificates import PrivateAuthority
from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.json_web_token import encode
from ksm_storage_emulators.message import Reply
from ksm_storage_emulators.service import Call

from .emulated_vault import KEY_OPERATIONS, EmulatedVault

VERSION = "0123456789abcdef0123456789abcdef"
KEY = "https://demo.vault.azure.net/keys/app"
KID = f"{KEY}/{VERSION}"
OTHER_KID = f"https://demo.vault.azure.net/keys/other/{VERSION}"
HSM_KEY = "https://demo.managedhsm.azure.net/keys/app"
HSM_KID = f"{HSM_KEY}/{VERSION}"
REQUEST_ID = "0f1e2d3c-aaaa-bbbb-cccc-0123456789ab"
DEK = bytes(range(32))
JSON = "application/json; charset=utf-8"


def reply(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a reply with a JSON body."""
    own = {"Content-Type": JSON, "x-ms-request-id": REQUEST_ID}
    return Reply(status, json.dumps(body).encode(), {**own, **(headers or {})})


def refusal(
    status: int,
    code: str,
    *,
    inner: str | None = None,
    text: str = "text of the service",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Return an error in the format of the service."""
    error: dict[str, Any] = {"code": code, "message": text}
    if inner is not None:
        error["innererror"] = {"code": inner}
    return reply({"error": error}, status=status, headers=headers)


def unwrapped(*, kid: str = KID, dek: bytes = DEK) -> Reply:
    """Return the reply to a successful unwrapKey or decrypt."""
    return reply({"kid": kid, "value": encode(dek)})


def wrapped(*, kid: str = KID, ciphertext: bytes = b"c" * 256) -> Reply:
    """Return the reply to a successful wrapKey."""
    return reply({"kid": kid, "value": encode(ciphertext)})


@dataclass(frozen=True, slots=True)
class Asked:
    """One key operation as it came."""

    operation: str
    path: str
    body: Mapping[str, Any]


class ScriptedService(AzureKeyVaultService):
    """The emulator, but for the answers to key operations."""

    def __init__(self) -> None:
        super().__init__()
        self.add_managed_hsm("demo")
        self.answer = unwrapped()
        self.answers: list[Reply] = []
        self.asked: list[Asked] = []
        self.token_answer: Reply | None = None

    def respond(self, call: Call) -> Reply:
        """Answer a key operation from the script."""
        if call.operation == "token" and self.token_answer is not None:
            return self.token_answer
        if call.operation not in KEY_OPERATIONS:
            return super().respond(call)
        request = call.request
        self.asked.append(Asked(call.operation, request.path, json.loads(request.body or b"{}")))
        return self.answers.pop(0) if self.answers else self.answer


class ScriptedVault(EmulatedVault):
    """Hold the running script."""

    def __init__(self, emulator: Emulator[ScriptedService], ca_file: Path) -> None:
        # To its users an emulator of the one is an emulator of the other.
        super().__init__(cast("Emulator[AzureKeyVaultService]", emulator), ca_file)
        self._script = emulator.service

    @property
    def asked(self) -> list[Asked]:
        """The key operations that came, oldest first."""
        return self._script.asked

    def answer(self, *answers: Reply) -> None:
        """Answer with these in turn, and then with the last again and again."""
        self._script.answers = list(answers[:-1])
        self._script.answer = answers[-1]

    def refuse_tokens(self, answer: Reply) -> None:
        """Answer so to whoever asks Entra ID for a token."""
        self._script.token_answer = answer

    def forget(self) -> None:
        """Start anew."""
        self.emulator.reset()
        self.asked.clear()
        self._script.token_answer = None
        self.answer(unwrapped())


@contextmanager
def running_script(folder: Path) -> Iterator[ScriptedVault]:
    """Run a scripted vault over HTTPS with a CA of its own."""
    ca_file = folder / "ca.pem"
    with Emulator(ScriptedService(), authority=PrivateAuthority(), ca_file=ca_file) as emulator:
        yield ScriptedVault(emulator, ca_file)
