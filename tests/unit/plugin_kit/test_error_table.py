"""From codes and exceptions to documented errors."""

from __future__ import annotations

import http.client
import socket
import ssl

import pytest

from ksm_storage.errors import KsmStorageError, PermissionDeniedError, ProviderError
from ksm_storage.plugin import (
    NETWORK_RULES,
    Call,
    DeadlinePassedError,
    ErrorRule,
    incomplete_reply,
    is_final_failure,
    rule_for_failure,
    rule_for_status,
    shown_code,
    unreadable_reply,
)

CALL = Call("decrypt", "keys/one", "Acme (eu)", "acme.decrypt")


def test_a_rule_fills_in_the_words_of_the_call() -> None:
    rule = ErrorRule(
        PermissionDeniedError,
        "not allowed to use {permission} on {key} in {place} ({detail})",
        "grant {permission} for {operation}",
        permission="{permission}",
    )

    error = rule.error(CALL, request_id="r-1", detail="E7")

    assert error.message == "not allowed to use acme.decrypt on 'keys/one' in Acme (eu) (E7)"
    assert error.hint == "grant acme.decrypt for decrypt"
    assert (error.permission, error.request_id) == ("acme.decrypt", "r-1")


def test_a_rule_may_name_a_permission_of_its_own_or_none() -> None:
    own = ErrorRule(PermissionDeniedError, "no quota", permission="acme.quota")

    assert own.error(CALL).permission == "acme.quota"
    assert ErrorRule(ProviderError, "no").error(CALL).permission is None


def test_braces_in_a_key_are_not_filled_in() -> None:
    error = ErrorRule(ProviderError, "no {key}").error(CALL._replace(key="{place}"))

    assert error.message == "no '{place}'"


FAILURES = {
    "refused": (ConnectionRefusedError(), "cannot reach"),
    "no address": (socket.gaierror(-2, "x"), "cannot resolve the hostname of Acme (eu)"),
    "slow": (TimeoutError(), "in time"),
    "deadline": (DeadlinePassedError(), "in time"),
    "reset": (ConnectionResetError(), "closed before"),
    "cut off": (http.client.IncompleteRead(b"secret"), "closed before"),
    "no reply": (http.client.RemoteDisconnected(""), "closed before"),
    "certificate": (ssl.SSLCertVerificationError("x"), "is not trusted"),
    "tls": (ssl.SSLEOFError("x"), "closed before"),
    "file": (FileNotFoundError(2, "x", "secret"), "cannot read a file"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_of_the_network_is_its_documented_error(name: str) -> None:
    exc, words = FAILURES[name]
    wrapped = Exception("the SDK's own")
    wrapped.__cause__ = exc

    for each in (exc, wrapped):
        rule = rule_for_failure(each, NETWORK_RULES)
        assert rule is not None
        assert words in rule.error(CALL).message


@pytest.mark.parametrize(
    ("text", "message", "hint", "is_final"),
    [
        (
            "Tunnel connection failed: 407 Proxy Authentication Required",
            "the proxy 'p:3128' (HTTPS_PROXY) requires a valid user and password (status 407)",
            "http://USER:PASSWORD@HOST:PORT",
            True,
        ),
        (
            "503 last error: HTTP proxy returned response code 403",
            "the proxy 'p:3128' (HTTPS_PROXY) refused to connect to Acme (eu) (status 403)",
            "NO_PROXY",
            True,
        ),
        (
            "Tunnel connection failed: 502 Bad Gateway",
            "the proxy 'p:3128' (HTTPS_PROXY) could not connect to Acme (eu) (status 502)",
            "the proxy can reach it",
            False,
        ),
    ],
)
def test_a_proxy_that_does_not_connect_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, text: str, message: str, hint: str, is_final: bool
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://u:hunter2@p:3128")
    wrapped = Exception("the SDK's own", OSError(text))

    rule = rule_for_failure(wrapped, {"Exception": ErrorRule(ProviderError, "x"), **NETWORK_RULES})
    assert rule is not None
    error = rule.error(CALL)

    assert (error.message, error.retryable) == (message, True)
    assert hint in str(error.hint)
    assert "hunter2" not in str(error.as_dict())
    assert is_final_failure(wrapped) is is_final


@pytest.mark.parametrize(
    ("exc", "hint"),
    [
        (ConnectionRefusedError(), "check the network, the proxy 'p:1' (all_proxy) and the"),
        (TimeoutError(), "check the proxy 'p:1' (all_proxy) and its scheme, http:// or https://"),
        (ConnectionResetError(), "check the proxy 'p:1' (all_proxy) and its scheme"),
        (socket.gaierror(-2, "x"), "the proxy 'p:1' (all_proxy), and DNS"),
        (ssl.SSLCertVerificationError("x"), "such as 'p:1' (all_proxy), add its CA certificate"),
        (ssl.SSLCertVerificationError("x"), "to those of CURL_CA_BUNDLE, or set the option"),
    ],
)
def test_a_hint_names_the_proxy_and_the_authorities_in_force(
    monkeypatch: pytest.MonkeyPatch, exc: Exception, hint: str
) -> None:
    monkeypatch.setenv("all_proxy", "u:hunter2@p:1")
    monkeypatch.setenv("CURL_CA_BUNDLE", "/ca.pem")

    rule = rule_for_failure(exc, NETWORK_RULES)
    assert rule is not None
    error = rule.error(CALL)

    assert hint in str(error.hint)
    assert "hunter2" not in str(error.as_dict())


class _Connection:
    def __init__(self, host: str) -> None:
        self.host = host


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("kms.invalid", "cannot resolve the hostname 'kms.invalid'"),
        ("user:secret@kms", "cannot resolve the hostname of Acme (eu)"),
    ],
)
def test_a_name_without_an_address_is_in_the_message(host: str, message: str) -> None:
    wrapped = Exception("the SDK's own, as urllib3 has it")
    wrapped.__cause__ = socket.gaierror(-2, "x")
    wrapped.conn = _Connection(host)  # type: ignore[attr-defined]

    rule = rule_for_failure(wrapped, NETWORK_RULES)

    assert rule is not None
    error = rule.error(CALL)
    assert (error.message, error.retryable) == (message, True)
    assert "DNS" in str(error.hint)


def test_the_first_rule_that_fits_anything_in_the_chain_counts() -> None:
    exc = KeyError("x")
    exc.__cause__ = ConnectionRefusedError()
    own = ErrorRule(ProviderError, "no credentials")

    assert rule_for_failure(exc, {"KeyError": own, **NETWORK_RULES}) is own
    assert rule_for_failure(KeyError("x"), NETWORK_RULES) is None


@pytest.mark.parametrize(
    ("status", "name"),
    [(429, "ThrottledError"), (500, "UnavailableError"), (503, "UnavailableError")]
    + [(status, "ProviderError") for status in (0, 400, 404, 418)],
)
def test_a_status_alone_is_told_by_what_it_means(status: int, name: str) -> None:
    error = rule_for_status(status).error(CALL, detail=shown_code("E7"))

    assert type(error).__name__ == name
    assert "(E7)" in error.message


@pytest.mark.parametrize("code", ["a b", "", "x" * 65, "{0}", "secret=1"])
def test_a_code_that_is_no_plain_word_is_not_repeated(code: str) -> None:
    assert shown_code(code) == "unknown code"


@pytest.mark.parametrize("error", [unreadable_reply(CALL), incomplete_reply("kid", CALL)])
def test_a_reply_that_cannot_be_used_may_be_asked_for_again(error: KsmStorageError) -> None:
    assert error.retryable
    assert "secret" not in str(error.as_dict())
