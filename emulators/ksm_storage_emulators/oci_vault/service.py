"""The OCI Vault emulator: authentication, dispatch, and ways to set a test up."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.message import Reply, Request, json_reply
from ksm_storage_emulators.oci_vault.errors import OciError, error_reply
from ksm_storage_emulators.oci_vault.identities import (
    Grant,
    Identities,
    control_users,
    write_config,
)
from ksm_storage_emulators.oci_vault.instances import Instances
from ksm_storage_emulators.oci_vault.keys import AES, LENGTHS, Key, Vault
from ksm_storage_emulators.oci_vault.operation import Arguments, Operation
from ksm_storage_emulators.oci_vault.routes import ROUTES, find_route, is_path
from ksm_storage_emulators.oci_vault.signature import SignatureVerifier
from ksm_storage_emulators.service import Address, Call

_THROTTLED = "Too many requests for the tenant."


class OciVaultService:
    """One vault with its crypto and its management endpoint on one address.

    `administrator` may do everything; further callers come from `identities`.
    """

    name = "oci-vault"
    hostnames: Sequence[str] = ("*.kms.us-ashburn-1.oraclecloud.com",)

    def __init__(self) -> None:
        """Start without keys, with an administrator."""
        self.clock = MovableClock()
        self.identities = Identities(self.clock)
        self.administrator = self.identities.add_user([Grant("*")])
        self.vault = Vault(self.clock)
        self.instances = Instances(self.identities, self.clock)
        self._verifier = SignatureVerifier(self.identities.find, self.clock, signs_host=True)
        self.named_keys: dict[str, str] = {}
        """Variables of the environment -> OCIDs of keys, which nobody can choose."""
        self._files: tempfile.TemporaryDirectory[str] | None = None

    def create_key(self, *, algorithm: str = AES, length: int | None = None) -> Key:
        """Create a key without a call on the wire; `length` is in bytes."""
        chosen = length or (32 if algorithm == AES else LENGTHS[algorithm][0])
        return self.vault.create(algorithm=algorithm, length=chosen, name="key")

    def operation(self, request: Request) -> str:
        """Name the operation of the API reference."""
        if self.instances.concerns(request):
            return f"instance:{request.path.rpartition('/')[2]}"
        route = find_route(request.method, request.path)
        return "unknown" if route is None else route[0]

    def respond(self, call: Call) -> Reply:
        """Authenticate, authorise and carry out."""
        headers = {"opc-request-id": _request_id(call)}
        try:
            if self.instances.concerns(call.request):
                return self.instances.respond(call.request)
            return json_reply(200, self._result(call), headers=headers)
        except OciError as exc:
            return error_reply(exc.code, exc.message, status=exc.status, headers=headers)

    def throttled(self, call: Call, *, retry_after_seconds: float | None) -> Reply:
        """Answer TooManyRequests."""
        headers = _advised(call, retry_after_seconds)
        return error_reply("TooManyRequests", _THROTTLED, status=429, headers=headers)

    def failed(self, call: Call, *, status: int, retry_after_seconds: float | None) -> Reply:
        """Answer ServiceUnavailable for 503, else InternalServerError."""
        code = "ServiceUnavailable" if status == 503 else "InternalServerError"
        headers = _advised(call, retry_after_seconds)
        return error_reply(
            code, "An internal server error occurred.", status=status, headers=headers
        )

    def environment(self, address: Address) -> Mapping[str, str]:
        """The variables of Oracle's clients, with the administrator's config file.

        The file lies in a private directory that goes when the service does.
        """
        if self._files is None:
            self._files = tempfile.TemporaryDirectory(prefix="oci-vault-")
            write_config(
                Path(self._files.name), self.administrator, tenancy=self.identities.tenancy
            )
        config = str(Path(self._files.name, "config"))
        variables = {"OCI_CONFIG_FILE": config, "OCI_VAULT_ENDPOINT": address.url}
        variables |= self.named_keys
        if address.ca_file is not None:
            variables["REQUESTS_CA_BUNDLE"] = address.ca_file
        return variables

    def control(self, request: Request) -> Reply | None:
        """Answer the control requests about callers: see `control`."""
        return control_users(self.identities, request)

    def _result(self, call: Call) -> object:
        request = call.request
        route = find_route(request.method, request.path)
        if route is None:
            code = "MethodNotAllowed" if is_path(request.path) else "NotFound"
            raise OciError(code, "There is no such operation.")
        caller = self._verifier.verify(request).principal
        with self.vault.lock:
            operation = Operation(
                call=call,
                caller=caller,
                arguments=Arguments(request.body),
                vault=self.vault,
                path=route[1],
                now=self.clock.now(),
            )
            return ROUTES[route[0]][2](operation)


def _request_id(call: Call) -> str:
    # "If provided, the returned request ID will include this value."
    given = call.request.headers.get("opc-request-id", "")
    return f"{given}/{uuid.uuid4().hex.upper()}".lstrip("/")


def _advised(call: Call, retry_after_seconds: float | None) -> dict[str, str]:
    headers = {"opc-request-id": _request_id(call)}
    if retry_after_seconds is not None:
        headers["Retry-After"] = f"{retry_after_seconds:g}"
    return headers
