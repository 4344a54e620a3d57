"""Each row of the error tables, and the replies that are not believed, over the wire."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ksm_storage_azure_kv.credentials import ENTRA_CODES
from ksm_storage_azure_kv.errors import CODES, INNER_CODES, TOKEN_CODES
from ksm_storage_emulators.message import Reply

from ksm_storage import errors
from ksm_storage.plugin import WrappedDek
from ksm_storage.testing.reply_tests import ReplyTests, ScriptedService

from .opening import AAD, open_kek
from .scripted_vault import (
    DEK,
    HSM_KEY,
    HSM_KID,
    KEY,
    KID,
    OTHER_KID,
    REQUEST_ID,
    VERSION,
    ScriptedVault,
    refusal,
    reply,
    unwrapped,
    wrapped,
)

RSA = WrappedDek(KID, "RSA-OAEP-256", b"c" * 256)
DOCUMENTATION = Path(__file__).parents[3] / "docs" / "plugins" / "azure-kv.md"
TEXT = "text of the service"
STATUSES = {
    "Unauthorized": 401,
    "Forbidden": 403,
    "KeyNotFound": 404,
    "NotFound": 404,
    "Conflict": 409,
    "Throttled": 429,
    "InternalServerError": 500,
    "InternalError": 500,
    "ServiceUnavailable": 503,
    "HSMServiceUnavailable": 503,
}
INNER: dict[str, type[errors.KsmStorageError]] = {
    "KeyDisabled": errors.KeyStateError,
    "KeyExpired": errors.KeyStateError,
    "KeyNotYetValid": errors.KeyStateError,
    "KeyOperationForbidden": errors.KeyStateError,
    "ForbiddenByPolicy": errors.PermissionDeniedError,
    "ForbiddenByRbac": errors.PermissionDeniedError,
    "AccessDenied": errors.PermissionDeniedError,
    "ForbiddenByFirewall": errors.PermissionDeniedError,
    "ForbiddenByConnection": errors.PermissionDeniedError,
    "ObjectIsDeletedButRecoverable": errors.KeyNotFoundError,
    "ObjectIsBeingDeleted": errors.KeyStateError,
    "ObjectIsBeingRecovered": errors.UnavailableError,
}
OUTER: dict[str, type[errors.KsmStorageError]] = {
    "Unauthorized": errors.AuthenticationError,
    "Forbidden": errors.PermissionDeniedError,
    "KeyNotFound": errors.KeyNotFoundError,
    "NotFound": errors.KeyNotFoundError,
    "Conflict": errors.KeyStateError,
    "Throttled": errors.ThrottledError,
    "InternalServerError": errors.UnavailableError,
    "InternalError": errors.UnavailableError,
    "ServiceUnavailable": errors.UnavailableError,
    "HSMServiceUnavailable": errors.UnavailableError,
}


class TestReplies(ReplyTests):
    """Replies of a scripted vault."""

    altered_deks: ClassVar[Mapping[str, WrappedDek]] = {
        "another key": RSA._replace(key_id=OTHER_KID),
        "without version": RSA._replace(key_id=KEY),
        "junk": RSA._replace(key_id="junk"),
        "SHA-1": RSA._replace(algorithm="RSA-OAEP"),
        "AES": RSA._replace(algorithm="A256GCM"),
        "empty": RSA._replace(ciphertext=b""),
        "short": RSA._replace(ciphertext=bytes(255)),
        "long": RSA._replace(ciphertext=bytes(513)),
    }
    foreign_wraps: ClassVar[Mapping[str, Reply]] = {
        kid: wrapped(kid=kid) for kid in (OTHER_KID, KEY, "junk", HSM_KID)
    }
    foreign_deks: ClassVar[Mapping[str, Reply]] = {
        kid: unwrapped(kid=kid) for kid in (OTHER_KID, KEY, "junk", KID.replace(VERSION, "f" * 32))
    }
    unreadable_wraps: ClassVar[Mapping[str, Reply]] = {
        "nothing": reply({}),
        "no value": reply({"kid": KID}),
        "an empty value": reply({"kid": KID, "value": ""}),
        "no base64": reply({"kid": KID, "value": "!"}),
        "no key": reply({"value": "YQ"}),
        "a list": reply([]),
    }
    unreadable_deks: ClassVar[Mapping[str, Reply]] = {
        name: Reply(200, body, unwrapped().headers)
        for name, body in {
            "no body": b"",
            "cut": unwrapped().body[:-6],
            "no UTF-8": unwrapped().body[:-2] + b"\xff" + unwrapped().body[-2:],
            "another member": unwrapped().body.replace(b'"value"', b'"Value"'),
        }.items()
    }
    refusals: ClassVar[Mapping[str, Any]] = {
        **{code: (refusal(STATUSES[code], code), kind) for code, kind in OUTER.items()},
        **{
            code: (
                refusal(409, "Conflict", inner=code)
                if code.startswith("Object")
                else refusal(403, "Forbidden", inner=code),
                kind,
            )
            for code, kind in INNER.items()
        },
    }
    request_id = REQUEST_ID

    @pytest.fixture
    def service(self, scripted: ScriptedVault) -> ScriptedService:
        return ScriptedService(
            open=lambda: open_kek(KEY, scripted.settings, deadline=1.0),
            answer=scripted.answer,
            asked=lambda: len(scripted.asked),
            wrapped=RSA,
            unwrapped=unwrapped(),
            dek=DEK,
        )


def refused(scripted: ScriptedVault, answer: Reply, key: str = KEY) -> errors.KsmStorageError:
    """Return the error with which a wrap fails."""
    scripted.answer(answer)
    with (
        open_kek(key, scripted.settings, deadline=1.0) as kek,
        pytest.raises(errors.KsmStorageError) as caught,
    ):
        kek.wrap(DEK, aad=AAD)
    return caught.value


def unwrap_refused(scripted: ScriptedVault, answer: Reply) -> errors.KsmStorageError:
    """Return the error with which an unwrap fails."""
    scripted.answer(answer)
    with (
        open_kek(KEY, scripted.settings, deadline=1.0) as kek,
        pytest.raises(errors.KsmStorageError) as caught,
    ):
        kek.unwrap(RSA, aad=AAD)
    return caught.value


def test_every_row_has_a_test() -> None:
    assert INNER.keys() == INNER_CODES.keys()
    assert OUTER.keys() == CODES.keys() == STATUSES.keys()


@pytest.mark.parametrize("number", TOKEN_CODES)
def test_a_token_that_is_refused_says_what_is_wrong_with_it(
    scripted: ScriptedVault, number: str
) -> None:
    error = refused(scripted, refusal(401, "Unauthorized", text=f"{number}: {TEXT}"))

    assert type(error) is errors.AuthenticationError
    assert error.message == TOKEN_CODES[number].message.format(
        place="the vault " + "'demo.vault.azure.net'"
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, errors.AuthenticationError),
        (403, errors.PermissionDeniedError),
        (404, errors.KeyNotFoundError),
        (405, errors.ProviderError),
        (408, errors.UnavailableError),
        (409, errors.KeyStateError),
        (413, errors.ProviderError),
        (429, errors.ThrottledError),
        (500, errors.UnavailableError),
        (501, errors.UnavailableError),
        (502, errors.UnavailableError),
        (504, errors.UnavailableError),
    ],
)
def test_a_code_that_is_in_no_table_is_told_by_its_status(
    scripted: ScriptedVault, status: int, kind: type[errors.KsmStorageError]
) -> None:
    assert type(refused(scripted, refusal(status, "NeverHeardOf"))) is kind


@pytest.mark.parametrize("status", [403, 502])
def test_a_page_of_a_proxy_is_told_by_its_status(scripted: ScriptedVault, status: int) -> None:
    page = Reply(status, b"<html>no</html>", {"Content-Type": "text/html"})

    error = refused(scripted, page)

    assert type(error) in (errors.PermissionDeniedError, errors.UnavailableError)


@pytest.mark.parametrize("body", [{}, [], "text", {"error": "text"}, {"error": None}], ids=str)
def test_an_error_of_another_form_is_told_by_its_status(
    scripted: ScriptedVault, body: object
) -> None:
    assert type(refused(scripted, reply(body, status=404))) is errors.KeyNotFoundError


def test_a_bad_parameter_of_an_unwrap_is_another_key_or_damage_and_both_are_said(
    scripted: ScriptedVault,
) -> None:
    error = unwrap_refused(scripted, refusal(400, "BadParameter"))

    assert type(error) is errors.DecryptionError
    assert "another key" in error.message
    assert "altered" in error.message


def test_a_bad_parameter_of_a_wrap_is_a_key_of_another_kind(scripted: ScriptedVault) -> None:
    error = refused(scripted, refusal(400, "BadParameter"))

    assert type(error) is errors.KeyStateError
    assert "'algorithm'" in str(error.hint)


@pytest.mark.parametrize(
    ("key", "inner", "permission"),
    [
        (KEY, "ForbiddenByRbac", "Microsoft.KeyVault/vaults/keys/wrap/action"),
        (KEY, "ForbiddenByPolicy", "keys/wrapKey"),
        (HSM_KEY, None, "Microsoft.KeyVault/managedHsm/keys/encrypt/action"),
    ],
)
def test_a_permission_that_is_missing_is_named(
    scripted: ScriptedVault, key: str, inner: str | None, permission: str
) -> None:
    error = refused(scripted, refusal(403, "Forbidden", inner=inner), key)

    assert error.permission == permission


def test_a_refusal_for_the_address_names_no_permission(scripted: ScriptedVault) -> None:
    error = refused(scripted, refusal(403, "Forbidden", inner="ForbiddenByFirewall"))

    assert error.permission is None


def test_an_unwrap_in_a_managed_hsm_names_its_permission(scripted: ScriptedVault) -> None:
    scripted.answer(refusal(403, "Forbidden"))
    wrapped = WrappedDek(HSM_KID, "A256GCM", bytes(60))

    with (
        open_kek(HSM_KEY, scripted.settings) as kek,
        pytest.raises(errors.PermissionDeniedError) as caught,
    ):
        kek.unwrap(wrapped, aad=AAD)

    assert caught.value.permission == "Microsoft.KeyVault/managedHsm/keys/decrypt/action"
    assert "or the key's state" in caught.value.message


def test_the_older_spelling_of_an_inner_error_is_read_too(scripted: ScriptedVault) -> None:
    body = {"error": {"code": "Forbidden", "message": "", "innerError": {"code": "KeyDisabled"}}}

    assert type(refused(scripted, reply(body, status=403))) is errors.KeyStateError


def test_every_code_stands_in_the_documentation() -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8")
    numbers = [f"AADSTS{number}" for number in ENTRA_CODES]

    missing = [c for c in [*INNER_CODES, *CODES, *TOKEN_CODES, *numbers] if f"`{c}`" not in text]

    assert not missing
