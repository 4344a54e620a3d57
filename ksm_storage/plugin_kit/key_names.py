"""The names of keys that have versions: parsing, covering, and the newest version's name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ..errors import SettingsError
from ..named_tuple import NamedTuple


class KeyName(NamedTuple):
    """Name one key, or one version of it.

    Attributes:
        key: The key, without a version.
        version: The version, or None where any will do.
        separator: What stands between the two.
        parts: The named parts of the key: its vault, its region.
    """

    key: str
    version: str | None
    separator: str
    parts: Mapping[str, str]

    @property
    def newest(self) -> KeyName:
        """The name of the key without a version, which stands for the newest."""
        return self._replace(version=None)

    def with_version(self, version: str) -> KeyName:
        """Return the name of a version of the key."""
        return self._replace(version=version)

    def __str__(self) -> str:
        return self.key if self.version is None else f"{self.key}{self.separator}{self.version}"


class KeyNames:
    """Read the names of one service's keys.

    Args:
        pattern: Matches a whole name. Its group ``key`` is the key, its group ``version`` the
            version, if there is one; further named groups become ``parts``.
        noun: What it names, as it stands in a message: ``Cloud KMS key``.
        hint: How to write it.
        separator: What stands between key and version.
        normalise: Returns a match's key as the service compares it.
    """

    def __init__(
        self,
        pattern: str,
        *,
        noun: str,
        hint: str,
        separator: str = "/",
        normalise: Callable[[re.Match[str]], str] | None = None,
        ignore_case: bool = False,
    ) -> None:
        self._pattern = re.compile(pattern, re.IGNORECASE if ignore_case else 0)
        self._noun = noun
        self._hint = hint
        self._separator = separator
        self._normalise = normalise
        self._ignore_case = ignore_case

    def parse(self, text: str) -> KeyName:
        """Read the name of a key or of a version.

        Raises:
            SettingsError: The text has no such form.
        """
        name = self.find(text)
        if name is None:
            raise SettingsError(f"not a valid {self._noun}: {text!r}", hint=self._hint)
        return name

    def find(self, text: str) -> KeyName | None:
        """Return the name, or None for a text of another form."""
        match = self._pattern.fullmatch(text)
        if match is None:
            return None
        parts = match.groupdict()
        key, version = parts.pop("key"), parts.pop("version", None)
        if self._normalise is not None:
            key = self._normalise(match)
        if self._ignore_case and version is not None:
            version = version.lower()
        return KeyName(key, version, self._separator, parts)

    def covers(self, trusted: str, key_id: str, *, versions_only: bool = True) -> bool:
        """Tell whether a trusted name may stand for a recorded one; a malformed one never does.

        A name without a version stands for each version.

        Args:
            versions_only: Whether a recorded name must have a version.
        """
        name, key = self.find(trusted), self.find(key_id)
        if name is None or key is None or not self._is_same(name.key, key.key):
            return False
        if key.version is None and versions_only:
            return False
        return name.version in (None, key.version)

    def newest_version(self, key_id: str) -> str | None:
        """Return the name of the key of a version; or None."""
        name = self.find(key_id)
        return None if name is None or name.version is None else name.key

    def _is_same(self, one: str, other: str) -> bool:
        return one.lower() == other.lower() if self._ignore_case else one == other
