"""The sealed file that a command works on, and how it may be opened."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import StorageError
from .commands import STDIN
from .options import (
    Command,
    Settings,
    path_argument,
    profile_option,
    setting_option,
    time_options,
    trust_option,
)
from .output import printable
from .process import current_process

if TYPE_CHECKING:
    from ..envelope.model import Envelope
    from ..storage.encrypted_storage import EncryptedStorage
    from ..storage.open_policy import OpenPolicy


@dataclass(frozen=True, slots=True)
class SealedFile:
    """Hold the PATH of a file that must exist and be sealed, with the options to open it.

    Attributes:
        piped: The envelope that came on standard input, if PATH means that.
    """

    path: str
    profile: str | None
    trust: Sequence[str]
    settings: Settings
    timeout: float | None
    hedge: float | None
    piped: bytes | None = None

    def open(self) -> EncryptedStorage:
        """Open the file; the storage of an envelope from standard input cannot be changed.

        Raises:
            StorageError: It does not exist.
            EnvelopeError: It is not sealed.
        """
        from ..storage.sources import SealedText, open_storage

        if self.piped is not None:
            from ..storage.snapshot import open_snapshot

            policy = self.policy()
            snapshot = open_snapshot(self.piped, policy, profile=self.profile, signature=None)
            return SealedText(snapshot, policy)

        # With keys, open_storage would create a missing file and protect a plain one. A command
        # that names trusted keys means neither.
        header = self.envelope().header
        services = " or ".join(dict.fromkeys(each.key.provider for each in header.recipients))
        with current_process().waiting(f"{services} to open {printable(self.path)}"):
            return open_storage(
                self.path,
                keys=self.trust or None,
                settings=self.settings,
                profile=self.profile,
                timeout=self.timeout,
                hedge=self.hedge,
            )

    def envelope(self) -> Envelope:
        """Return the envelope in the file; nothing is opened."""
        from ..envelope.codec import decode
        from ..files.reading import resolved
        from ..storage.snapshot import existing_envelope

        if self.piped is not None:
            return decode(self.piped)
        return existing_envelope(resolved(self.path), self.path)

    def policy(self) -> OpenPolicy:
        """Return which keys may open the file, and how."""
        from ..storage.open_policy import OpenPolicy

        trust = OpenPolicy.from_args(self.trust or None, None, self.settings)
        return trust.with_timeout(self.timeout, self.hedge).with_cache()


def refuse_key_in_service(config: Mapping[str, str]) -> None:
    """Refuse to give a program a configuration whose private key is in a key service.

    Raises:
        SettingsError: It is; the hint names the relay.
    """
    from ..storage.encrypted_storage import DEVICE_KEY

    if config.get(DEVICE_KEY):
        from ..storage.device_key import not_in_file

        raise not_in_file(config)


def read_stdin() -> bytes:
    """Return the envelope on standard input.

    Raises:
        EnvelopeError: It is not one.
        StorageError: It is empty, or too large.
    """
    from ..envelope.codec import looks_like_envelope
    from ..files.reading import MAX_READ_BYTES
    from ..storage.plaintext_source import wrong_format

    raw = sys.stdin.buffer.read(MAX_READ_BYTES + 1)
    if len(raw) > MAX_READ_BYTES:
        raise StorageError(f"standard input is larger than {MAX_READ_BYTES} bytes")
    if not raw.strip():
        raise StorageError("standard input is empty", hint="pipe in a sealed configuration")
    if not looks_like_envelope(raw):
        raise wrong_format("-", raw)
    return raw


def sealed_file_options(command: Command) -> Command:
    """Add PATH and all options of :class:`SealedFile`, and pass them on as ``file``."""

    @functools.wraps(command)
    def gathered(
        *,
        path: str,
        profile: str | None,
        trust: tuple[str, ...],
        settings: Settings,
        timeout: float | None,
        hedge: float | None,
        **others: object,
    ) -> Any:
        piped = read_stdin() if path in STDIN else None
        file = SealedFile(path, profile, trust, settings, timeout, hedge, piped)
        return command(file=file, **others)

    result: Command = gathered
    for option in (time_options, setting_option, trust_option, profile_option, path_argument):
        result = option(result)
    return result
