"""A policy is read strictly, and each of its rules can be broken."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ksm_storage.contract.abilities import KeyDescription
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.errors import SettingsError, UnavailableError
from ksm_storage.keys.file_demands import FileDemands
from ksm_storage.keys.trust_rules import TrustRule, parse_rules
from ksm_storage.status.file_status import FileStatus
from ksm_storage.status.policy import broken_rules, read_policy
from tests.unit.status.planted_status import KEY, NOW, file_status, recipient_status

ENABLED = KeyDescription("one", "enabled", current_version="v2")
DISABLED = KeyDescription("one", "disabled")
RECOVERY = "recovery://office/aaaa"


def rule(**demands: Any) -> TrustRule:
    return TrustRule("policy", status=FileDemands(**demands))


def trusting(*keys: str) -> TrustRule:
    return TrustRule("policy", keys=tuple(map(KeyUri.parse, keys)))


def check(rule: TrustRule, status: FileStatus) -> list[str]:
    return broken_rules([rule], status, now=NOW)


@pytest.mark.parametrize(
    ("demanded", "kept", "broken"),
    [
        (
            trusting("key-file:///a.key", KEY),
            file_status(),
            file_status(recipient_status(KEY), recipient_status(KEY + "2")),
        ),
        (
            rule(minimum_recipients=2),
            file_status(recipient_status(), recipient_status(KEY + "2")),
            file_status(recipient_status()),
        ),
        (rule(maximum_dek_age_days=30), file_status(dek_days=30), file_status(dek_days=31)),
        (
            rule(maximum_sealed_age_days=30),
            file_status(dek_days=90, sealed_days=30),
            file_status(sealed_days=31),
        ),
        (
            rule(allow_public_keys=False),
            file_status(),
            file_status(recipient_status(algorithm="RSAES_OAEP_SHA_256")),
        ),
        (
            rule(allow_public_keys=False),
            file_status(),
            file_status(
                recipient_status(description=KeyDescription("one", "enabled", public=True))
            ),
        ),
        (
            rule(require_enabled=True),
            file_status(recipient_status(description=ENABLED), recipient_status(RECOVERY)),
            file_status(recipient_status(description=DISABLED)),
        ),
        (
            rule(require_enabled=True),
            file_status(recipient_status(description=ENABLED)),
            file_status(recipient_status(problem=UnavailableError("out of reach"))),
        ),
        (
            rule(require_current_version=True),
            file_status(recipient_status(description=ENABLED, version="v2")),
            file_status(recipient_status(description=ENABLED, version="v1")),
        ),
        (
            rule(require_current_version=True),
            file_status(recipient_status(description=KeyDescription("one", "enabled"))),
            file_status(recipient_status(description=ENABLED)),
        ),
        (
            rule(require_current_version=True),
            file_status(recipient_status(description=ENABLED, version="v2")),
            file_status(recipient_status()),
        ),
        (
            TrustRule("policy", context={"env": "prod"}),
            file_status(context={"env": "prod", "app": "x"}),
            file_status(context={"env": "test"}),
        ),
        (
            TrustRule("policy", paths=("/etc/*.json", f"{os.getcwd()}/*")),
            file_status(),
            replace(file_status(), path="/var/c.json"),
        ),
        (rule(maximum_mode=0o640), file_status(mode=0o440), file_status(mode=0o604)),
    ],
)
def test_a_rule_is_kept_or_broken(
    demanded: TrustRule, kept: FileStatus, broken: FileStatus
) -> None:
    assert check(demanded, kept) == []
    assert len(check(demanded, broken)) == 1


def test_a_pinned_alias_covers_the_key_that_a_file_names() -> None:
    pytest.importorskip("ksm_storage_aws_kms")
    key = "aws-kms://arn:aws:kms:eu-west-1:111122223333:"
    status = file_status(recipient_status(f"{key}key/1234abcd-12ab-34cd-56ef-1234567890ab"))

    assert check(trusting(f"{key}alias/app"), status) == []


def test_every_rule_that_applies_must_hold() -> None:
    rules = [rule(minimum_recipients=2), rule(maximum_mode=0o400)]

    assert len(broken_rules(rules, file_status(), now=NOW)) == 2


def test_each_recipient_that_breaks_a_rule_is_named() -> None:
    status = file_status(recipient_status(KEY), recipient_status(KEY + "2"))

    clauses = check(trusting("key-file:///a.key"), status)

    assert clauses == [f"{uri} is not a trusted key" for uri in (KEY, KEY + "2")]


def test_a_file_of_rules_has_the_form_of_the_policy_of_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        '[[trust]]\npath = "/etc/*.json"\nkeys = ["key-file:///a.key"]\n'
        'context = { env = "prod" }\n[trust.status]\n'
        "minimum_recipients = 2\nmaximum_dek_age_days = 3\nmaximum_sealed_age_days = 4\n"
        "allow_public_keys = false\nrequire_enabled = true\nrequire_current_version = true\n"
        'maximum_mode = "0640"\n'
    )
    demands = FileDemands(2, 3, 4, False, True, True, 0o640)
    keys = (KeyUri.parse("key-file:///a.key"),)
    expected = TrustRule(str(path), ("/etc/*.json",), keys, context={"env": "prod"}, status=demands)

    assert read_policy(str(path)) == parse_rules(path.read_bytes(), source=str(path)) == [expected]
    assert dict(expected.demands())["status"].count(", ") == 6


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"unknown = 1",
        b"minimum_recipients = 1",
        b"[[trust]]\nminimum_recipients = 1",
        b"[trust]\nkeys = ['key-file:///a']",
        b"[[trust]]\n[trust.status]",
        b"[[trust]]\n[trust.status]\nunknown = 1",
        b"[[trust]]\n[trust.status]\nminimum_recipients = 0",
        b"[[trust]]\n[trust.status]\nminimum_recipients = true",
        b"[[trust]]\n[trust.status]\nminimum_recipients = '2'",
        b"[[trust]]\n[trust.status]\nallow_public_keys = 0",
        b"[[trust]]\n[trust.status]\nmaximum_mode = 'rw'",
        b"[[trust]]\n[trust.status]\nmaximum_mode = '1777'",
        b"[[trust]]\nstatus = 1",
        b"[[trust]]\ncontext = { env = 1 }",
        b"not toml",
        b"\xff\xfe",
        b"# " + b"x" * 1_100_000,
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(content)

    with pytest.raises(SettingsError):
        read_policy(str(path))
