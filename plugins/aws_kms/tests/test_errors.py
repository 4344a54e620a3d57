"""Each row of the error tables, and the replies that are not believed, over the wire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import botocore.exceptions
import botocore.parsers
import pytest
from ksm_storage_aws_kms.errors import CLIENT_FAILURES, SERVICE_CODES

from ksm_storage import errors
from ksm_storage.plugin import NETWORK_RULES, WrappedDek
from ksm_storage.testing.reply_tests import ReplyTests, ScriptedService

from .opening import AAD, open_kek
from .scripted_kms import ARN, DEK, REQUEST_ID, Answer, ScriptedKms, refusal, unwrapped, wrapped
from .test_wire import OTHER_ARN, SYMMETRIC

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "plugins" / "aws-kms.md"

# Code as KMS or STS sends it, status, and the class that the caller sees.
ROWS: Mapping[str, tuple[int, type[errors.KsmStorageError]]] = {
    "DisabledException": (409, errors.KeyStateError),
    "KMSInvalidStateException": (409, errors.KeyStateError),
    "InvalidKeyUsageException": (400, errors.KeyStateError),
    "NotFoundException": (400, errors.KeyNotFoundError),
    "InvalidArnException": (400, errors.KeyNotFoundError),
    "KeyUnavailableException": (500, errors.UnavailableError),
    "InvalidCiphertextException": (400, errors.DecryptionError),
    "IncorrectKeyException": (400, errors.DecryptionError),
    "DependencyTimeoutException": (503, errors.UnavailableError),
    "KMSInternalException": (500, errors.UnavailableError),
    "InternalFailure": (500, errors.UnavailableError),
    "InternalError": (500, errors.UnavailableError),
    "InternalServerError": (500, errors.UnavailableError),
    "ServiceUnavailable": (503, errors.UnavailableError),
    "RequestTimeoutException": (408, errors.UnavailableError),
    "RequestAbortedException": (400, errors.UnavailableError),
    "IDPCommunicationError": (400, errors.UnavailableError),
    "ThrottlingException": (400, errors.ThrottledError),
    "Throttling": (400, errors.ThrottledError),
    "ThrottledException": (400, errors.ThrottledError),
    "LimitExceededException": (400, errors.ThrottledError),
    "RequestLimitExceeded": (400, errors.ThrottledError),
    "TooManyRequestsException": (429, errors.ThrottledError),
    "RequestThrottledException": (400, errors.ThrottledError),
    "SlowDown": (503, errors.ThrottledError),
    "AccessDeniedException": (400, errors.PermissionDeniedError),
    "NotAuthorized": (401, errors.PermissionDeniedError),
    "UnauthorizedOperation": (403, errors.PermissionDeniedError),
    "InvalidGrantTokenException": (400, errors.PermissionDeniedError),
    "ExpiredTokenException": (403, errors.AuthenticationError),
    "RequestExpired": (400, errors.AuthenticationError),
    "UnrecognizedClientException": (400, errors.AuthenticationError),
    "InvalidClientTokenId": (403, errors.AuthenticationError),
    "InvalidAccessKeyId": (403, errors.AuthenticationError),
    "InvalidSignatureException": (400, errors.AuthenticationError),
    "SignatureDoesNotMatch": (403, errors.AuthenticationError),
    "IncompleteSignatureException": (400, errors.AuthenticationError),
    "MissingAuthenticationTokenException": (400, errors.AuthenticationError),
    "InvalidIdentityToken": (400, errors.AuthenticationError),
    "IDPRejectedClaim": (403, errors.AuthenticationError),
    "UnauthorizedException": (401, errors.AuthenticationError),
    "OptInRequired": (403, errors.AuthenticationError),
    "SubscriptionRequiredException": (403, errors.AuthenticationError),
    "InvalidCredentials": (403, errors.AuthenticationError),
    "RegionDisabledException": (403, errors.SettingsError),
    "ValidationException": (400, errors.ProviderError),
    "ValidationError": (400, errors.ProviderError),
    "SerializationException": (400, errors.ProviderError),
    "MalformedHttpRequestException": (400, errors.ProviderError),
    "UnknownOperationException": (400, errors.ProviderError),
    "InvalidAction": (400, errors.ProviderError),
    "UnsupportedOperationException": (400, errors.ProviderError),
    "DryRunOperationException": (412, errors.ProviderError),
    # In no table: by the status.
    "SomethingNewException": (400, errors.ProviderError),
    "SomethingBrokenException": (502, errors.UnavailableError),
    "SomethingBusyException": (429, errors.ThrottledError),
}

UNREADABLE: Mapping[str, bytes] = {
    "no body": b"",
    "half a body": b'{"KeyId":"arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34',
    "no JSON": b"<html>proxy</html>",
    "no object": b"[]",
    "a text": b'"text"',
    "null": b"null",
    "another encoding": b'{"KeyId":"\xff\xfe"}',
    "a plaintext that is no base64": b'{"KeyId":"%s","Plaintext":"A"}' % ARN.encode(),
    "a plaintext that is no text": b'{"KeyId":"%s","Plaintext":[1]}' % ARN.encode(),
    "a plaintext that is no ASCII": b'{"KeyId":"%s","Plaintext":"\xc3\xa9"}' % ARN.encode(),
    "a key id that is no text": b'{"KeyId":7,"Plaintext":"AAAA"}',
    "no plaintext": b'{"KeyId":"%s"}' % ARN.encode(),
    "nested without end": b"[" * 100_000,
}


@pytest.fixture(autouse=True)
def one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


class TestReplies(ReplyTests):
    """Replies of a scripted KMS."""

    altered_deks: ClassVar[Mapping[str, WrappedDek]] = {
        "another key": SYMMETRIC._replace(key_id=OTHER_ARN),
        "an alias": SYMMETRIC._replace(key_id="alias/app"),
        "another algorithm": SYMMETRIC._replace(algorithm="RSAES_OAEP_SHA_1"),
        "empty": SYMMETRIC._replace(ciphertext=b""),
        "longer than KMS makes": SYMMETRIC._replace(ciphertext=bytes(6145)),
    }
    foreign_wraps: ClassVar[Mapping[str, Answer]] = {
        name: wrapped(key_id=name)
        for name in (OTHER_ARN, "alias/app", ARN.rpartition("/")[2], "junk")
    }
    foreign_deks: ClassVar[Mapping[str, Answer]] = {"another": unwrapped(key_id=OTHER_ARN)}
    unreadable_wraps: ClassVar[Mapping[str, Answer]] = {
        str(body): Answer(body=json.dumps(body).encode())
        for body in ({}, {"KeyId": ARN}, {"KeyId": ARN, "CiphertextBlob": ""})
    }
    unreadable_deks: ClassVar[Mapping[str, Answer]] = {
        **{name: Answer(body=body) for name, body in UNREADABLE.items()},
        "ended early": Answer(body=b'{"KeyId":', missing_bytes=100),
        "cut": Answer(body=unwrapped().body[:-6]),
        "no UTF-8": Answer(body=unwrapped().body[:-2] + b"\xff" + unwrapped().body[-2:]),
        "another member": Answer(body=unwrapped().body.replace(b'"Plaintext"', b'"plaintext"')),
    }
    refusals: ClassVar[Mapping[str, Any]] = {
        code: (refusal(code, status=status), kind) for code, (status, kind) in ROWS.items()
    }
    request_id = REQUEST_ID

    @pytest.fixture
    def service(self, scripted: ScriptedKms) -> ScriptedService:
        return ScriptedService(
            open=lambda: open_kek(ARN, scripted.url),
            answer=lambda answer: setattr(scripted, "answer", answer),
            asked=lambda: len(scripted.asked),
            wrapped=SYMMETRIC,
            unwrapped=unwrapped(),
            dek=DEK,
        )


def _unwrap_refused(endpoint: str, **settings: object) -> errors.KsmStorageError:
    with open_kek(ARN, endpoint, **settings) as kek, pytest.raises(errors.KsmStorageError) as exc:
        kek.unwrap(SYMMETRIC, aad=AAD)
    return exc.value


def test_every_row_of_the_table_of_the_service_has_a_test() -> None:
    assert set(SERVICE_CODES) - {code.removesuffix("Exception") for code in ROWS} == set()


def test_every_code_of_kms_stands_in_the_documentation() -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8")

    assert [code for code in SERVICE_CODES if f"`{code}" not in text] == []


@pytest.mark.parametrize(("operation", "permission"), [("wrap", "Encrypt"), ("unwrap", "Decrypt")])
def test_a_denial_names_the_permission_and_both_causes(
    scripted: ScriptedKms, operation: str, permission: str
) -> None:
    scripted.answer = refusal("AccessDeniedException")

    with open_kek(ARN, scripted.url) as kek, pytest.raises(errors.PermissionDeniedError) as caught:
        _ = kek.wrap(DEK, aad=AAD) if operation == "wrap" else kek.unwrap(SYMMETRIC, aad=AAD)

    assert caught.value.permission == f"kms:{permission}"
    assert f"not allowed to use kms:{permission} on the key" in caught.value.message
    assert "or the key does not exist" in caught.value.message


def test_an_invalid_ciphertext_names_both_causes(scripted: ScriptedKms) -> None:
    scripted.answer = refusal("InvalidCiphertextException")

    assert "altered data or another context" in _unwrap_refused(scripted.url).message


def test_a_code_that_could_be_anything_is_not_repeated(scripted: ScriptedKms) -> None:
    scripted.answer = refusal("secret=hunter2, and more")

    assert "hunter2" not in str(_unwrap_refused(scripted.url).as_dict())


def test_a_page_of_a_proxy_is_told_by_its_status(scripted: ScriptedKms) -> None:
    scripted.answer = Answer(status=502, body=b"<html>bad gateway</html>")

    assert type(_unwrap_refused(scripted.url)) is errors.UnavailableError


def test_every_failure_of_the_client_is_one_that_it_has() -> None:
    known = vars(botocore.exceptions).keys() | vars(botocore.parsers).keys()
    ours = {"MalformedCredentialsError", "HelperNotFoundError"}

    assert CLIENT_FAILURES.keys() - known - NETWORK_RULES.keys() == ours
