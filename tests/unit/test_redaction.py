"""An argument that may be a secret is recognised; names of files and keys are not taken for one."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import uuid
from pathlib import Path

import pytest

from ksm_storage.contract.redaction import (
    may_be_secret,
    secrets_in,
    shown_argument,
    without_secrets,
)
from ksm_storage.wire.base64_forms import to_url_safe

CONFIG = json.dumps(
    {"hostname": "keepersecurity.com", "privateKey": to_url_safe(os.urandom(138)), "clientId": "C"}
)
BASE64 = base64.b64encode(CONFIG.encode()).decode()
INDENTED = base64.b64encode(json.dumps(json.loads(CONFIG), indent=4).encode()).decode()

SECRETS = {
    "JSON": CONFIG,
    "JSON that is cut off": CONFIG[:90],
    "base64": BASE64,
    "base64 of indented JSON": INDENTED,
    "base64 in quotes": f"'{BASE64}'",
    "base64 that is cut off": BASE64[:-31],
    "base64 without its beginning": BASE64[90:],
    "the first line of base64": base64.encodebytes(CONFIG.encode()).decode().split()[0],
    "base64 of base64": base64.b64encode(BASE64.encode()).decode(),
    "base64 behind a line end": base64.b64encode(b"\n" + CONFIG.encode()).decode(),
    "a line of variables": f"KSM_CONFIG={BASE64[:20]}",
    "an exported variable": f"export ksm_config='{BASE64}'",
    "a one-time token": f"US:{to_url_safe(os.urandom(32))}",
    "a token with a host": f"keepersecurity.eu:{to_url_safe(os.urandom(32))}",
    # Few digits, and few changes between capitals and small letters.
    "a token that looks like a word": f"keepersecurity.eu:{'Aaaaaaaaaa' * 4}aaa",
    "a bare token": to_url_safe(bytes(range(7, 39))),
    "indented JSON": json.dumps(json.loads(CONFIG), indent=2),
    "a quoted token": f"'US:{to_url_safe(os.urandom(32))}'",
    "a token as a line of YAML": f"token: US:{to_url_safe(os.urandom(32))}",
    "a line of a token": f"KSM_TOKEN=US:{to_url_safe(os.urandom(32))}",
    "base64 in lines": base64.encodebytes(CONFIG.encode()).decode(),
    "base64 with blanks": " ".join(base64.encodebytes(CONFIG.encode()).decode().split()),
    "keeper.ini": f"[_default]\nclientkey = {to_url_safe(os.urandom(32))}\n",
    "a private key in PEM": "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n",
    "an AWS secret access key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "recovery words": "abandon ability able about above absent absorb abstract absurd abuse access "
    "accident",
    "a share of a recovery secret": "academic acid duckling romp beard actress acid emission evoke "
    "glasses pumps acid alto acid survive lair acid fraction amount acid mule acid",
    "a URL with a password": "https://user:a-password-of-a-proxy@example.com/x",
    "a key in hexadecimal": os.urandom(32).hex(),
    "a key of 16 bytes in hexadecimal": os.urandom(16).hex().upper(),
    "a line of a key in hexadecimal": f"VAULT_PASSWORD={os.urandom(32).hex()}",
    "an application key": base64.b64encode(hashlib.sha256(b"a").digest()).decode(),
}  # fmt: skip

NAMES = (
    "client-config.json",
    "/etc/ksm-storage/production/eu-west-1/web-frontend/client-config.json",
    "Config-Production-2026-11-29-Before-The-Great-Migration-To-Another-Cloud.json",
    "MyVeryLongCamelCaseConfigurationFileNameForTheProductionSystem2026",
    "a_very_long_snake_case_name_of_a_configuration_for_production_2026",
    f"/var/lib/docker/overlay2/{hashlib.sha256(b'x').hexdigest()}/merged/c.json",
    f"/nix/store/{hashlib.sha256(b'x').hexdigest()[:32]}-ksm-storage-0.1.0/share/config.json",
    f"/run/{uuid.UUID(int=7)}/{uuid.UUID(int=9)}/config",
    f"aws-kms://arn:aws:kms:eu-west-1:111122223333:key/{uuid.UUID(int=7)}",
    f"arn:aws:kms:eu-west-1:111122223333:key/mrk-{uuid.UUID(int=7).hex}",
    f"aws-kms://{uuid.UUID(int=7).hex}",
    f"https://my.vault.azure.net/keys/k/{uuid.UUID(int=7).hex}",
    str(uuid.UUID(int=7)),
    "/tmp/pytest-of-root/pytest-259/test_what_a_parser_raises_keep86/policy.toml",
    "fleet/**/*.json",
    "my new configuration for the second server in the left rack.json",
    "/srv/me/the old files that we keep/of the web server/for now/config",
    "https://proxy.example:3128",
    "token: missing",
    "ProductionConfigurationForTheServer2026a",
)


@pytest.mark.parametrize("kind", SECRETS)
def test_what_may_be_a_secret_is_recognised_and_not_shown(kind: str) -> None:
    text = SECRETS[kind]

    assert may_be_secret(text)
    assert text[:16] not in shown_argument(text)
    for message, word in {
        f"cannot read {text!r}: no": text,
        f"cannot read {text}: no": text,
        json.dumps({"message": f"cannot read {text}"}): text,
        f"no such option: --x={text}": f"--x={text}",
        f"no such option: --{text.partition('=')[0]}": f"--{text}",
        f"unexpected extra argument ({' '.join(text.split())})": text,
    }.items():
        shown = without_secrets(message, secrets_in(["get", word]))
        assert not [part for part in re.findall(r"\S{16,}", text) if part in shown]
        assert text not in shown


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown(name: str) -> None:
    assert not may_be_secret(name)
    assert shown_argument(name) == repr(name)
    assert (
        without_secrets(f"{name!r} does not exist", secrets_in([name]))
        == f"{name!r} does not exist"
    )


def test_a_file_that_is_there_is_shown_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = SECRETS["a bare token"]
    Path(name).touch()

    assert shown_argument(name) == repr(name)
