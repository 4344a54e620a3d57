"""What the server says is followed within bounds, or becomes its own error."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from ksm_storage import engine
from ksm_storage.errors import SettingsError, VaultError
from ksm_storage.wire import api_errors
from ksm_storage.wire.api_errors import key_change, throttle

ERRORS = [
    (api_errors.SIGNATURE_INVALID, engine.BadSignatureError, "bad_signature"),
    (api_errors.CLIENT_UNKNOWN, engine.ClientUnknownError, "client_unknown"),
    (api_errors.CLIENT_REVOKED, engine.ClientRevokedError, "client_revoked"),
    (api_errors.TOKEN_EXPIRED, engine.TokenExpiredError, "token_expired"),
    (api_errors.TOKEN_REDEEMED, engine.TokenRedeemedError, "token_redeemed"),
    (api_errors.ACCESS_EXPIRED, engine.AccessExpiredError, "access_expired"),
    (api_errors.ADDRESS_REFUSED, engine.AddressLockedError, "address_locked"),
    (api_errors.CLIENT_VERSION_REFUSED, engine.ClientVersionError, "client_version"),
    (api_errors.REVISION_STALE, engine.StaleRevisionError, "stale_revision"),
    (api_errors.READ_ONLY, engine.ServerRefusedError, "refused"),
    (api_errors.OBJECT_UNKNOWN, engine.ServerRefusedError, "refused"),
    (api_errors.REQUEST_MALFORMED, engine.ServerRefusedError, "refused"),
]


@pytest.mark.parametrize(("refusal", "error", "code"), ERRORS, ids=lambda value: str(value)[:40])
def test_each_refusal_is_its_own_error(
    server: Any, bound: Any, refusal: api_errors.ApiError, error: type[Any], code: str
) -> None:
    server.refuse(refusal)

    with pytest.raises(error) as caught:
        bound.get_secrets()

    assert type(caught.value) is error
    assert caught.value.status == refusal.status
    assert caught.value.code == caught.value.as_dict()["code"] == code
    assert isinstance(caught.value, VaultError)
    assert (caught.value.exit_code, caught.value.as_dict()["exit_code"]) == (8, 8)


def test_the_real_body_of_a_refused_version_is_understood(server: Any, bound: Any) -> None:
    server.reply(
        403,
        {
            "additional_info": "invalid client version id: 16, mp17.0.2",
            "result_code": "invalid_client_version",
            "error": "client_version",
            "message": "Please update your Keeper app ...",
        },
    )

    with pytest.raises(engine.ClientVersionError) as caught:
        bound.get_secrets()

    assert "message=Please update your Keeper app ..." in str(caught.value)
    assert caught.value.server_message == "Please update your Keeper app ..."


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>no\r\n</html>", "<html>no  </html>"),
        (b"", None),
        (b"[]", "[]"),
        (b'{"error": "odd one"}', None),
    ],
)
def test_an_error_without_a_code_is_named_by_its_status_and_text(
    server: Any, bound: Any, body: bytes, said: str | None
) -> None:
    server.reply(418, body)

    with pytest.raises(engine.ServerRefusedError, match=r"status 418") as caught:
        bound.get_secrets()

    assert caught.value.server_message == said
    assert caught.value.message.endswith(f", Message: {said}" if said else "418")


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_failing_server_is_worth_a_retry(server: Any, bound: Any, status: int) -> None:
    server.reply(status, throttle())

    with pytest.raises(engine.ServerUnreachableError) as caught:
        bound.get_secrets()

    assert caught.value.retryable


def test_each_attempt_has_a_transmission_key_of_its_own(
    server: Any, bound: Any, waits: list[float]
) -> None:
    server.reply(403, throttle())

    bound.get_secrets()

    keys = {request.transmission_key for request in server.requests}
    assert len(keys) == len(server.requests) == 3
    assert {len(key) for key in keys} == {125}


def test_another_server_key_is_followed_and_remembered(server: Any, connect: Any) -> None:
    config = engine.InMemoryKeyValueStorage()
    manager = connect(config)
    manager.bind()
    server.reply(403, key_change("44"))

    manager.get_secrets()

    assert server.requests[-1].public_key_id == "44"
    assert config.get("serverPublicKeyId") == "44"


def test_a_server_that_never_stops_asking_for_another_key_is_left(server: Any, bound: Any) -> None:
    for number in range(10):
        server.reply(400, key_change(str(number)))

    with pytest.raises(engine.ServerRefusedError, match="another public key 4 times"):
        bound.get_secrets()

    assert len(server.replies) == 6


@pytest.mark.parametrize("key_id", [None, "", [], {}, True, "1\r\nX: y", "\u0661", "9" * 65])
def test_a_key_change_that_names_no_key_is_an_error(server: Any, bound: Any, key_id: Any) -> None:
    server.reply(403, {"error": "key", "key_id": key_id})

    with pytest.raises(engine.ServerAnswerError, match="without a valid id"):
        bound.get_secrets()


def test_an_unknown_server_key_is_an_error_where_none_is_configured(
    server: Any, connect: Any
) -> None:
    config = engine.InMemoryKeyValueStorage()
    connect(config).bind()
    config.delete("serverPublicKey")
    config.set("serverPublicKeyId", "10")
    answers = iter([(403, key_change("17")), (403, key_change("99"))])
    seen: list[str] = []

    def post(_url: str, key: Any, *_rest: Any) -> Any:
        seen.append(key.publicKeyId)
        status, body = next(answers)
        response = type("Response", (), {"text": json.dumps(body)})
        return engine.KSMHttpResponse(status, b"", response)

    manager = engine.SecretsManager(config=config, custom_post_function=post)

    with pytest.raises(SettingsError, match="unknown server public key '99'"):
        manager.get_secrets()
    assert seen == ["10", "17"]


def test_throttling_is_waited_out_with_growing_waits(
    server: Any, bound: Any, waits: list[float]
) -> None:
    server.refuse(api_errors.TOO_MANY_REQUESTS, times=5)

    bound.get_secrets()

    assert waits == [11, 22, 44, 88, 176]


def test_throttling_without_end_is_an_error_that_may_be_retried(
    server: Any, bound: Any, waits: list[float]
) -> None:
    server.refuse(api_errors.TOO_MANY_REQUESTS, times=6)

    with pytest.raises(engine.ServerThrottledError) as caught:
        bound.get_secrets()

    assert caught.value.retryable
    assert len(waits) == 5


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (throttle(2.5), {}, 2.5),
        (throttle(), {"Retry-After": "7"}, 7),
        (throttle(3), {"Retry-After": "7"}, 7),
        (throttle(), {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 11),
        ({**throttle(), "retry_after": "soon"}, {}, 11),
        ({**throttle(), "retry_after": -3}, {"Retry-After": "nan"}, 11),
        ({**throttle(), "retry_after": 10**400}, {}, 11),
    ],
)
def test_the_wait_is_the_one_that_the_server_asks_for(
    server: Any, bound: Any, waits: list[float], body: Any, headers: Any, expected: float
) -> None:
    server.reply(403, body, headers)

    bound.get_secrets()

    assert waits == [expected]


def test_a_wait_beyond_the_longest_is_not_begun(
    server: Any, bound: Any, waits: list[float]
) -> None:
    server.reply(429, throttle(86400))

    with pytest.raises(engine.ServerThrottledError):
        bound.get_secrets()

    assert waits == []


def test_a_wait_beyond_what_can_be_slept_is_not_begun() -> None:
    backoff = engine.BackoffPolicy(max_wait_seconds=float("inf"))

    assert backoff.wait_seconds(0, asked=1e300) is None


def test_the_jitter_never_comes_back_earlier_than_asked() -> None:
    backoff = engine.BackoffPolicy(uniform=lambda low, high: low)

    assert backoff.wait_seconds(0, asked=10) == 10
    assert backoff.wait_seconds(0, asked=0) == 11


def test_a_read_only_configuration_follows_a_key_change(server: Any, connect: Any) -> None:
    from ksm_storage.errors import StorageError

    class ReadOnly(engine.InMemoryKeyValueStorage):
        def set(self, key: object, value: str | None, /) -> None:
            raise StorageError("read-only")

    config = engine.InMemoryKeyValueStorage()
    connect(config).bind()
    read_only = ReadOnly(config.read_storage())
    server.reply(403, key_change("44"))

    assert list(connect(read_only, token=None).get_secrets()) == []


def test_an_answer_under_another_key_is_an_error(server: Any, bound: Any) -> None:
    server.reply(200, bytes(100))

    with pytest.raises(engine.ServerAnswerError, match="cannot decrypt"):
        bound.get_secrets()


@pytest.mark.parametrize("body", [b"<html>slow down</html>", b"", b"[" * 100_000])
def test_too_many_requests_are_waited_out_whoever_says_so(
    server: Any, bound: Any, waits: list[float], body: bytes
) -> None:
    server.reply(429, body, {"Retry-After": "3"})

    bound.get_secrets()

    assert waits == [3]


@pytest.mark.parametrize("status", [403, 400])
def test_a_refusal_that_no_parser_follows_is_a_refusal(
    server: Any, bound: Any, status: int
) -> None:
    server.reply(status, b"[" * 100_000)

    with pytest.raises(engine.ServerRefusedError, match=f"status {status}"):
        bound.get_secrets()


@pytest.mark.parametrize("answer", ["text", 3, ["a"]])
def test_an_answer_that_is_no_object_is_an_error(server: Any, bound: Any, answer: Any) -> None:
    server.answers["get_secret"] = answer

    with pytest.raises(engine.ServerAnswerError, match="not a JSON object"):
        bound.get_secrets()


def test_an_empty_answer_holds_nothing(server: Any, bound: Any) -> None:
    server.answers["get_secret"] = None

    assert list(bound.get_secrets()) == []


def test_no_secret_is_logged_at_any_level(
    server: Any, connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    config = engine.InMemoryKeyValueStorage()
    server.reply(403, throttle())
    manager = connect(config, log_level="DEBUG")

    manager.get_secrets(full_response=True)

    secrets = [server.token_text, *config.read_storage().values()]
    logged = caplog.text + repr(manager) + repr(config)
    assert not [s for s in secrets if s not in (server.host, "42") and s in logged]
