"""The additional authenticated data of a wrapped DEK, in the two forms that key services bind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class Aad(Mapping[str, str]):
    """Hold an immutable map of short ASCII strings, never secret.

    It is a ``Mapping[str, str]`` for the services that bind a string map (AWS KMS's
    EncryptionContext, OCI's associatedData); ``bytes(aad)`` is for those that bind bytes
    (Google Cloud KMS, PKCS#11). Both forms say exactly the same: two maps have the same bytes
    only if they are equal.
    """

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Mapping[str, str]) -> None:
        self._pairs = dict(pairs)

    def __getitem__(self, name: str) -> str:
        return self._pairs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __bytes__(self) -> bytes:
        """Serialise as the AWS Encryption SDK does its encryption context.

        A two-byte count, then the pairs sorted by the bytes of their names, each string behind
        its two-byte length, all big-endian.
        Source: AWS Encryption SDK message format, "Key-Value Pairs".
        """
        encoded = sorted((name.encode(), value.encode()) for name, value in self._pairs.items())
        parts = [len(encoded).to_bytes(2, "big")]
        for pair in encoded:
            for text in pair:
                parts += (len(text).to_bytes(2, "big"), text)
        return b"".join(parts)

    def __repr__(self) -> str:
        return f"Aad({self._pairs!r})"

    def __hash__(self) -> int:
        return hash(frozenset(self._pairs.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Aad) and self._pairs == other._pairs
