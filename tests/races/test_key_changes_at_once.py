"""Keys are added, removed and made anew while others do the same and applications save."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.envelope.codec import decode
from tests.long_form import LONG_FORM
from tests.races.starting_line import all_at_once
from tests.unit.storage.fixtures import CONFIG, names_in, new_key

ROUNDS = 60 if LONG_FORM else 8

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def third_key(second_key: str, tmp_path: Path) -> str:
    """Name one more key file."""
    return new_key(tmp_path / "keys/third.key")


def keys_of(path: Path) -> set[str]:
    """Return the keys of a file, each of which opens it."""
    keys = {str(recipient.key) for recipient in decode(path.read_bytes()).header.recipients}
    for key in keys:
        ksm_storage.open_storage(path, keys=[key])
    return keys


def test_two_rewraps_and_a_set_are_all_done(
    sealed: Path, folder: Path, key: str, second_key: str, third_key: str
) -> None:
    for turn in range(ROUNDS):
        storage = ksm_storage.open_storage(sealed)

        statuses = all_at_once(
            [
                partial(ksm_storage.rewrap, sealed, add=[second_key]),
                partial(ksm_storage.rewrap, sealed, add=[third_key]),
                partial(storage.set, "url", f"turn {turn}"),
            ]
        )

        assert statuses == [0, 0, 0]
        assert keys_of(sealed) == {key, second_key, third_key}
        assert storage.read_storage() == CONFIG | {"url": f"turn {turn}"}
        ksm_storage.rewrap(sealed, remove=[second_key, third_key])
    assert names_in(folder) == ["client-config.json"]


def test_a_rewrap_a_rekey_and_sets_of_many_are_all_done(
    sealed: Path, folder: Path, key: str, second_key: str
) -> None:
    for turn in range(ROUNDS):
        before = decode(sealed.read_bytes()).header.recipients[0]
        storage = ksm_storage.open_storage(sealed)

        statuses = all_at_once(
            [
                partial(ksm_storage.rewrap, sealed, add=[second_key]),
                partial(ksm_storage.rekey, sealed),
                *(partial(storage.set, f"{turn}/{n}", "x") for n in range(3)),
            ]
        )

        assert statuses == [0] * 5
        assert keys_of(sealed) == {key, second_key}
        assert before not in decode(sealed.read_bytes()).header.recipients
        assert {f"{turn}/{n}" for n in range(3)} <= set(storage.read_storage())
        ksm_storage.rewrap(sealed, remove=[second_key])
    assert len(ksm_storage.open_storage(sealed).read_storage()) == len(CONFIG) + 3 * ROUNDS
    assert names_in(folder) == ["client-config.json"]
