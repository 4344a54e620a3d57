"""Each row of the error tables, and the replies that are not believed, over the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ksm_storage_oracle_kv.errors import SERVICE_CODES

from ksm_storage import errors
from ksm_storage.plugin import WrappedDek
from ksm_storage.testing.reply_tests import ReplyTests, ScriptedService

from .opening import AAD, open_kek
from .scripted_vault import (
    DEK,
    KEY,
    REQUEST_ID,
    Answer,
    ScriptedVault,
    refusal,
    scripted_vault,
    unwrapped,
    wrapped,
)
from .test_wire import AES, OTHER_KEY, OTHER_VERSION

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "plugins" / "oracle-kv.md"

# Code as the service sends it, status, and the class that the caller sees.
ROWS: Mapping[str, tuple[int, type[errors.KsmStorageError]]] = {
    "CannotParseRequest": (400, errors.ProviderError),
    "MissingParameter": (400, errors.ProviderError),
    "LimitExceeded": (400, errors.ProviderError),
    "QuotaExceeded": (400, errors.ProviderError),
    "RelatedResourceNotAuthorizedOrNotFound": (400, errors.PermissionDeniedError),
    "NotAuthenticated": (401, errors.AuthenticationError),
    "SignUpRequired": (402, errors.PermissionDeniedError),
    "NotAllowed": (403, errors.PermissionDeniedError),
    "NotAuthorized": (403, errors.PermissionDeniedError),
    "NotAuthorizedOrNotFound": (404, errors.PermissionDeniedError),
    "NamespaceNotFound": (404, errors.PermissionDeniedError),
    "NotFound": (404, errors.ProviderError),
    "MethodNotAllowed": (405, errors.ProviderError),
    "IncorrectState": (409, errors.KeyStateError),
    "Conflict": (409, errors.KeyStateError),
    "LockConflict": (409, errors.KeyStateError),
    "ExternalServerIncorrectState": (409, errors.UnavailableError),
    "RequestEntityTooLarge": (413, errors.ProviderError),
    "PayloadTooLarge": (413, errors.ProviderError),
    "UnprocessableEntity": (422, errors.ProviderError),
    "RequestHeaderFieldsTooLarge": (431, errors.ProviderError),
    "TooManyRequests": (429, errors.ThrottledError),
    "InternalServerError": (500, errors.UnavailableError),
    "MethodNotImplemented": (501, errors.ProviderError),
    "ServiceUnavailable": (503, errors.UnavailableError),
    # Means what the operation makes of it.
    "InvalidParameter": (400, errors.DecryptionError),
    # In no table: by the status.
    "SomethingNew": (400, errors.ProviderError),
    "SomethingUnsigned": (401, errors.AuthenticationError),
    "SomethingBroken": (502, errors.UnavailableError),
    "SomethingBusy": (429, errors.ThrottledError),
}

UNREADABLE: Mapping[str, bytes] = {
    "no body": b"",
    "half a body": b'{"keyId":"ocid1.key.oc1.iad.afnxza26aag4s.abzwkljsbapzb2nrha5nt3s7s7p',
    "no JSON": b"<html>proxy</html>",
    "no object": b"[]",
    "a text": b'"text"',
    "a text that names a member": b'"the plaintext"',
    "null": b"null",
    "another encoding": b'{"keyId":"\xff\xfe"}',
    "a plaintext that is no base64": unwrapped(plaintext="A").body,
    "a plaintext that is no text": unwrapped(plaintext=[1]).body,
    "a plaintext that is no ASCII": unwrapped(plaintext="\u00e9").body,
    "no plaintext": unwrapped(plaintext=None).body,
    "nested without end": b"[" * 100_000,
}


WRONG_CHECKSUMS: Sequence[object] = ("0", "630dcd2", "", None, 1, [])


class TestReplies(ReplyTests):
    """Replies of a scripted vault."""

    altered_deks: ClassVar[Mapping[str, WrappedDek]] = {
        "another key": AES._replace(key_id=OTHER_KEY),
        "no key": AES._replace(key_id="alias"),
        "another algorithm": AES._replace(algorithm="RSA_OAEP_SHA_1"),
        "empty": AES._replace(ciphertext=b""),
        "longer than a vault makes": AES._replace(ciphertext=bytes(4097)),
    }
    foreign_wraps: ClassVar[Mapping[str, Answer]] = {
        "another key": wrapped(keyId=OTHER_KEY),
        "no version": wrapped(keyVersionId="junk"),
    }
    foreign_deks: ClassVar[Mapping[str, Answer]] = {
        "another key": unwrapped(keyId=OTHER_KEY),
        "another version": unwrapped(keyVersionId=OTHER_VERSION),
        "no key": unwrapped(keyId="junk"),
        "no version": unwrapped(keyVersionId="junk"),
        "a key as version": unwrapped(keyVersionId=KEY),
    }
    unreadable_deks: ClassVar[Mapping[str, Answer]] = {
        **{name: Answer(body=body) for name, body in UNREADABLE.items()},
        **{
            f"checksum {checksum!r}": unwrapped(plaintextChecksum=checksum)
            for checksum in WRONG_CHECKSUMS
        },
    }
    refusals: ClassVar[Mapping[str, Any]] = {
        code: (refusal(code, status=status), kind) for code, (status, kind) in ROWS.items()
    }
    request_id = REQUEST_ID

    @pytest.fixture
    def service(self, scripted: ScriptedVault) -> ScriptedService:
        # No retry fits into one second.
        return ScriptedService(
            open=lambda: open_kek(KEY, scripted.url, deadline=1.0),
            answer=lambda answer: setattr(scripted, "answer", answer),
            asked=lambda: len(scripted.asked),
            wrapped=AES,
            unwrapped=unwrapped(),
            dek=DEK,
        )


def _unwrap_refused(endpoint: str, **settings: object) -> errors.KsmStorageError:
    # No retry fits into one second.
    with (
        open_kek(KEY, endpoint, **{"deadline": 1.0, "direct_call": False, **settings}) as kek,
        pytest.raises(errors.KsmStorageError) as exc,
    ):
        kek.unwrap(AES, aad=AAD)
    return exc.value


def test_every_row_of_the_table_of_the_service_has_a_test() -> None:
    assert set(SERVICE_CODES) - set(ROWS) == set()


def test_every_code_of_the_service_stands_in_the_documentation() -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8")

    assert [code for code in ("InvalidParameter", *SERVICE_CODES) if f"`{code}`" not in text] == []


@pytest.mark.parametrize(
    ("operation", "permission"), [("wrap", "KEY_ENCRYPT"), ("unwrap", "KEY_DECRYPT")]
)
@pytest.mark.parametrize(
    ("code", "status"),
    [("NotAuthorizedOrNotFound", 404), ("RelatedResourceNotAuthorizedOrNotFound", 400)],
)
def test_a_denial_names_the_permission_and_both_causes(
    scripted: ScriptedVault, operation: str, permission: str, code: str, status: int
) -> None:
    scripted.answer = refusal(code, status=status)

    with open_kek(KEY, scripted.url) as kek, pytest.raises(errors.PermissionDeniedError) as caught:
        _ = kek.wrap(DEK, aad=AAD) if operation == "wrap" else kek.unwrap(AES, aad=AAD)

    assert caught.value.permission == permission
    assert f"not allowed to use {permission} on the key" in caught.value.message
    assert "or the key does not exist" in caught.value.message


def test_a_parameter_that_decrypt_does_not_accept_names_every_cause(
    scripted: ScriptedVault,
) -> None:
    scripted.answer = refusal("InvalidParameter")

    message = _unwrap_refused(scripted.url).message

    assert "another key or version, another context or altered data" in message


def test_a_parameter_that_encrypt_does_not_accept_is_no_decryption_error(
    scripted: ScriptedVault,
) -> None:
    scripted.answer = refusal("InvalidParameter")

    with open_kek(KEY, scripted.url) as kek, pytest.raises(errors.ProviderError) as caught:
        kek.wrap(DEK, aad=AAD)

    assert "'algorithm'" in caught.value.message


def test_a_code_that_could_be_anything_is_not_repeated(scripted: ScriptedVault) -> None:
    scripted.answer = refusal("secret=hunter2, and more")

    assert "hunter2" not in str(_unwrap_refused(scripted.url).as_dict())


def test_a_reply_that_ends_early_may_be_asked_for_again(scripted: ScriptedVault) -> None:
    scripted.answer = Answer(body=b'{"keyId":', missing_bytes=100)

    assert type(_unwrap_refused(scripted.url)) is errors.UnavailableError


@pytest.mark.parametrize(
    ("status", "kind"), [(502, errors.UnavailableError), (403, errors.ProviderError)]
)
def test_a_page_of_a_proxy_is_told_by_its_status(
    scripted: ScriptedVault, status: int, kind: type[errors.KsmStorageError]
) -> None:
    scripted.answer = Answer(status=status, body=b"<html>a page</html>")

    assert type(_unwrap_refused(scripted.url)) is kind


@pytest.mark.parametrize("status", [301, 307, 308])
def test_a_redirect_is_not_followed(scripted: ScriptedVault, status: int) -> None:
    with scripted_vault() as elsewhere:
        location = {"Location": f"{elsewhere.url}/20180608/decrypt"}
        scripted.answer = Answer(status=status, headers=location)

        error = _unwrap_refused(scripted.url, deadline=20.0)

    assert "redirect" in error.message
    assert elsewhere.asked == []
    assert len(scripted.asked) == 1
