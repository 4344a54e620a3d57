"""What status and doctor learn from the real server."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ksm_storage.plugin import PermissionDeniedError

from .openbao import OpenBao
from .opening import opened

Settings = Mapping[str, object]
ELSEWHERE = 'path "elsewhere" { capabilities = ["read"] }'


def test_a_key_is_described(bao: OpenBao, root: Settings) -> None:
    name = bao.new_key(options={"type": "chacha20-poly1305", "auto_rotate_period": "30d"})
    bao.ask("POST", f"transit/keys/{name}/rotate")

    described = opened(f"transit/{name}", root).describe_key()

    assert described.key_id == f"transit/{name}"
    assert (described.state, described.state_name) == ("enabled", None)
    assert described.algorithm == "chacha20-poly1305"
    assert described.current_version == "2"
    assert described.rotation == "every 30 days"
    assert not described.public


def test_a_soft_deleted_key_is_described_as_disabled(bao: OpenBao, root: Settings) -> None:
    name = bao.new_key()
    bao.ask("DELETE", f"transit/keys/{name}/soft-delete")

    described = opened(f"transit/{name}", root).describe_key()

    assert (described.state, described.state_name) == ("disabled", "soft-deleted")


def test_a_key_that_rejects_old_versions_is_described_with_the_oldest_it_takes(
    bao: OpenBao, root: Settings
) -> None:
    name = bao.new_key()
    bao.ask("POST", f"transit/keys/{name}/rotate")
    bao.ask("POST", f"transit/keys/{name}/config", {"min_decryption_version": 2})

    described = opened(f"transit/{name}", root).describe_key()

    assert described.shown_state == "enabled (decrypts version 2 and later)"


@pytest.mark.parametrize("options", [{"type": "ecdsa-p256"}, {"derived": True}], ids=str)
def test_a_key_that_cannot_wrap_is_described_as_unusable(
    bao: OpenBao, root: Settings, options: dict[str, object]
) -> None:
    described = opened(f"transit/{bao.new_key(options=options)}", root).describe_key()

    assert described.state == "unusable"


def test_the_access_says_who_asks_whom(bao: OpenBao) -> None:
    token = bao.token("default", display_name="payments", ttl="1h")

    labels = opened("transit/app", {"endpoint": bao.url, "token": token}).describe_access()

    assert labels["address"] == f"{bao.url} (from the setting 'endpoint')"
    assert labels["identity"] == "token-payments"
    assert labels["policies"] == "default"
    assert 3500 < int(labels["seconds left"]) <= 3600
    assert labels["server version"].startswith("2.")
    assert token not in str(labels)


def test_a_token_that_may_not_look_at_itself_is_no_error(bao: OpenBao) -> None:
    token = bao.token(bao.policy(ELSEWHERE), no_default_policy=True)

    labels = opened("transit/app", {"endpoint": bao.url, "token": token}).describe_access()

    assert "identity" not in labels
    assert "server version" in labels


def test_each_permission_is_probed_with_the_policy_that_grants_it(bao: OpenBao) -> None:
    name = bao.new_key()
    policy = bao.policy(f'path "transit/decrypt/{name}" {{ capabilities = ["update"] }}')
    settings = {"endpoint": bao.url, "token": bao.token(policy)}

    probes = opened(f"transit/{name}", settings).probe_permissions()

    assert [(probe.permission, probe.need, probe.granted) for probe in probes] == [
        (f"update on transit/decrypt/{name}", "open", True),
        (f"update on transit/encrypt/{name}", "seal", False),
        (f"read on transit/keys/{name}", "describe", False),
    ]
    granted = bao.policy("\n".join(str(probe.grant) for probe in probes if probe.grant))
    settings = {"endpoint": bao.url, "token": bao.token(policy, granted)}
    assert all(probe.granted for probe in opened(f"transit/{name}", settings).probe_permissions())


def test_permissions_that_cannot_be_asked_for_are_unknown(bao: OpenBao) -> None:
    token = bao.token(bao.policy(ELSEWHERE), no_default_policy=True)
    settings = {"endpoint": bao.url, "token": token}

    probes = opened("transit/app", settings).probe_permissions()

    assert {probe.granted for probe in probes} == {None}
    assert all("sys/capabilities-self" in str(probe.reason) for probe in probes)


def test_a_key_that_may_not_be_described_says_which_permission_is_missing(bao: OpenBao) -> None:
    settings = {"endpoint": bao.url, "token": bao.token("default")}

    with pytest.raises(PermissionDeniedError) as caught:
        opened("transit/app", settings).describe_key()

    assert caught.value.permission == "read on transit/keys/app"
