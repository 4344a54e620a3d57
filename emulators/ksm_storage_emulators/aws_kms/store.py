"""All keys and aliases of the account, found by any name that the service accepts."""

import re
import threading
from dataclasses import dataclass

from ksm_storage_emulators.aws_kms.errors import AwsError
from ksm_storage_emulators.aws_kms.identities import ACCOUNT
from ksm_storage_emulators.aws_kms.keys import (
    DAY,
    PENDING_DELETION,
    PENDING_REPLICA_DELETION,
    KmsKey,
)
from ksm_storage_emulators.clock import MovableClock

_ARN = re.compile(r"arn:aws:kms:([a-z0-9-]+):(\d{12}):(key|alias)/(.+)")
_KEY_ID = re.compile(r"(mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})")


@dataclass(slots=True)
class Alias:
    """A second name for a key, in one region. `name` begins with `alias/`."""

    name: str
    region: str
    key_id: str
    created_at: float
    updated_at: float

    @property
    def arn(self) -> str:
        """The alias ARN."""
        return alias_arn(self.region, self.name)


class KeyStore:
    """Keys by region and id, aliases by region and name. Hold `lock` around every operation."""

    def __init__(self, clock: MovableClock) -> None:
        """Start empty."""
        self.lock = threading.RLock()
        self._clock = clock
        self._keys: dict[tuple[str, str], KmsKey] = {}
        self._aliases: dict[tuple[str, str], Alias] = {}

    def add(self, key: KmsKey) -> None:
        """Keep a key."""
        self._keys[key.region, key.key_id] = key

    def find(self, region: str, key_id: str) -> KmsKey | None:
        """Find a key by its plain id."""
        return self._keys.get((region, key_id))

    def aliases(self, region: str) -> list[Alias]:
        """Return the aliases of a region, sorted by name."""
        return sorted((a for a in self._aliases.values() if a.region == region), key=_alias_name)

    def alias(self, region: str, name: str) -> Alias | None:
        """Find an alias by its name."""
        return self._aliases.get((region, name))

    def put_alias(self, alias: Alias) -> None:
        """Keep an alias."""
        self._aliases[alias.region, alias.name] = alias

    def remove_alias(self, alias: Alias) -> None:
        """Forget an alias."""
        del self._aliases[alias.region, alias.name]

    def arn_of(self, region: str, name: str) -> str:
        """Return the ARN of the key that a key id, key ARN, alias or alias ARN means.

        The key need not exist: the caller is authorised before anyone looks.

        Raises:
            AwsError: NotFoundException for a name of another region, of no possible form, or an
                alias that does not exist.
        """
        match = _ARN.fullmatch(name)
        if match is None:
            return self._arn_of_plain_name(region, name)
        if match[1] != region:
            raise AwsError("NotFoundException", f"Invalid arn {match[1]}")
        if match[2] != ACCOUNT or match[3] == "key":
            return name
        return self._arn_of_plain_name(region, f"alias/{match[4]}")

    def by_arn(self, arn: str) -> KmsKey:
        """Return the key of an ARN.

        Raises:
            AwsError: NotFoundException.
        """
        region, key_id = arn.split(":")[3], arn.partition("/")[2]
        key = self._keys.get((region, key_id))
        if key is None:
            raise AwsError("NotFoundException", f"Key '{arn}' does not exist")
        return key

    def settle(self) -> None:
        """Let happen what is due by now: automatic rotations, and deletions that are final."""
        now = self._clock.now()
        for key in list(self._keys.values()):
            key.lineage.rotate_if_due(now)
            if key.deletion_at is not None and key.deletion_at <= now:
                self._delete(key)
        for key in self._keys.values():
            if key.state == PENDING_REPLICA_DELETION and key.lineage.regions == [key.region]:
                key.state = PENDING_DELETION
                key.deletion_at = now + (key.deletion_window_days or 30) * DAY

    def _delete(self, key: KmsKey) -> None:
        del self._keys[key.region, key.key_id]
        key.lineage.regions.remove(key.region)
        for alias in self.aliases(key.region):
            if alias.key_id == key.key_id:
                self.remove_alias(alias)

    def _arn_of_plain_name(self, region: str, name: str) -> str:
        if name.startswith("alias/"):
            alias = self._aliases.get((region, name))
            if alias is None:
                text = f"Alias {alias_arn(region, name)} is not found."
                raise AwsError("NotFoundException", text)
            return key_arn(region, alias.key_id)
        if _KEY_ID.fullmatch(name) is None:
            raise AwsError("NotFoundException", f"Invalid keyId '{name}'")
        return key_arn(region, name)


def key_arn(region: str, key_id: str) -> str:
    """Return the ARN of a key of this account."""
    return f"arn:aws:kms:{region}:{ACCOUNT}:key/{key_id}"


def alias_arn(region: str, name: str) -> str:
    """Return the ARN of an alias, `name` including `alias/`."""
    return f"arn:aws:kms:{region}:{ACCOUNT}:{name}"


def _alias_name(alias: Alias) -> str:
    return alias.name
