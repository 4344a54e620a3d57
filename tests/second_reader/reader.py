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
    r"generation: (?P<generation>[1-9]\d{0,17})\n"
    r"(?P<context>(?:context: [^\n]*\n){0,16})(?P<recipients>(?:recipient: [a-z][a-z0-9]*"
    r"(?:-[a-z0-9]+)*://[!-~]{1,2048}\nalgorithm: [!-~]{1,64}\nwrapped-dek: [^ \n]+\n){1,16})"
    r"message-id: (?P<message_id>[^ \n]{44})\ncommitment: (?P<commitment>[^ \n]{44})\n"
    r"(?:lineage: (?P<lineage>[^ \n]+)\n)?header-mac: (?P<mac>[^ \n]{44})\n"
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
    refuse_if(len(pairs) != lines.count("\n") or [p[0] for p in pairs] != sorted(dict(pairs)))
    refuse_if(any(name.startswith("ksm-storage.") for name, _ in pairs))
    refuse_if(sum(len(name) + len(value) for name, value in pairs) > 1024)
    return dict(pairs)


def derived(dek: bytes, message_id: bytes, info: bytes) -> bytes:
    extracted = hmac.new(message_id, dek, hashlib.sha512).digest()
    return hmac.new(extracted, info + b"\1", hashlib.sha512).digest()[:32]


def opened(raw: bytes, dek: bytes, wanted: dict[str, str] | None) -> bytes:
    """Return the payload; raise Refused with the category of the first failure (R1)."""
    refuse_if(len(raw) > 2_097_152, "too-large")
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    crlf = raw.count(b"\r\n") == raw.count(b"\r") == raw.count(b"\n")
    raw = raw.replace(b"\r\n", b"\n") if crlf else raw
    raw += b"\n" if b"\n\n" in raw and not raw.endswith(b"\n") else b""
    refuse_if(not raw.startswith(b"ksm-storage envelope v"), "not-an-envelope")
    version = re.match(rb"ksm-storage envelope v(0|[1-9]\d{0,17})\n", raw)
    refuse_if(version is None or version[1] != b"1", "unknown-version" if version else "malformed")
    refuse_if(re.search(rb"[^\n -~]", raw) or not raw.endswith(b"\n"))
    head, empty_line, body = raw.decode().partition("\n\n")
    refuse_if(not empty_line or len(head) + 2 > 262_144)
    refuse_if(re.match(r".*\nsuite: (?!1\n)(0|[1-9]\d{0,17})\n", head), "unknown-suite")
    if not (found := LINES.fullmatch(f"{head}\n", 24)):
        raise Refused("malformed")
    for time in (found["created"], found["sealed"]):
        try:
            refuse_if(dt.datetime.strptime(time, "%Y-%m-%dT%H:%M:%S%z").year < 1970)
        except ValueError:
            raise Refused("malformed") from None
    context = context_of(found["context"])
    recipients = WRAPPED.findall(found["recipients"])
    refuse_if(len({key[:2] for key in recipients}) != len(recipients))
    refuse_if(any(len(p) > 64 or not decoded(w, range(1, 8193)) for p, _, w in recipients))
    ids = [decoded(found[n], range(32, 33)) for n in ("message_id", "commitment", "mac")]
    refuse_if((found["generation"] == "1") is not (found["lineage"] is None))
    refuse_if(found["lineage"] and not decoded(found["lineage"], range(48, 1041, 32)))
    sealed = decoded(flat := body.replace("\n", ""), range(16, 1_048_593))
    refuse_if(re.sub(r"(.{1,64})", "\\1\n", flat) != body, "non-canonical")
    refuse_if(wanted is not None and wanted != context, "wrong-context")
    refuse_if(derived(dek, ids[0], b"COMMITKEY") != ids[1], "wrong-dek")
    covered = head.rpartition("header-mac: ")[0].encode()
    mac = hmac.new(derived(dek, ids[0], b"ksm-storage header mac v1"), covered, hashlib.sha256)
    refuse_if(mac.digest() != ids[2], "altered-header")
    core = re.findall(
        r"(?:^ksm|^suite|^envelope-id|^generation|^context|^message-id).*\n", head, re.M
    )
    cipher = AES.new(derived(dek, ids[0], b"\x04\x78DERIVEKEY"), AES.MODE_GCM, nonce=bytes(12))
    try:
        return cipher.update("".join(core).encode()).decrypt_and_verify(sealed[:-16], sealed[-16:])
    except ValueError:
        raise Refused("altered-payload") from None
