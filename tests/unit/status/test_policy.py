"""A policy is read strictly, and each of its rules can be broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksm_storage.contract.abilities import KeyDescription
from ksm_storage.errors import SettingsError, UnavailableError
from ksm_storage.status.file_status import FileStatus
from ksm_storage.status.policy import Policy, broken_rules, read_policy
from tests.unit.status.planted_status import KEY, NOW, file_status, recipient_status

ENABLED = KeyDescription("one", "enabled", current_version="v2")
DISABLED = KeyDescription("one", "disabled")
RECOVERY = "recovery://office/aaaa"


def check(policy: Policy, status: FileStatus) -> list[str]:
    return broken_rules(policy, status, now=NOW)


@pytest.mark.parametrize(
    ("policy", "kept", "broken"),
    [
        (
            Policy(allowed_keys=("key-file://*", "aws-kms://arn:aws:kms:eu-*:key/one")),
            file_status(),
            file_status(recipient_status(KEY + "2")),
        ),
        (
            Policy(minimum_recipients=2),
            file_status(recipient_status(), recipient_status(KEY + "2")),
            file_status(recipient_status()),
        ),
        (Policy(maximum_dek_age_days=30), file_status(dek_days=30), file_status(dek_days=31)),
        (
            Policy(maximum_sealed_age_days=30),
            file_status(dek_days=90, sealed_days=30),
            file_status(sealed_days=31),
        ),
        (
            Policy(allow_public_keys=False),
            file_status(),
            file_status(recipient_status(algorithm="RSAES_OAEP_SHA_256")),
        ),
        (
            Policy(allow_public_keys=False),
            file_status(),
            file_status(
                recipient_status(description=KeyDescription("one", "enabled", public=True))
            ),
        ),
        (
            Policy(require_enabled=True),
            file_status(recipient_status(description=ENABLED), recipient_status(RECOVERY)),
            file_status(recipient_status(description=DISABLED)),
        ),
        (
            Policy(require_enabled=True),
            file_status(recipient_status(description=ENABLED)),
            file_status(recipient_status(problem=UnavailableError("out of reach"))),
        ),
        (
            Policy(require_current_version=True),
            file_status(recipient_status(description=ENABLED, version="v2")),
            file_status(recipient_status(description=ENABLED, version="v1")),
        ),
        (
            Policy(require_current_version=True),
            file_status(recipient_status(description=KeyDescription("one", "enabled"))),
            file_status(recipient_status(description=ENABLED)),
        ),
        (
            Policy(require_current_version=True),
            file_status(recipient_status(description=ENABLED, version="v2")),
            file_status(recipient_status()),
        ),
        (
            Policy(required_context={"env": "prod"}),
            file_status(context={"env": "prod", "app": "x"}),
            file_status(context={"env": "test"}),
        ),
        (
            Policy(required_context={"app": "*"}),
            file_status(context={"app": "anything"}),
            file_status(context={"env": "prod"}),
        ),
        (Policy(maximum_mode=0o640), file_status(mode=0o440), file_status(mode=0o604)),
    ],
)
def test_a_rule_is_kept_or_broken(policy: Policy, kept: FileStatus, broken: FileStatus) -> None:
    assert check(policy, kept) == []
    assert len(check(policy, broken)) == 1


def test_each_recipient_that_breaks_a_rule_is_named() -> None:
    status = file_status(recipient_status(KEY), recipient_status(KEY + "2"))

    clauses = check(Policy(allowed_keys=("key-file://*",)), status)

    assert clauses == [f"{uri} is not an allowed key" for uri in (KEY, KEY + "2")]


def test_all_rules_are_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        'allowed_keys = ["aws-kms://*"]\nminimum_recipients = 2\nmaximum_dek_age_days = 3\n'
        "maximum_sealed_age_days = 4\nallow_public_keys = false\nrequire_enabled = true\n"
        'require_current_version = true\nmaximum_mode = "0640"\n'
        '[required_context]\nenv = "prod"\n'
    )

    assert read_policy(str(path)) == Policy(
        allowed_keys=("aws-kms://*",),
        minimum_recipients=2,
        maximum_dek_age_days=3,
        maximum_sealed_age_days=4,
        allow_public_keys=False,
        require_enabled=True,
        require_current_version=True,
        required_context={"env": "prod"},
        maximum_mode=0o640,
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"unknown = 1",
        b"minimum_recipients = 0",
        b"minimum_recipients = true",
        b'minimum_recipients = "2"',
        b"allowed_keys = []",
        b'allowed_keys = "aws-kms://*"',
        b"allowed_keys = [1]",
        b"allow_public_keys = 0",
        b'maximum_mode = "rw"',
        b'maximum_mode = "1777"',
        b"required_context = { env = 1 }",
        b"not toml",
        b"\xff\xfe",
        b"# " + b"x" * 70_000,
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(content)

    with pytest.raises(SettingsError):
        read_policy(str(path))
