"""A refusal is told by its code, then by words; the server's own text is always passed on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ksm_storage import engine
from ksm_storage.wire import api_errors
from tests.engine.sealed_secrets import login, record

DENIED = [
    ("Signature is invalid", "BadSignatureError"),
    ("signature verification failed", "BadSignatureError"),
    ("Unable to validate application access", "ClientUnknownError"),
    ("Unable to validate Keeper application access", "ClientUnknownError"),
    ("This client is locked to a different ip address", "AddressLockedError"),
    ("Client device is locked to another address", "AddressLockedError"),
    ("One-time token is expired", "TokenExpiredError"),
    ("The token has expired", "TokenExpiredError"),
    ("One-time token is already redeemed", "TokenRedeemedError"),
    ("Client device access is expired", "AccessExpiredError"),
    ("Client device is revoked", "ClientRevokedError"),
    ("Application may not edit", "ServerRefusedError"),
    ("You can't update because of spite", "ServerRefusedError"),
    ("something that nobody has seen before", "ServerRefusedError"),
    ("", "ServerRefusedError"),
    (None, "ServerRefusedError"),
]


@pytest.mark.parametrize(("message", "kind"), DENIED)
@pytest.mark.parametrize("where", ["result_code", "error"])
def test_a_denial_is_told_by_its_words(
    server: Any, bound: Any, message: str | None, kind: str, where: str
) -> None:
    server.reply(403, {where: "access_denied", "message": message})

    with pytest.raises(engine.ServerRefusedError) as caught:
        bound.get_secrets()

    assert type(caught.value).__name__ == kind
    assert f"Error: access_denied, message={message or 'NA'}" in caught.value.message
    assert caught.value.server_message == (message or None)
    assert caught.value.hint


@pytest.mark.parametrize(
    "error",
    [value for value in vars(api_errors).values() if isinstance(value, api_errors.ApiError)],
    ids=lambda error: error.message,
)
def test_every_wording_of_an_error_means_the_same(
    server: Any, bound: Any, error: api_errors.ApiError
) -> None:
    if error.code == api_errors.THROTTLED:
        pytest.skip("throttling is waited out, whatever its message")
    kinds = set()
    for wording in (error.message, *error.wordings):
        server.reply(error.status, error.answer(wording))
        with pytest.raises(engine.ServerRefusedError) as caught:
            bound.get_secrets()
        kinds.add(type(caught.value))

    assert len(kinds) == 1


def test_the_servers_text_is_printable_and_bounded(server: Any, bound: Any) -> None:
    text = "a\x1b[31mb\r\nc\u202e" + "x" * 5000
    server.reply(403, {"error": "access_denied", "message": text})

    with pytest.raises(engine.ServerRefusedError) as caught:
        bound.get_secrets()

    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400
    assert "a [31mb  c x" in caught.value.message


@pytest.mark.parametrize(("message", "kind"), DENIED)
def test_any_denial_ends_the_offline_copy(
    server: Any, connect: Any, tmp_path: Path, message: str | None, kind: str
) -> None:
    server.answers["get_secret"] = {"records": [record(login("x"), server.app_key)]}
    manager = connect(offline_copy=tmp_path / "copy")
    manager.get_secrets()
    assert (tmp_path / "copy").exists()
    server.reply(403, {"error": "access_denied", "message": message})

    with pytest.raises(getattr(engine, kind)):
        manager.get_secrets()

    assert not (tmp_path / "copy").exists()


def test_a_handler_for_the_official_package_catches_ours(server: Any, bound: Any) -> None:
    from keeper_secrets_manager_core.exceptions import KeeperError, KeeperThrottleError
    from requests import HTTPError
    from requests.exceptions import ConnectionError as RequestsConnectionError

    assert engine.KeeperError is KeeperError
    assert issubclass(engine.ServerRefusedError, KeeperError)
    assert issubclass(engine.ServerThrottledError, KeeperThrottleError)
    assert issubclass(engine.ServerUnreachableError, RequestsConnectionError)
    assert issubclass(engine.UnexpectedStatusError, HTTPError)
    assert issubclass(engine.ServerFailedError, (HTTPError, KeeperError))
    server.reply(403, {"error": "access_denied", "message": "Signature is invalid"})
    with pytest.raises(KeeperError) as caught:
        bound.get_secrets()
    assert "Signature is invalid" in str(caught.value)
    server.reply(418, b"<html>teapot</html>")
    with pytest.raises(HTTPError):
        bound.get_secrets()
