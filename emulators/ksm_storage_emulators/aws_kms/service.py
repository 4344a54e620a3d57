"""The AWS KMS emulator: protocol, authentication, dispatch, and ways to set a test up."""

import uuid
from collections.abc import Mapping, Sequence

from ksm_storage_emulators.aws_kms.arguments import Arguments
from ksm_storage_emulators.aws_kms.ciphertext import CiphertextCodec
from ksm_storage_emulators.aws_kms.errors import CONTENT_TYPE, AwsError, error_reply
from ksm_storage_emulators.aws_kms.identities import Identities, allow, control_identities
from ksm_storage_emulators.aws_kms.keys import SYMMETRIC, KmsKey, new_key
from ksm_storage_emulators.aws_kms.operation import Operation
from ksm_storage_emulators.aws_kms.operations import OPERATIONS
from ksm_storage_emulators.aws_kms.signature import Caller, SignatureVerifier
from ksm_storage_emulators.aws_kms.store import Alias, KeyStore
from ksm_storage_emulators.aws_kms.sts import (
    SecurityTokenService,
    is_sts,
    sts_action,
    sts_error,
)
from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.message import Reply, Request, json_reply
from ksm_storage_emulators.service import Address, Call

REGION = "us-east-1"
_TARGET_PREFIX = "TrentService."
_FAILURES = {500: "KMSInternalException", 503: "ServiceUnavailable"}


class AwsKmsService:
    """One account of AWS KMS, all regions on one endpoint, with STS beside it.

    The region of a request is the one that its signature names. `administrator` may do
    everything; further callers come from `identities.add_user` and `add_role`.
    """

    name = "aws-kms"
    hostnames: Sequence[str] = ("*.amazonaws.com", "*.us-east-1.amazonaws.com")

    def __init__(self) -> None:
        """Start without keys, with an administrator."""
        self.clock = MovableClock()
        self.identities = Identities(self.clock)
        self.administrator = self.identities.add_user("administrator", [allow("*")])
        self._store = KeyStore(self.clock)
        self._codec = CiphertextCodec()
        self._verifier = SignatureVerifier(self.identities, self.clock)
        self._sts = SecurityTokenService(self.identities, self._verifier)

    def create_key(
        self,
        *,
        region: str = REGION,
        key_spec: str = SYMMETRIC,
        multi_region: bool = False,
        alias: str | None = None,
    ) -> KmsKey:
        """Create a key without a call on the wire. `alias` includes its prefix `alias/`."""
        now = self.clock.now()
        key = new_key(region, key_spec=key_spec, multi_region=multi_region, description="", now=now)
        with self._store.lock:
            self._store.add(key)
            if alias is not None:
                self._store.put_alias(Alias(alias, region, key.key_id, now, now))
        return key

    def operation(self, request: Request) -> str:
        """Name the KMS operation, or the STS action with the prefix `sts:`."""
        if is_sts(request):
            return f"sts:{sts_action(request)}"
        name = request.headers.get("x-amz-target", "").removeprefix(_TARGET_PREFIX)
        return name if name in OPERATIONS else "unknown"

    def respond(self, call: Call) -> Reply:
        """Authenticate, authorise and carry out."""
        request_id = str(uuid.uuid4())
        try:
            if is_sts(call.request):
                return self._sts.respond(call.request, request_id)
            return self._respond(call, request_id)
        except AwsError as exc:
            return _error(call, exc.code, exc.message, status=exc.status, request_id=request_id)

    def throttled(self, call: Call, *, retry_after_seconds: float | None) -> Reply:
        """Answer ThrottlingException.

        https://docs.aws.amazon.com/kms/latest/developerguide/throttling.html
        """
        text = "You have exceeded the rate at which you may call KMS."
        text += " Reduce the frequency of your calls."
        reply = _error(call, "ThrottlingException", text, status=400, request_id=str(uuid.uuid4()))
        return _advised(reply, retry_after_seconds)

    def failed(self, call: Call, *, status: int, retry_after_seconds: float | None) -> Reply:
        """KMSInternalException for 500, ServiceUnavailable for 503, else InternalFailure."""
        code = _FAILURES.get(status, "InternalFailure")
        reply = _error(call, code, None, status=status, request_id=str(uuid.uuid4()))
        return _advised(reply, retry_after_seconds)

    def environment(self, address: Address) -> Mapping[str, str]:
        """The variables of boto3 and the AWS CLI, with the administrator's credentials."""
        variables = {
            "AWS_ENDPOINT_URL": address.url,
            "AWS_ACCESS_KEY_ID": self.administrator.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.administrator.secret_access_key,
            "AWS_DEFAULT_REGION": REGION,
        }
        if address.ca_file is not None:
            variables["AWS_CA_BUNDLE"] = address.ca_file
        return variables

    def control(self, request: Request) -> Reply | None:
        """Answer the control requests about callers: see `control`."""
        return control_identities(self.identities, request)

    def _respond(self, call: Call, request_id: str) -> Reply:
        caller = self._verifier.verify(call.request, service="kms")
        action = OPERATIONS.get(call.operation)
        if action is None or call.request.method != "POST" or call.request.path != "/":
            raise AwsError("UnknownOperationException")
        arguments = Arguments(call.request.body)
        with self._store.lock:
            self._store.settle()
            result = action(self._operation(call, caller, arguments))
        # Operations without output answer an empty object in this protocol.
        headers = {"x-amzn-RequestId": request_id}
        return json_reply(200, result or {}, content_type=CONTENT_TYPE, headers=headers)

    def _operation(self, call: Call, caller: Caller, arguments: Arguments) -> Operation:
        return Operation(
            call=call,
            caller=caller.key,
            region=caller.region,
            arguments=arguments,
            store=self._store,
            codec=self._codec,
            now=self.clock.now(),
        )


def _error(call: Call, code: str, message: str | None, *, status: int, request_id: str) -> Reply:
    write = sts_error if is_sts(call.request) else error_reply
    return write(code, message, status=status, request_id=request_id)


def _advised(reply: Reply, retry_after_seconds: float | None) -> Reply:
    if retry_after_seconds is None:
        return reply
    headers = {**reply.headers, "Retry-After": f"{retry_after_seconds:g}"}
    return Reply(reply.status, reply.body, headers)
