"""The bytes of a wrapped data key (rule TPM1 of docs/plugins/tpm2.md), and its policy."""

from __future__ import annotations

import hashlib
import struct
from typing import NamedTuple

from .hooks import BANKS, NO_PCRS, Pcrs

_VERSION = 1
_HEAD = struct.Struct(">BBH3s32s")
_LENGTH = struct.Struct(">H")
_PIN = 1
_NO_DIGEST = bytes(32)
_POLICY_PCR, _POLICY_AUTH_VALUE = 0x17F, 0x16B  # TPM_CC


class Policy(NamedTuple):
    """Say what the TPM requires before it releases a data key.

    Attributes:
        pcrs: The PCRs that must have their values, none for any.
        pcr_digest: The digest of those values.
        needs_pin: Whether the PIN is required.
    """

    pcrs: Pcrs = NO_PCRS
    pcr_digest: bytes = _NO_DIGEST
    needs_pin: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is required but the TPM itself."""
        return not self.pcrs.numbers and not self.needs_pin

    def digest(self) -> bytes:
        """Return the digest that the TPM compares: TPM 2.0 Part 3, PolicyPCR, PolicyAuthValue."""
        if self.is_empty:
            return b""
        digest = bytes(32)
        if self.pcrs.numbers:
            selection = struct.pack(">IHB", 1, self.pcrs.bank, 3) + self.pcrs.bitmap()
            digest = _extended(digest, _POLICY_PCR, selection + self.pcr_digest)
        if self.needs_pin:
            digest = _extended(digest, _POLICY_AUTH_VALUE, b"")
        return digest

    @property
    def version(self) -> str | None:
        """What ``status`` compares: the PCRs and their values, None without PCRs."""
        return f"{self.pcrs}={self.pcr_digest.hex()[:16]}" if self.pcrs.numbers else None


class Sealed(NamedTuple):
    """Hold the two parts of a sealed object, as the TPM made them, and its policy."""

    policy: Policy
    public: bytes
    private: bytes

    def __bytes__(self) -> bytes:
        pcrs = self.policy.pcrs
        flags = _PIN if self.policy.needs_pin else 0
        head = _HEAD.pack(_VERSION, flags, pcrs.bank, pcrs.bitmap(), self.policy.pcr_digest)
        parts = (_LENGTH.pack(len(part)) + part for part in (self.public, self.private))
        return head + b"".join(parts)

    @classmethod
    def parse(cls, raw: bytes) -> Sealed | None:
        """Read the bytes; return None for any other than the one valid form."""
        try:
            version, flags, bank, bitmap, digest = _HEAD.unpack_from(raw)
            (length,) = _LENGTH.unpack_from(raw, _HEAD.size)
            middle = _HEAD.size + _LENGTH.size + length
            (second,) = _LENGTH.unpack_from(raw, middle)
        except struct.error:
            return None
        pcrs = Pcrs.from_bitmap(bank, bitmap)
        public = raw[_HEAD.size + _LENGTH.size : middle]
        private = raw[middle + _LENGTH.size :]
        found = cls(Policy(pcrs, digest, bool(flags & _PIN)), public, private)
        known = bank in BANKS.values() if pcrs.numbers else bank == 0 and digest == _NO_DIGEST
        if version != _VERSION or not known or len(private) != second or bytes(found) != raw:
            return None
        return found


def _extended(digest: bytes, command: int, rest: bytes) -> bytes:
    return hashlib.sha256(digest + command.to_bytes(4, "big") + rest).digest()
