"""The rotation policy of a key, over the client library and on the wire."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError
from azure.keyvault.keys import KeyClient, KeyRotationPolicyAction

from .conftest import Wire


def test_a_new_key_is_not_rotated(keys: KeyClient) -> None:
    keys.create_rsa_key("app")

    policy = keys.get_key_rotation_policy("app")

    assert [action.action for action in policy.lifetime_actions] == [KeyRotationPolicyAction.notify]


def test_a_policy_that_was_set_is_shown(keys: KeyClient) -> None:
    keys.create_rsa_key("app")
    policy = keys.get_key_rotation_policy("app")
    policy.lifetime_actions[0].action = KeyRotationPolicyAction.rotate
    policy.expires_in = "P90D"

    keys.update_key_rotation_policy("app", policy)

    shown = keys.get_key_rotation_policy("app")
    assert shown.expires_in == "P90D"
    assert [each.action for each in shown.lifetime_actions] == [KeyRotationPolicyAction.rotate]


def test_there_is_no_policy_of_a_key_that_is_not_there(keys: KeyClient) -> None:
    with pytest.raises(HttpResponseError) as caught:
        keys.get_key_rotation_policy("none")

    assert caught.value.status_code == 404


def test_reading_a_key_does_not_let_anybody_read_its_policy(wire: Wire) -> None:
    wire.service.create_key("app")
    principal = wire.service.directory.add_application("reader").principal
    wire.service.demo.grant(principal.object_id, ["get"])
    token = wire.token(principal=principal)

    answer = wire.send("GET", "/keys/app/rotationpolicy", token=token)

    assert answer.error == ("Forbidden", "ForbiddenByRbac")
    assert "Microsoft.KeyVault/vaults/keyrotationpolicies/read" in answer.body["error"]["message"]
    assert wire.send("GET", "/keys/app", token=token).status == 200


def test_a_policy_without_actions_is_no_policy(wire: Wire) -> None:
    wire.service.create_key("app")

    answer = wire.send("PUT", "/keys/app/rotationpolicy", b'{"lifetimeActions": "none"}')

    assert answer.error == ("BadParameter", None)
