"""What a sequence changes: one save each, made on a storage and on a dict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from hypothesis import strategies as st

from ksm_storage.storage.encrypted_storage import EncryptedStorage


class Set(NamedTuple):
    """Set one value."""

    name: str
    value: str

    def on(self, storage: EncryptedStorage) -> dict[str, str] | None:
        """Do it, and return what the storage says it holds then."""
        return storage.set(self.name, self.value)

    def on_dict(self, model: dict[str, str]) -> None:
        """Do the same."""
        model[self.name] = self.value


class Delete(NamedTuple):
    """Remove one value, be it there or not."""

    name: str

    def on(self, storage: EncryptedStorage) -> dict[str, str] | None:
        """Do it, and return what the storage says it holds then."""
        return storage.delete(self.name)

    def on_dict(self, model: dict[str, str]) -> None:
        """Do the same."""
        model.pop(self.name, None)


class DeleteAll(NamedTuple):
    """Remove every value."""

    def on(self, storage: EncryptedStorage) -> dict[str, str] | None:
        """Do it, and return what the storage says it holds then."""
        return storage.delete_all()

    def on_dict(self, model: dict[str, str]) -> None:
        """Do the same."""
        model.clear()


@dataclass(frozen=True, slots=True)
class ReplaceAll:
    """Replace the whole configuration."""

    config: dict[str, str]

    def on(self, storage: EncryptedStorage) -> dict[str, str] | None:
        """Do it; the method returns nothing."""
        storage.save_storage(self.config)
        return None

    def on_dict(self, model: dict[str, str]) -> None:
        """Do the same."""
        model.clear()
        model.update(self.config)


Change = Set | Delete | DeleteAll | ReplaceAll

names = st.sampled_from(["hostname", "appKey", "clientId"]) | st.text(min_size=1, max_size=8)
values = st.text(max_size=20) | st.sampled_from(["x" * 700, "y" * 9000])
changes = st.one_of(
    st.builds(Set, names, values),
    st.builds(Set, names, values),
    st.builds(Delete, names),
    st.builds(DeleteAll),
    st.builds(ReplaceAll, st.dictionaries(names, values, max_size=3)),
)
