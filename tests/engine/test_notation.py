"""Notation gives what the official package gives, for the same records."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keeper_secrets_manager_core import SecretsManager as Official
from keeper_secrets_manager_core.dto.payload import KSMHttpResponse as OfficialResponse
from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage as OfficialInMemory

from ksm_storage.engine import (
    InMemoryKeyValueStorage,
    KSMHttpResponse,
    NotationError,
    SecretNotFoundError,
    SecretsManager,
)
from ksm_storage.engine.notation import parse_notation
from ksm_storage.wire.aes import gcm_seal
from ksm_storage.wire.base64_forms import to_base64
from ksm_storage.wire.keys import new_private_key, private_key_to_text
from tests.engine.sealed_secrets import login, record

APP_KEY = os.urandom(32)
UID, CARD_UID, ADDRESS_UID = (letter * 22 for letter in "ACD")
CUSTOM = [
    {"type": "name", "value": [{"first": "Ann", "last": "Lee"}, {"first": "Bo"}]},
    {"type": "phone", "label": "Phones", "value": [{"number": "1"}, {"number": "2", "ext": 3}]},
    {"type": "text", "label": "env", "value": ["prod", "test"]},
    {"type": "text", "label": "odd/[name]\\", "value": ["odd"]},
    {"type": "text", "label": "empty", "value": []},
    {"type": "cardRef", "label": "Card", "value": [CARD_UID]},
    {"type": "checkbox", "label": "flag", "value": [True]},
]
ADDRESS = {"street1": "Main St", "city": "Springfield"}
RECORDS = [
    record(login("My Login", custom=CUSTOM, notes="some notes"), APP_KEY, uid=UID),
    record(login("odd/[title]\\"), APP_KEY),
    record(login("twice"), APP_KEY),
    record(login("twice"), APP_KEY),
    record(
        {
            "title": "card",
            "type": "bankCard",
            "fields": [
                {"type": "paymentCard", "value": [{"cardNumber": "4111"}]},
                {"type": "pinCode", "value": ["0000"]},
                {"type": "addressRef", "value": [ADDRESS_UID]},
            ],
        },
        APP_KEY,
        uid=CARD_UID,
    ),
    record(
        {"title": "home", "type": "address", "fields": [{"type": "address", "value": [ADDRESS]}]},
        APP_KEY,
        uid=ADDRESS_UID,
    ),
]
CONFIG = {
    "hostname": "localhost",
    "clientId": "client",
    "privateKey": private_key_to_text(new_private_key()),
    "appKey": to_base64(APP_KEY),
    "serverPublicKeyId": "10",
}
ANSWER_KEY = os.urandom(32)
ANSWER = gcm_seal(ANSWER_KEY, json.dumps({"records": RECORDS}).encode())


def manager(kind: Any, response: Any, config: Any) -> Any:
    """Return a client that gets the whole answer to every question, filters or not."""
    only: dict[str, bytes] = {}

    def post(_url: str, key: Any, payload: Any, *_rest: Any) -> Any:
        key.key, old = ANSWER_KEY, key.key
        from ksm_storage.wire.aes import gcm_open

        asked = json.loads(gcm_open(old, payload.encrypted_payload)).get("requestedRecords")
        if not asked:
            return response(200, ANSWER)
        found = [entry for entry in RECORDS if entry["recordUid"] in asked]
        text = json.dumps({"records": found})
        only[text] = only.get(text) or gcm_seal(ANSWER_KEY, text.encode())
        return response(200, only[text])

    return kind(config=config, custom_post_function=post)


OURS = manager(SecretsManager, KSMHttpResponse, InMemoryKeyValueStorage(CONFIG))
THEIRS = manager(Official, OfficialResponse, OfficialInMemory(json.dumps(CONFIG)))

NOTATIONS = [
    f"{UID}/type",
    f"keeper://{UID}/title",
    f"KEEPER://{UID}/notes",
    "My Login/title",
    "twice/title",
    "nobody/title",
    r"odd\/\[title\]\\/title",
    "home/notes",
    f"{UID}/field/password",
    f"{UID}/field/password[0]",
    f"{UID}/field/password[]",
    f"{UID}/field/password[1]",
    f"{UID}/field/login",
    f"{UID}/field/nothing",
    f"{UID}/custom_field/name",
    f"{UID}/custom_field/name[first]",
    f"{UID}/custom_field/name[][last]",
    f"{UID}/custom_field/name[1][first]",
    f"{UID}/custom_field/name[1][last]",
    f"{UID}/custom_field/name[0][]",
    f"{UID}/custom_field/name[][]",
    f"{UID}/custom_field/name[0][3]",
    f"{UID}/custom_field/name[a][first]",
    f"{UID}/custom_field/Phones[1][ext]",
    f"{UID}/custom_field/Phones[][number]",
    f"{UID}/custom_field/Phones[]",
    f"{UID}/custom_field/env",
    f"{UID}/custom_field/env[1]",
    f"{UID}/custom_field/env[0][x]",
    f"{UID}/custom_field/text",
    f"{UID}/custom_field/empty",
    f"{UID}/custom_field/empty[]",
    f"{UID}/custom_field/empty[0]",
    f"{UID}/custom_field/flag",
    f"{UID}/custom_field/Card",
    f"{UID}/custom_field/Card[0][cardNumber]",
    rf"{UID}/custom_field/odd\/\[name\]\\",
    rf"{UID}/custom_field/odd/\[name\]\\",
    f"{UID}/custom_field/env[0",
    f"{UID}/custom_field/env]0[",
    f"{UID}/custom_field/env[0][1][2]",
    f"{UID}/custom_field/env[0]x",
    f"{UID}/file/none.txt",
    f"{UID}/file/none.txt[0]",
    f"{UID}/field",
    f"{UID}/field/",
    f"{UID}/type/x",
    f"{UID}/bad/x",
    f"{UID}/",
    f"{UID}",
    "/title",
    "",
    "keeper://",
    rf"{UID}\x/title",
    base64.urlsafe_b64encode(f"{UID}/title".encode()).decode(),
]


def outcome(function: Any, notation: str) -> Any:
    try:
        return function(notation)
    except (ValueError, TypeError, KeyError, AttributeError):
        return "error"


@pytest.mark.parametrize("notation", NOTATIONS)
def test_one_value_is_that_of_the_official_package(notation: str) -> None:
    ours = outcome(OURS.get_notation, notation)

    assert ours == outcome(THEIRS.get_notation, notation)


@pytest.mark.parametrize("notation", NOTATIONS)
def test_all_values_are_those_of_the_official_package(notation: str) -> None:
    ours = outcome(OURS.get_notation_results, notation)

    assert ours == outcome(THEIRS.get_notation_results, notation)
    expected = [] if ours == "error" else ours
    assert OURS.try_get_notation_results(notation) == expected


PIECES = st.sampled_from(
    ["[", "]", "[0]", "[1]", "[]", "[first]", "[last]", "/", "\\[", "\\/", "name", "env", "0", "x"]
)


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(PIECES, max_size=5), selector=st.sampled_from(["field", "custom_field"]))
def test_made_up_notations_end_as_in_the_official_package(pieces: list[str], selector: str) -> None:
    notation = f"{UID}/{selector}/{''.join(pieces)}"

    for name in ("get_notation", "get_notation_results"):
        ours = outcome(getattr(OURS, name), notation)
        assert ours == outcome(getattr(THEIRS, name), notation), name


def test_a_label_that_ends_in_a_backslash_may_have_an_index() -> None:
    # The official parser takes the escaped backslash and the bracket for an escaped bracket.
    assert OURS.get_notation(rf"{UID}/custom_field/odd\/\[name\]\\[0]") == "odd"


@pytest.mark.parametrize("digits", [19, 5000])
def test_an_index_of_too_many_digits_is_none(digits: int) -> None:
    for resolve in (OURS.get_notation, OURS.get_notation_results):
        with pytest.raises(NotationError):
            resolve(f"{UID}/field/password[{'9' * digits}]")


def test_the_errors_say_whether_the_text_or_the_record_is_wrong() -> None:
    with pytest.raises(NotationError):
        OURS.get_notation(f"{UID}/bad")
    with pytest.raises(SecretNotFoundError):
        OURS.get_notation(f"{UID}/field/nothing")


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=30))
def test_any_text_is_a_notation_or_a_notation_error(text: str) -> None:
    with contextlib.suppress(NotationError):
        parse_notation(text, property_first=True)
