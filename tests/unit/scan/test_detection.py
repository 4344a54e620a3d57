"""What should be sealed is found in every form, and what only looks like it is not."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from ksm_storage.scan.detection import find_secrets
from ksm_storage.scan.finding import Finding, Kind
from ksm_storage.scan.tree import MAX_BYTES, Tree

# Made anew in each run: a secret in this file would be found by the command that it tests.
KEY = base64.b64encode(
    ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )
).decode()
APP_KEY = base64.b64encode(os.urandom(32)).decode()
TOKEN = base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
CONFIG = {"hostname": "h", "clientId": "C", "privateKey": KEY, "appKey": APP_KEY}
JSON = json.dumps(CONFIG)
BASE64 = base64.b64encode(JSON.encode()).decode()


def unsaid(value: object) -> str:
    """Name a case by no value: they differ in each process, and caches keep the names of tests."""
    return value.name if isinstance(value, Kind) else type(value).__name__


@pytest.mark.parametrize(
    ("text", "line", "kind"),
    [
        (JSON, 1, Kind.JSON),
        ('{"clientId": "CID", "privateKey": "PRIVATE"}', 1, Kind.JSON),
        (json.dumps(CONFIG, indent=4), 1, Kind.JSON),
        (BASE64, 1, Kind.BASE64),
        (f"[_default]\nclientid = C\nprivatekey = {KEY}\n", 1, Kind.INI),
        (f"a: 1\nKSM_CONFIG: {BASE64}\n", 2, Kind.BASE64),
        (f"data:\n  c: {base64.b64encode(BASE64.encode()).decode()}\n", 2, Kind.BASE64),
        (f"data:\n  c: {base64.b64encode(JSON.encode()).decode()}\n", 2, Kind.BASE64),
        (
            f"data:\n  c: {base64.b64encode(json.dumps(CONFIG, indent=2).encode()).decode()}\n",
            2,
            Kind.BASE64,
        ),
        (f"x\ny\nconfig = {JSON!r}\n", 3, Kind.SECRET),
        (f"body = {json.dumps(JSON)}\n", 1, Kind.SECRET),
        (f"ksm:\n  appKey: {APP_KEY}\n", 2, Kind.SECRET),
        (f'{{"clientKey": "{TOKEN}", "other": 1}}\n', 1, Kind.SECRET),
        (f"#!/bin/sh\nksm profile init --token US:{TOKEN}\n", 2, Kind.TOKEN),
        (f"token=eu:{TOKEN}", 1, Kind.TOKEN),
        (f"keepersecurity.com.au:{TOKEN}", 1, Kind.TOKEN),
    ],
    ids=unsaid,
)
def test_what_should_be_sealed_is_found_where_it_is(text: str, line: int, kind: Kind) -> None:
    assert list(find_secrets(text.encode())) == [Finding(line, kind)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_what_windows_writes_is_found_too(encoding: str) -> None:
    assert list(find_secrets(JSON.encode(encoding))) == [Finding(1, Kind.JSON)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"hostname": "keepersecurity.eu"}',
        '{"name": "package", "version": "1.0.0"}',
        "appKey: your-key-here",
        f"app_secret: {APP_KEY}",
        f"sha256:{TOKEN}",
        "US:" + "A" * 42,
        base64.b64encode(json.dumps({"name": "x" * 90}).encode()).decode(),
        f"serverPublicKey: {APP_KEY}",
    ],
    ids=unsaid,
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert list(find_secrets(text.encode())) == []


def test_a_sealed_file_is_nothing_to_find(tmp_path: Path) -> None:
    import ksm_storage
    from tests.cli.command import key_file

    path = tmp_path / "c.json"
    path.write_text(JSON)
    ksm_storage.protect(path, [key_file(tmp_path)])

    assert list(find_secrets(path.read_bytes())) == []


def test_links_binaries_and_version_control_are_left_out(tmp_path: Path) -> None:
    for name in ("sub", ".git"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "c.json").write_text(JSON)
    (tmp_path / "binary").write_bytes(b"\0" + JSON.encode())
    (tmp_path / "link").symlink_to(tmp_path / "sub/c.json")
    os.mkfifo(tmp_path / "fifo")

    assert [path for path, _ in Tree([str(tmp_path)]).contents()] == [f"{tmp_path}/sub/c.json"]


def test_a_huge_file_is_left_out_and_told(tmp_path: Path) -> None:
    (tmp_path / "huge").write_bytes(b"x" * (MAX_BYTES + 1))
    tree = Tree([str(tmp_path)])

    assert list(tree.contents()) == []
    assert tree.too_large == [f"{tmp_path}/huge"]


@pytest.mark.parametrize("pattern", ["vectors", "*.pem", "*/sub/*"])
def test_what_is_excluded_is_left_out(pattern: str, tmp_path: Path) -> None:
    (tmp_path / "vectors").mkdir()
    (tmp_path / "sub").mkdir()
    for name in ("vectors/a", "b.pem", "sub/c"):
        (tmp_path / name).write_text("x")

    assert len(list(Tree([str(tmp_path)], [pattern]).contents())) == 2
