"""Each row of the error tables, and the replies that are not believed, over the wire."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import google_crc32c
import pytest
from google.rpc import error_details_pb2
from ksm_storage_gcp_kms.errors import CODES, DECRYPT, REASONS, STATES

from ksm_storage import errors
from ksm_storage.plugin import WrappedDek
from ksm_storage.testing.reply_tests import ReplyTests, ScriptedService

from .opening import AAD, DEK, open_kek
from .scripted_kms import (
    KEY,
    VERSION,
    Answer,
    ScriptedKms,
    decrypted,
    encrypted,
    info,
    refused,
    replied,
)

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "plugins" / "gcp-kms.md"
WRAPPED = WrappedDek(VERSION, "GOOGLE_SYMMETRIC_ENCRYPTION", b"c" * 100)

# What the service answers, and the class that the caller of an unwrap sees.
CODE_ROWS: Mapping[str, type[errors.KsmStorageError]] = {
    "UNAUTHENTICATED": errors.AuthenticationError,
    "PERMISSION_DENIED": errors.PermissionDeniedError,
    "NOT_FOUND": errors.KeyNotFoundError,
    "FAILED_PRECONDITION": errors.KeyStateError,
    "INVALID_ARGUMENT": errors.DecryptionError,
    "RESOURCE_EXHAUSTED": errors.ThrottledError,
    "UNAVAILABLE": errors.UnavailableError,
    "DEADLINE_EXCEEDED": errors.UnavailableError,
    "INTERNAL": errors.UnavailableError,
    "UNKNOWN": errors.UnavailableError,
    "ABORTED": errors.UnavailableError,
    "CANCELLED": errors.UnavailableError,
    "DATA_LOSS": errors.UnavailableError,
    "UNIMPLEMENTED": errors.ProviderError,
    # In no table.
    "OUT_OF_RANGE": errors.ProviderError,
    "ALREADY_EXISTS": errors.KeyStateError,
}
REASON_ROWS: Mapping[str, tuple[str, type[errors.KsmStorageError]]] = {
    "CREDENTIALS_MISSING": ("UNAUTHENTICATED", errors.AuthenticationError),
    "ACCESS_TOKEN_EXPIRED": ("UNAUTHENTICATED", errors.AuthenticationError),
    "ACCESS_TOKEN_TYPE_UNSUPPORTED": ("UNAUTHENTICATED", errors.AuthenticationError),
    "ACCOUNT_STATE_INVALID": ("UNAUTHENTICATED", errors.AuthenticationError),
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": ("PERMISSION_DENIED", errors.PermissionDeniedError),
    "IAM_PERMISSION_DENIED": ("PERMISSION_DENIED", errors.PermissionDeniedError),
    "USER_PROJECT_DENIED": ("PERMISSION_DENIED", errors.PermissionDeniedError),
    "SECURITY_POLICY_VIOLATED": ("PERMISSION_DENIED", errors.PermissionDeniedError),
    "SERVICE_DISABLED": ("PERMISSION_DENIED", errors.ProviderError),
    "BILLING_DISABLED": ("PERMISSION_DENIED", errors.ProviderError),
    "CONSUMER_INVALID": ("PERMISSION_DENIED", errors.ProviderError),
    "RATE_LIMIT_EXCEEDED": ("RESOURCE_EXHAUSTED", errors.ThrottledError),
}

pytestmark = pytest.mark.usefixtures("one_attempt")


class TestReplies(ReplyTests):
    """Replies of a scripted Cloud KMS."""

    altered_deks: ClassVar[Mapping[str, WrappedDek]] = {
        "another key": WRAPPED._replace(key_id=f"{KEY}2/cryptoKeyVersions/1"),
        "junk": WRAPPED._replace(key_id="junk"),
        "another algorithm": WRAPPED._replace(algorithm="ROT13"),
        "empty": WRAPPED._replace(ciphertext=b""),
    }
    foreign_wraps: ClassVar[Mapping[str, Answer]] = {
        name: replied(encrypted(name=name))
        for name in ("", KEY, f"{KEY}2/cryptoKeyVersions/1", "junk")
    }
    unreadable_wraps: ClassVar[Mapping[str, Answer]] = {
        str(changes): replied(encrypted(**changes))
        for changes in (
            {"ciphertext_crc32c": 1},
            {"ciphertext_crc32c": None},
            {"verified_plaintext_crc32c": False},
            {"verified_additional_authenticated_data_crc32c": False},
        )
    }
    unreadable_deks: ClassVar[Mapping[str, Answer]] = {
        **{
            f"checksum {checksum}": replied(decrypted(DEK, plaintext_crc32c=checksum))
            for checksum in (None, 0, google_crc32c.value(DEK) ^ 1)
        },
        **{
            f"cut by {cut}": replied(type(decrypted(DEK)).serialize(decrypted(DEK))[:-cut])
            for cut in (1, 3, 20)
        },
    }
    refusals: ClassVar[Mapping[str, Any]] = {
        code: (refused(code), kind) for code, kind in CODE_ROWS.items()
    }

    @pytest.fixture
    def service(
        self, scripted: ScriptedKms, scripted_settings: Mapping[str, object]
    ) -> ScriptedService:
        return ScriptedService(
            open=lambda: open_kek(KEY, scripted_settings),
            answer=lambda answer: setattr(scripted, "answer", answer),
            asked=lambda: len(scripted.asked),
            wrapped=WRAPPED,
            unwrapped=replied(decrypted(DEK)),
            dek=DEK,
        )


def _unwrap_refused(settings: Mapping[str, object]) -> errors.KsmStorageError:
    with open_kek(KEY, settings) as kek, pytest.raises(errors.KsmStorageError) as caught:
        kek.unwrap(WRAPPED, aad=AAD)
    return caught.value


def _wrap_refused(settings: Mapping[str, object]) -> errors.KsmStorageError:
    with open_kek(KEY, settings) as kek, pytest.raises(errors.KsmStorageError) as caught:
        kek.wrap(DEK, aad=AAD)
    return caught.value


@pytest.mark.parametrize("reason", REASON_ROWS)
def test_a_reason_says_more_than_its_code(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object], reason: str
) -> None:
    code, kind = REASON_ROWS[reason]
    scripted.answer = refused(code, details=[info(reason)])

    error = _unwrap_refused(scripted_settings)

    assert type(error) is kind
    assert error.message == REASONS[reason].message.format(key=repr(KEY), permission=DECRYPT)


@pytest.mark.parametrize("state", STATES)
def test_a_state_is_told(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object], state: str
) -> None:
    failure = error_details_pb2.PreconditionFailure()
    failure.violations.add(type=f"KEY_{state}", subject=VERSION)
    scripted.answer = refused("FAILED_PRECONDITION", details=[failure])

    error = _unwrap_refused(scripted_settings)

    assert type(error) is errors.KeyStateError
    assert error.message == STATES[state].message.format(key=repr(KEY))


def test_a_state_is_told_without_details_too(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object]
) -> None:
    text = f"{VERSION} is not enabled, current state is: DESTROYED."
    scripted.answer = refused("FAILED_PRECONDITION", text=text, trailer=False)

    assert "is destroyed" in _unwrap_refused(scripted_settings).message


def test_every_row_of_the_tables_has_a_test() -> None:
    assert set(CODES) - set(CODE_ROWS) == set()
    assert set(REASONS) - set(REASON_ROWS) == set()


def test_every_code_reason_and_state_stands_in_the_documentation() -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8")

    assert [row for row in (*CODES, *REASONS, *STATES) if f"`{row}`" not in text] == []


@pytest.mark.parametrize(("wrap", "permission"), [(True, "useToEncrypt"), (False, "useToDecrypt")])
def test_a_denial_names_the_permission_and_both_causes(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object], wrap: bool, permission: str
) -> None:
    scripted.answer = refused("PERMISSION_DENIED", trailer=False)

    error = _wrap_refused(scripted_settings) if wrap else _unwrap_refused(scripted_settings)

    assert error.permission == f"cloudkms.cryptoKeyVersions.{permission}"
    assert "or the key does not exist" in error.message
    assert error.permission in error.message


def test_the_permission_that_the_service_names_is_the_one_that_is_told(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object]
) -> None:
    denial = info("IAM_PERMISSION_DENIED", permission="cloudkms.keys.somethingElse")
    scripted.answer = refused("PERMISSION_DENIED", details=[denial])

    assert _unwrap_refused(scripted_settings).permission == "cloudkms.keys.somethingElse"


def test_a_permission_that_could_be_anything_is_not_repeated(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object]
) -> None:
    denial = info("IAM_PERMISSION_DENIED", permission="secret=hunter2 and more")
    scripted.answer = refused("PERMISSION_DENIED", details=[denial])

    assert "hunter2" not in str(_unwrap_refused(scripted_settings).as_dict())


def test_the_request_id_is_told_where_the_service_gives_one(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object]
) -> None:
    detail = error_details_pb2.RequestInfo(request_id="request-7")
    scripted.answer = refused("NOT_FOUND", details=[detail])

    assert _unwrap_refused(scripted_settings).request_id == "request-7"


def test_an_invalid_ciphertext_names_all_causes(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object]
) -> None:
    scripted.answer = refused("INVALID_ARGUMENT")

    message = _unwrap_refused(scripted_settings).message

    assert "another key, another context or altered data" in message


def test_an_invalid_argument_of_a_wrap_is_about_the_key(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object]
) -> None:
    scripted.answer = refused("INVALID_ARGUMENT")

    assert type(_wrap_refused(scripted_settings)) is errors.KeyStateError


@pytest.mark.parametrize("wrap", [True, False])
def test_a_request_that_arrived_damaged_may_be_sent_again(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object], wrap: bool
) -> None:
    text = "The checksum in field ciphertext_crc32c did not match the data in field ciphertext."
    scripted.answer = refused("INVALID_ARGUMENT", text=text)

    error = _wrap_refused(scripted_settings) if wrap else _unwrap_refused(scripted_settings)

    assert type(error) is errors.UnavailableError


def test_a_server_that_is_not_there_is_unavailable(key_file: str) -> None:
    settings = {
        "endpoint": "http://127.0.0.1:9",
        "credential": "service-account",
        "credentials_file": key_file,
    }

    assert type(_unwrap_refused(settings)) is errors.UnavailableError
