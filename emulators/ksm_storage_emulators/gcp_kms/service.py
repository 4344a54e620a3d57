"""Google Cloud KMS: keys over gRPC, and over HTTP the endpoints that give tokens out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from google.protobuf.message import Message

from ksm_storage_emulators.certificates import PrivateAuthority
from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.control import json_object
from ksm_storage_emulators.gcp_kms.access_tokens import AccessTokens, Account
from ksm_storage_emulators.gcp_kms.ciphertext import CiphertextCodec
from ksm_storage_emulators.gcp_kms.companion import Companion
from ksm_storage_emulators.gcp_kms.errors import CODES, GcpError
from ksm_storage_emulators.gcp_kms.keys import SYMMETRIC, CryptoKey
from ksm_storage_emulators.gcp_kms.operation import Operation
from ksm_storage_emulators.gcp_kms.operations import OPERATIONS
from ksm_storage_emulators.gcp_kms.policy import EVERYTHING, Policy
from ksm_storage_emulators.gcp_kms.store import Store
from ksm_storage_emulators.gcp_kms.token_endpoints import TokenEndpoints, operation_of
from ksm_storage_emulators.message import Headers, Reply, Request, json_reply
from ksm_storage_emulators.service import Address, Bench, Call

_PREFIX = "/_emulator/service/"

KEY_RING = "projects/demo/locations/global/keyRings/demo"
ADMINISTRATOR = "administrator@demo.iam.gserviceaccount.com"


class GcpKmsService:
    """The state of one emulator: keys, accounts, grants.

    With an authority the gRPC side speaks TLS; give the `Emulator` the same one.
    """

    name = "gcp-kms"
    hostnames: Sequence[str] = ()

    def __init__(self, *, authority: PrivateAuthority | None = None) -> None:
        """Start with one key ring and an administrator who may do everything."""
        self.clock = MovableClock()
        self.policy = Policy()
        self.tokens = AccessTokens(self.clock)
        self.endpoints = TokenEndpoints(self.tokens, self.policy, self.clock)
        self.administrator = self.tokens.add_account(ADMINISTRATOR)
        self.policy.grant(ADMINISTRATOR, [EVERYTHING])
        self._authority = authority
        self._store = Store(self.clock)
        self._codec = CiphertextCodec()
        self._companion: Companion | None = None
        self._bench: Bench | None = None

    @property
    def grpc_address(self) -> str:
        """Where the gRPC side listens.

        Raises:
            RuntimeError: It is not running.
        """
        if self._companion is None:
            raise RuntimeError("the emulator is not running")
        return self._companion.address

    def create_key(
        self, key_id: str, *, algorithm: str = SYMMETRIC, protection_level: str = "SOFTWARE"
    ) -> CryptoKey:
        """Return a new key of the one key ring, with a first version."""
        key = CryptoKey(f"{KEY_RING}/cryptoKeys/{key_id}", algorithm, protection_level)
        version = key.add_version()
        if algorithm == SYMMETRIC:
            key.primary = version
        with self._store.lock:
            self._store.add(key)
        return key

    def generate_for(self, seconds: float) -> None:
        """Let each key pair that is created from now on be generated for so long."""
        with self._store.lock:
            self._store.generation_seconds = seconds

    def rotate(self, key: CryptoKey) -> str:
        """Add a version, make it the primary of a symmetric key, and return its name."""
        with self._store.lock:
            version = key.add_version()
            if key.algorithm == SYMMETRIC:
                key.primary = version
        return version.name

    def write_key_file(self, path: Path, *, url: str, account: Account | None = None) -> Path:
        """Write the key of an account (the administrator's) as a credentials file."""
        path.write_text((account or self.administrator).key_file(f"{url}/token"))
        return path

    def operation(self, request: Request) -> str:
        """Name the operation of an HTTP request."""
        return operation_of(request)

    def respond(self, call: Call) -> Reply:
        """Answer an HTTP request for a token."""
        host = call.request.headers.get("host", "")
        scheme = "http" if self._authority is None else "https"
        return self.endpoints.respond(call.request, url=f"{scheme}://{host}")

    def throttled(self, call: Call, *, retry_after_seconds: float | None) -> Reply:
        """RESOURCE_EXHAUSTED in the JSON format of the HTTP side."""
        headers = {} if retry_after_seconds is None else {"Retry-After": f"{retry_after_seconds:g}"}
        error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded."}
        return json_reply(429, {"error": error}, headers=headers)

    def failed(self, call: Call, *, status: int, retry_after_seconds: float | None) -> Reply:
        """The status in the JSON format of the HTTP side."""
        names = {http: name for name, (_, http) in CODES.items()}
        error = {"code": status, "status": names.get(status, "INTERNAL"), "message": "Failed."}
        return json_reply(status, {"error": error})

    def start_companion(self, bench: Bench, *, port: int) -> None:
        """Start the gRPC side."""
        self._bench = bench
        self._companion = Companion(bench, self._answer, port=port, authority=self._authority)

    def stop_companion(self) -> None:
        """Stop the gRPC side."""
        if self._companion is not None:
            self._companion.stop()
        self._companion = None

    def environment(self, address: Address) -> Mapping[str, str]:
        """The variables of the plugin and of google-auth's metadata client."""
        scheme = "http" if self._authority is None else "https"
        variables = {
            "KSM_STORAGE_GCP_KMS_ENDPOINT": f"{scheme}://{self.grpc_address}",
            "KSM_STORAGE_GCP_KMS_IAM_ENDPOINT": address.url,
            "GCE_METADATA_HOST": f"{address.host}:{address.port}",
            "GCE_METADATA_IP": f"{address.host}:{address.port}",
        }
        if address.ca_file is not None:
            variables["KSM_STORAGE_GCP_KMS_CA_FILE"] = address.ca_file
        return variables

    def control(self, request: Request) -> Reply | None:
        """Answer the control requests about accounts: see `control`."""
        return control_accounts(self, request)

    def _answer(self, name: str, body: bytes, headers: Headers) -> bytes:
        if self._bench is None:
            raise RuntimeError("the emulator is not running")
        caller = self.tokens.caller(headers.get("authorization"))
        project = headers.get("x-goog-user-project")
        if project is not None:
            resource = f"projects/{project}"
            if not self.policy.allows(caller, "serviceusage.services.use", resource):
                raise GcpError("foreign quota project", resource=resource)
        kind, action = OPERATIONS[name]
        operation = Operation(name, caller, self._store, self.policy, self._codec, self._bench)
        with self._store.lock:
            reply = action(operation, kind.deserialize(body))
        if isinstance(reply, Message):
            return bytes(reply.SerializeToString())
        return bytes(type(reply).serialize(reply))


def control_accounts(service: GcpKmsService, request: Request) -> Reply | None:
    """Make an account, grant or revoke, make a key or delay generation; None for any other request.

    Raises:
        ValueError, TypeError, KeyError: A body that makes no sense.
    """
    name = f"{request.method} {request.path.removeprefix(_PREFIX)}"
    body = json_object(request.body)
    if name == "POST accounts":
        account = service.tokens.add_account(str(body["email"]))
        url = f"http://{request.headers['host']}"
        return Reply(200, account.key_file(f"{url}/token").encode())
    if name == "POST grants":
        permissions = [str(each) for each in body["permissions"]]
        service.policy.grant(str(body["member"]), permissions, on=str(body.get("resource", "*")))
        return Reply(204)
    if name == "DELETE grants":
        service.policy.revoke(str(body["member"]))
        return Reply(204)
    if name == "POST generation":
        service.generate_for(float(body["seconds"]))
        return Reply(204)
    if name == "POST keys":
        key = service.create_key(**{each: str(value) for each, value in body.items()})
        return json_reply(200, {"name": key.name, "version": key.versions[0].name})
    return None
