"""Build an envelope line by line from the specification, right or wrong on purpose.

It shares no code with ksm_storage: what both agree on is what docs/envelope-format.md says.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = "ksm-storage envelope v1"
PAYLOAD = b'{"clientId": "Q2xpZW50", "hostname": "keepersecurity.com"}'

Edit = Callable[[list[str]], Sequence[str]]


def sample_bytes(label: str, length: int) -> bytes:
    """Return bytes that look random and are the same each time."""
    return hashlib.shake_256(f"ksm-storage sample {label}".encode()).digest(length)


def encoded(raw: bytes) -> str:
    """Return standard base64 with padding."""
    return base64.b64encode(raw).decode("ascii")


DEK = sample_bytes("dek", 32)
MESSAGE_ID = sample_bytes("message id", 32)
ENVELOPE_ID = sample_bytes("envelope id", 16)


def recipient_lines(
    key: str = "key-file:///etc/ksm/app.key", algorithm: str = "AES-256-GCM", wrapped: int = 60
) -> tuple[str, ...]:
    """Return the group of lines of one recipient; its wrapped DEK has a length and no meaning."""
    ciphertext = encoded(sample_bytes(f"wrapped by {key}", wrapped))
    return f"recipient: {key}", f"algorithm: {algorithm}", f"wrapped-dek: {ciphertext}"


LINES = (
    MAGIC,
    "suite: 1",
    f"envelope-id: {ENVELOPE_ID.hex()}",
    "created: 2026-11-23T09:30:00Z",
    "sealed: 2026-11-23T10:12:44Z",
    "revision: 7",
    "generation: 1",
    "context: env=prod",
    "context: team=payments",
    *recipient_lines("aws-kms://arn:aws:kms:eu-west-1:111122223333:key/1234abcd", "SYMMETRIC", 184),
    *recipient_lines(),
    f"message-id: {encoded(MESSAGE_ID)}",
)


@dataclass(frozen=True)
class Draft:
    """Hold the parts of an envelope; what is not given is computed as a writer would.

    Attributes:
        lines: The header up to ``message-id``, without line feeds.
        commitment, header_mac: The value of that line instead of the right one.
        lineage: The value of that line, None for no such line.
        body: What stands behind the empty line instead of the sealed payload.
    """

    lines: Sequence[str] = LINES
    payload: bytes = PAYLOAD
    dek: bytes = DEK
    message_id: bytes = MESSAGE_ID
    commitment: str | None = None
    header_mac: str | None = None
    lineage: str | None = None
    body: str | None = None

    def edited(self, edit: Edit) -> Draft:
        """Return the draft with other lines; MAC, commitment and seal will fit them."""
        return replace(self, lines=tuple(edit(list(self.lines))))

    def with_line(self, name: str, value: str) -> Draft:
        """Return the draft with another value in the only line of that name."""
        found = [line for line in self.lines if line.startswith(f"{name}: ")]
        if len(found) != 1:
            raise ValueError(f"the draft has {len(found)} lines {name!r}")
        return self.edited(lambda lines: [f"{name}: {value}" if x in found else x for x in lines])

    def with_context(self, *pairs: str) -> Draft:
        """Return the draft with exactly these context lines."""
        return self._with_group(("context",), 7, [f"context: {pair}" for pair in pairs])

    def with_recipients(self, *groups: Sequence[str]) -> Draft:
        """Return the draft with exactly these groups of recipient lines."""
        start = 7 + sum(line.startswith("context: ") for line in self.lines)
        names = ("recipient", "algorithm", "wrapped-dek")
        return self._with_group(names, start, [line for group in groups for line in group])

    def to_bytes(self) -> bytes:
        """Return the file, sealed as S1 to S5 say."""
        head = [*self.lines, f"commitment: {self.commitment or encoded(self._key(b'COMMITKEY'))}"]
        if self.lineage is not None:
            head.append(f"lineage: {self.lineage}")
        mac_key = self._key(b"ksm-storage header mac v1")
        covered = _bytes_of(head)
        mac = self.header_mac or encoded(hmac.new(mac_key, covered, hashlib.sha256).digest())
        body = in_lines(encoded(self.sealed_bytes())) if self.body is None else self.body
        return covered + f"header-mac: {mac}\n\n".encode("latin-1") + body.encode("latin-1")

    def sealed_bytes(
        self,
        *,
        nonce: bytes = bytes(12),
        info: bytes = b"\x04\x78DERIVEKEY",
        core: Sequence[str] | None = None,
    ) -> bytes:
        """Return the sealed payload: as S4 and S5 say, or with one thing wrong."""
        aad = _bytes_of(self._core() if core is None else core)
        return AESGCM(self._key(info)).encrypt(nonce, self.payload, aad)

    def of_generation(self, number: int, *secrets: bytes) -> Draft:
        """Return the draft in a generation, with the lineage that S7 says."""
        draft = self.with_line("generation", str(number))
        key = HKDF(SHA512(), 32, ENVELOPE_ID, b"ksm-storage lineage v1").derive(self.dek)
        aad = _bytes_of([MAGIC, self.lines[2], f"generation: {number}"])
        sealed = AESGCM(key).encrypt(bytes(12), b"".join(secrets), aad)
        return replace(draft, lineage=encoded(sealed))

    def with_sealed(self, sealed: bytes) -> Draft:
        """Return the draft with another sealed payload, in the right form."""
        return replace(self, body=in_lines(encoded(sealed)))

    def _core(self) -> list[str]:
        names = ("suite: ", "envelope-id: ", "generation: ", "context: ", "message-id: ")
        return [self.lines[0]] + [line for line in self.lines[1:] if line.startswith(names)]

    def _key(self, info: bytes) -> bytes:
        return HKDF(SHA512(), 32, self.message_id, info).derive(self.dek)

    def _with_group(self, names: Sequence[str], start: int, group: list[str]) -> Draft:
        rest = [line for line in self.lines if line.partition(": ")[0] not in names]
        return replace(self, lines=(*rest[:start], *group, *rest[start:]))


def in_lines(text: str, width: int = 64) -> str:
    """Break a text into lines, the last one with a line feed too."""
    return "".join(f"{text[at : at + width]}\n" for at in range(0, len(text), width))


def wrap_aad(lines: Sequence[str]) -> bytes:
    """Return the serialised AAD under which the DEK of such a header is wrapped (W1, W2)."""
    pairs = {
        "ksm-storage.format": "envelope v1",
        "ksm-storage.purpose": "wrap-dek",
        "ksm-storage.envelope-id": lines[2].partition(": ")[2],
        "ksm-storage.generation": lines[6].partition(": ")[2],
    }
    for line in lines:
        if line.startswith("context: "):
            name, _, value = line.removeprefix("context: ").partition("=")
            pairs[name] = value
    texts = [text.encode() for pair in sorted(pairs.items()) for text in pair]
    counted = b"".join(struct.pack(">H", len(text)) + text for text in texts)
    return struct.pack(">H", len(pairs)) + counted


def _bytes_of(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("latin-1")
