"""The standard options, and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.errors import SettingsError
from ksm_storage.keys.setting_sources import gather_settings
from ksm_storage.plugin import (
    Connection,
    CredentialKind,
    Option,
    Settings,
    credential_kind,
    is_plain_http,
    standard_options,
)

KINDS = {
    "file": CredentialKind(needed=("path",)),
    "token": CredentialKind(needed=("token",), optional=("tenant",)),
    "none": CredentialKind(),
}
OPTIONS = [
    *standard_options("Acme"),
    Option("credential", "Kind.", default="none", choices=tuple(KINDS)),
    *(Option(name, "Part.") for name in ("path", "token", "tenant")),
]


def settings(given: Mapping[str, object], options: list[Option] = OPTIONS) -> Settings:
    return gather_settings(KeyUri("acme", "k"), options, {"acme": given})


def test_what_is_not_given_has_a_default_that_ends() -> None:
    connection = Connection.from_settings(settings({}))

    assert (connection.endpoint, connection.ca_file) == (None, None)
    assert connection.attempt < connection.deadline


def test_one_attempt_is_shortened_to_fit_the_deadline() -> None:
    connection = Connection.from_settings(settings({"deadline": 0.9}))

    assert connection.attempt == pytest.approx(0.9)
    assert connection.connect_timeout < connection.read_timeout


def test_an_option_that_a_plugin_leaves_out_is_not_looked_for() -> None:
    options = standard_options("Acme", without=("endpoint", "connect_timeout"))

    connection = Connection.from_settings(settings({}, options))

    assert connection.endpoint is None
    assert connection.connect_timeout > 0


def test_a_slash_at_the_end_of_an_endpoint_is_dropped() -> None:
    given = {"endpoint": "https://acme.example/"}

    assert Connection.from_settings(settings(given)).endpoint == "https://acme.example"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "HTTP://localhost"])
def test_plain_http_is_told_from_tls(url: str) -> None:
    assert is_plain_http(url)
    assert not is_plain_http(url.lower().replace("http", "https"))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"credential": "file", "path": "x"},
        {"credential": "token", "token": "x"},
        {"credential": "token", "token": "x", "tenant": "y"},
    ],
)
def test_a_kind_of_credential_with_its_options_is_taken(given: Mapping[str, object]) -> None:
    assert credential_kind(settings(given), KINDS) == given.get("credential", "none")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"credential": "file"}, "'path' is missing"),
        ({"credential": "token", "tenant": "y"}, "'token' is missing"),
        ({"path": "x"}, "does not belong to credential 'none'"),
        ({"credential": "file", "path": "x", "tenant": "y"}, "does not belong"),
    ],
)
def test_options_of_another_kind_or_missing_ones_are_refused(
    given: Mapping[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        credential_kind(settings(given), KINDS)
