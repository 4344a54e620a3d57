"""What should be sealed is found in every form, and what only looks like it is not."""

from __future__ import annotations

import base64
import json
import os
import textwrap
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from ksm_storage.cli.export import FORMS
from ksm_storage.scan.detection import Finding, Kind, find_secrets
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
INI = f"[_default]\nclientid = C\nprivatekey = {KEY}\n"
INDENTED_KEY = textwrap.indent("\n".join(textwrap.wrap(KEY, 64)) + "\n", "    ")
FOLDED = base64.encodebytes(JSON.encode()).decode()


def thrice(text: str) -> str:
    """Return base64 of base64 of base64."""
    for _ in range(3):
        text = base64.b64encode(text.encode()).decode()
    return text


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
        ("\n" + JSON, 1, Kind.JSON),
        (base64.b64encode(b"\n" + JSON.encode()).decode(), 1, Kind.BASE64),
        (f"a: 1\nb: {base64.b64encode(b'  ' + JSON.encode()).decode()}\n", 2, Kind.BASE64),
        (f"a: 1\nb: {base64.b64encode(INI.encode()).decode()}\n", 2, Kind.BASE64),
        (f"a: 1\nb: {thrice(JSON)}\n", 2, Kind.BASE64),
        (thrice(JSON), 1, Kind.BASE64),
        (f"a: 1\nb: >-\n{textwrap.indent(FOLDED, '    ')}c: 2\n", 3, Kind.BASE64),
        (f"a: 1\nb:\n{textwrap.indent(FOLDED, '  ')}\nword\n", 3, Kind.BASE64),
        (f"a\n{FOLDED}", 2, Kind.BASE64),
        ("a\r\n" + FOLDED.replace("\n", "\r\n"), 2, Kind.BASE64),
        (f"x\nvalue = {json.dumps(FOLDED)}\n", 2, Kind.BASE64),
        ("x\nb=" + FOLDED.replace("\n", "\\\n"), 2, Kind.BASE64),
        (f"x\n--config-{BASE64}\n", 2, Kind.BASE64),
        (f"x\n/a/{BASE64}\n", 2, Kind.BASE64),
        (f"export KSM_CONFIG='{BASE64}'\n", 1, Kind.BASE64),
        (f'{{"config": "{BASE64}"}}\n', 1, Kind.BASE64),
        (f"x\ny\nconfig = {JSON!r}\n", 3, Kind.SECRET),
        (f"body = {json.dumps(JSON)}\n", 1, Kind.SECRET),
        (f"ksm:\n  appKey: {APP_KEY}\n", 2, Kind.SECRET),
        # .NET and Go write JSON so.
        ("x\n" + '{"appKey": "' + APP_KEY.replace("=", "\\u003D") + '"}', 2, Kind.SECRET),
        (
            "x\n" + json.dumps('{"appKey":"' + APP_KEY.replace("=", "\\u003d") + '"}'),
            2,
            Kind.SECRET,
        ),
        (f'{{"clientKey": "{TOKEN}", "other": 1}}\n', 1, Kind.SECRET),
        # How YAML folds a long value, with the next field right behind it.
        (f"a: 1\nprivateKey: >-\n{INDENTED_KEY}hostname: h\n", 2, Kind.SECRET),
        (f"privateKey: |2+ # ours\n{INDENTED_KEY}", 1, Kind.SECRET),
        (f"ksm:\r\n  appKey: >-\r\n    {APP_KEY[:20]}\r\n    {APP_KEY[20:]}\r\n", 2, Kind.SECRET),
        (f"ksm:\n  clientKey: >\n    {TOKEN}\n  hostname: h\n", 2, Kind.SECRET),
        (f"appKey:\n  privateKey: {KEY[:64]}\n    {KEY[64:]}\n", 2, Kind.SECRET),
        (f'privateKey: "{KEY[:64]}\\\n    {KEY[64:]}"\n', 1, Kind.SECRET),
        (f'x = {{\n"privateKey":\n    "{KEY}"}}\n', 2, Kind.SECRET),
        (json.dumps({"config.yaml": f"privateKey: |\n{INDENTED_KEY}x: 1\n"}), 1, Kind.SECRET),
        (f"#!/bin/sh\nksm profile init --token US:{TOKEN}\n", 2, Kind.TOKEN),
        (f"token=eu:{TOKEN}", 1, Kind.TOKEN),
        (f"keepersecurity.com.au:{TOKEN}", 1, Kind.TOKEN),
    ],
    ids=unsaid,
)
def test_what_should_be_sealed_is_found_where_it_is(text: str, line: int, kind: Kind) -> None:
    assert list(find_secrets(text.encode())) == [Finding(line, kind)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_what_windows_writes_is_found_too(encoding: str, tmp_path: Path) -> None:
    texts = {JSON: Finding(1, Kind.JSON), f"# \u00fc\u4e2d\nx: {BASE64}": Finding(2, Kind.BASE64)}
    for number, text in enumerate(texts):
        (tmp_path / str(number)).write_bytes(text.encode(encoding))

    read = dict(Tree([str(tmp_path)]).contents())

    assert [list(find_secrets(read[path])) for path in sorted(read)] == [
        [f] for f in texts.values()
    ]


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
        "appKey: >-\n    a long text that was folded\n    by an editor\n",
        f"appKey:\nsha256: {APP_KEY}\n",
        f"privateKey: |\n  {base64.b64encode(bytes(138)).decode()}\n",
        base64.b64encode(json.dumps({"name": "x" * 90}).encode()).decode(),
        f"serverPublicKey: {APP_KEY}",
    ],
    ids=unsaid,
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert list(find_secrets(text.encode())) == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("before", ["", "x: 1\n"])
def test_each_form_that_export_writes_is_found(form: str, before: str) -> None:
    exported = FORMS[form](CONFIG, None)

    assert list(find_secrets(before.encode() + exported))


@pytest.mark.parametrize(
    "line",
    [
        "[section{}]",
        "o{}=1",
        " x",
        "",
        "name{}",
        "A{}" + "A" * 60,
        "privatekey ",
        "privatekey:\\n" + "A" * 30,
        "a.b:" + "-" * 60,
    ],
    ids=repr,
)
def test_the_time_is_in_proportion_to_the_size_whatever_the_lines_are(line: str) -> None:
    text = "[a]\nb=c\n" + "".join(f"{line.format(n)}\n" for n in range(400_000 // (len(line) + 1)))

    def seconds(copies: int) -> float:
        began = time.process_time()
        assert list(find_secrets(text.encode() * copies)) == []
        return time.process_time() - began

    # Slower than a square by far: ten times the text in at most thirty times the time, and the
    # four megabytes that are looked into in seconds.
    ten_times = seconds(10)
    assert ten_times < max(30 * seconds(1), 1.0)
    assert ten_times < 12


def test_a_secret_in_an_ini_that_is_too_large_for_a_configuration_is_found() -> None:
    text = "".join(f"[s{n}]\nx=1\n" for n in range(40_000)) + INI

    assert list(find_secrets(text.encode())) == [Finding(80_003, Kind.SECRET)]


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
