"""Given tokens, at the real server: where they come from, and how they end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ksm_storage.plugin import (
    AuthenticationError,
    PermissionDeniedError,
    SettingsError,
)

from .grants import Grant, round_trips


@pytest.mark.parametrize("name", ["BAO_TOKEN", "VAULT_TOKEN"])
def test_the_environment_gives_the_token(
    grant: Grant, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, grant.bao.token(grant.policy))

    assert round_trips(grant.opened())


def test_the_last_login_of_the_command_line_gives_the_token(
    grant: Grant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".vault-token").write_text(grant.bao.token(grant.policy) + "\n")

    assert round_trips(grant.opened())


def test_a_function_that_asks_for_the_token_is_called_once(grant: Grant) -> None:
    asked: list[str] = []

    def ask() -> str:
        asked.append("token")
        return grant.bao.token(grant.policy)

    assert round_trips(grant.opened(token=ask))
    assert asked == ["token"]


def test_no_token_at_all_says_how_to_get_one(grant: Grant) -> None:
    with pytest.raises(AuthenticationError, match="no Vault token was found") as caught:
        round_trips(grant.opened())

    assert "vault login" in str(caught.value.hint)


def test_a_token_file_that_an_agent_replaced_is_read_again(grant: Grant, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(grant.bao.token(grant.policy, ttl="1h"))
    key = grant.opened(token_file=str(file))
    assert round_trips(key)

    grant.bao.ask("POST", "auth/token/revoke", {"token": file.read_text()})
    with pytest.raises(AuthenticationError):
        round_trips(key)
    file.write_text(grant.bao.token(grant.policy))

    assert round_trips(key)


@pytest.mark.parametrize("text", ["", "two words", '{"auth":{}}', "tök"])
def test_a_file_that_holds_no_token_is_refused(grant: Grant, tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)

    with pytest.raises(SettingsError, match="does not hold a single token"):
        round_trips(grant.opened(token_file=str(file)))


def test_a_revoked_token_is_an_authentication_error(grant: Grant) -> None:
    token = grant.bao.token(grant.policy)
    key = grant.opened(token=token)
    assert round_trips(key)

    grant.bao.ask("POST", "auth/token/revoke", {"token": token})

    with pytest.raises(AuthenticationError, match="invalid, expired or revoked"):
        round_trips(key)


def test_an_expired_token_is_an_authentication_error(grant: Grant) -> None:
    key = grant.opened(token=grant.bao.token(grant.policy, ttl="1s"))
    time.sleep(1.2)

    with pytest.raises(AuthenticationError, match="invalid, expired or revoked"):
        round_trips(key)


def test_a_given_token_is_renewed_where_that_is_asked_for(grant: Grant) -> None:
    token = grant.bao.token(grant.policy, period="20s")
    before = grant.bao.requests("auth/token/renew-self")

    assert round_trips(grant.opened(token=token, renew_token=True))
    assert grant.bao.requests("auth/token/renew-self") == before + 1


def test_a_given_token_is_not_renewed_unasked(grant: Grant) -> None:
    token = grant.bao.token(grant.policy, period="20s")
    before = grant.bao.requests("auth/token/renew-self")

    assert round_trips(grant.opened(token=token))
    assert grant.bao.requests("auth/token/renew-self") == before


def test_a_token_that_cannot_be_renewed_says_so(grant: Grant) -> None:
    key = grant.opened(token=grant.bao.token(grant.policy, renewable=False), renew_token=True)

    with pytest.raises(AuthenticationError, match="cannot be renewed"):
        round_trips(key)


def test_a_wrapping_token_in_the_place_of_a_token_comes_with_advice(grant: Grant) -> None:
    wrapped = grant.bao.ask(
        "POST",
        "auth/token/create",
        {"policies": [grant.policy]},
        headers={"X-Vault-Wrap-TTL": "60s"},
    )["wrap_info"]["token"]

    # The attempt uses it up, so that the server cannot be asked what it was.
    with pytest.raises(PermissionDeniedError) as caught:
        round_trips(grant.opened(token=wrapped))

    assert "response-wrapped" in str(caught.value.hint)
    assert wrapped not in f"{caught.value!s} {caught.value.hint}"


def test_a_policy_that_wants_replies_wrapped_comes_with_advice(grant: Grant) -> None:
    policy = grant.bao.policy(
        f'path "transit/encrypt/{grant.name}" {{\n capabilities = ["update"]\n'
        ' min_wrapping_ttl = "9s"\n max_wrapping_ttl = "9s"\n}'
    )

    with pytest.raises(PermissionDeniedError) as caught:
        round_trips(grant.opened(token=grant.bao.token(policy)))

    assert "min_wrapping_ttl" in str(caught.value.hint)
