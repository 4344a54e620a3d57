"""Open an envelope with nothing of ksm_storage: docs/envelope-format.md and another library."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import re

from Crypto.Cipher import AES

LINES = re.compile(
    r"suite: (?P<suite>0|[1-9]\d{0,17})\nenvelope-id: (?P<id>[0-9a-f]{32})\n"
    r"created: (?P<created>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\n"
    r"sealed: (?P<sealed>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\nrevision: [1-9]\d{0,17}\n"
    r"(?P<context>(?:context: [^\n]*\n){0,16})(?P<recipients>(?:recipient: [a-z][a-z0-9]*"
    r"(?:-[a-z0-9]+)*://[!-~]{1,2048}\nalgorithm: [!-~]{1,64}\nwrapped-dek: [^ \n]+\n){1,16})"
    r"message-id: (?P<message_id>[^ \n]{44})\ncommitment: (?P<commitment>[^ \n]{44})\n"
    r"header-mac: (?P<mac>[^ \n]{44})\n"
)
PAIR = re.compile(r"context: ([A-Za-z0-9][A-Za-z0-9._-]{0,63})=([!-~](?:[ -~]{0,254}[!-~])?)\n")
WRAPPED = re.compile(r"recipient: (.+?)://(.+)\n.*\nwrapped-dek: (.*)\n")


class Refused(Exception):  # noqa: N818 - its text is the category
    pass


def refuse_if(wrong: object, category: str = "malformed") -> None:
    if wrong:
        raise Refused(category)


def decoded(text: str, length: range) -> bytes:
    refuse_if(not re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", text) or len(text) % 4)
    raw = base64.b64decode(text)
    refuse_if(base64.b64encode(raw).decode() != text, "non-canonical")
    refuse_if(len(raw) not in length)
    return raw


def context_of(lines: str) -> dict[str, str]:
    pairs = PAIR.findall(lines)
    names = [name for name, _ in pairs]
    refuse_if(len(pairs) != lines.count("\n") or names != sorted(set(names)))
    refuse_if(any(name.startswith("ksm-storage.") for name in names))
    refuse_if(sum(len(name) + len(value) for name, value in pairs) > 1024)
    return dict(pairs)


def derived(dek: bytes, message_id: bytes, info: bytes) -> bytes:
    extracted = hmac.new(message_id, dek, hashlib.sha512).digest()
    return hmac.new(extracted, info + b"\1", hashlib.sha512).digest()[:32]


def opened(raw: bytes, dek: bytes, wanted: dict[str, str] | None) -> bytes:
    """Return the payload; raise Refused with the category of the first failure (R1)."""
    refuse_if(len(raw) > 2_097_152, "too-large")
    refuse_if(not raw.startswith(b"ksm-storage envelope v"), "not-an-envelope")
    version = re.match(rb"ksm-storage envelope v(0|[1-9]\d{0,17})\n", raw)
    refuse_if(version is None)
    refuse_if(version and version[1] != b"1", "unknown-version")
    refuse_if(re.search(rb"[^\n -~]", raw) or not raw.endswith(b"\n"))
    head, empty_line, body = raw.decode().partition("\n\n")
    refuse_if(not empty_line or len(head) + 2 > 262_144)
    suite = re.match(r".*\nsuite: (0|[1-9]\d{0,17})\n", head)
    refuse_if(suite and suite[1] != "1", "unknown-suite")
    found = LINES.fullmatch(f"{head}\n", 24)
    if found is None:
        raise Refused("malformed")
    for time in (found["created"], found["sealed"]):
        try:
            parsed = dt.datetime.strptime(time, "%Y-%m-%dT%H:%M:%S%z")
        except ValueError:
            raise Refused("malformed") from None
        refuse_if(parsed.year < 1970)
    context = context_of(found["context"])
    recipients = WRAPPED.findall(found["recipients"])
    refuse_if(len({(key[0], key[1]) for key in recipients}) != len(recipients))
    for provider, _, wrapped in recipients:
        refuse_if(len(provider) > 64 or not decoded(wrapped, range(1, 8193)))
    ids = [decoded(found[name], range(32, 33)) for name in ("message_id", "commitment", "mac")]
    flat = body.replace("\n", "")
    sealed = decoded(flat, range(16, 1_048_593))
    in_lines = "".join(f"{flat[at : at + 64]}\n" for at in range(0, len(flat), 64))
    refuse_if(in_lines != body, "non-canonical")
    refuse_if(wanted is not None and wanted != context, "wrong-context")
    refuse_if(derived(dek, ids[0], b"COMMITKEY") != ids[1], "wrong-dek")
    covered = head.rpartition("header-mac: ")[0].encode()
    mac_key = derived(dek, ids[0], b"ksm-storage header mac v1")
    refuse_if(hmac.new(mac_key, covered, hashlib.sha256).digest() != ids[2], "altered-header")
    core = re.findall(r"(?:^ksm|^suite|^envelope-id|^context|^message-id).*\n", head, re.M)
    key = derived(dek, ids[0], b"\x04\x78DERIVEKEY")
    cipher = AES.new(key, AES.MODE_GCM, nonce=bytes(12)).update("".join(core).encode())
    try:
        return cipher.decrypt_and_verify(sealed[:-16], sealed[-16:])
    except ValueError:
        raise Refused("altered-payload") from None
