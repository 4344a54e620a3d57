"""What a key wrapper says beyond the contract is checked before anybody prints it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from ksm_storage import plugin
from ksm_storage.contract.abilities import KeyDescription, KeyState, PermissionProbe
from ksm_storage.contract.key_wrapper import Aad, KeyUri, WrappedDek
from ksm_storage.errors import KeyNotFoundError, PluginContractError
from ksm_storage.keys.kek import Kek
from ksm_storage.keys.kek_abilities import (
    describe_access,
    describe_key,
    probe_permissions,
    wrapping_version,
)
from ksm_storage.testing.memory_kek import MemoryKek

AAD = Aad({})
WRAPPED = WrappedDek("one", "ALG", b"x")
DESCRIBED = KeyDescription("one", "enabled", current_version="7")
PROBED = PermissionProbe("memory:Decrypt", "open", granted=True)


class AbleKek(MemoryKek):
    """Answer with what the test planted."""

    def __init__(self, answer: object) -> None:
        super().__init__("one")
        self.answer: Any = answer

    def describe_key(self) -> KeyDescription:
        return self._answer()  # type: ignore[no-any-return]  # whatever was planted

    def wrapping_version(self, wrapped: WrappedDek, *, aad: Aad) -> str | None:
        assert (wrapped, aad) == (WRAPPED, AAD)
        return self._answer()  # type: ignore[no-any-return]  # whatever was planted

    def describe_access(self) -> Mapping[str, str]:
        return self._answer()  # type: ignore[no-any-return]  # whatever was planted

    def probe_permissions(self) -> Sequence[PermissionProbe]:
        return self._answer()  # type: ignore[no-any-return]  # whatever was planted

    def _answer(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


ASKED: Mapping[str, Callable[[Kek], object]] = {
    "describe_key": describe_key,
    "wrapping_version": lambda kek: wrapping_version(kek, WRAPPED, aad=AAD),
    "describe_access": describe_access,
    "probe_permissions": probe_permissions,
}


def kek(answer: object) -> Kek:
    return Kek(KeyUri("memory", "one"), AbleKek(answer))


@pytest.mark.parametrize(
    ("ability", "answer"),
    [
        ("describe_key", DESCRIBED),
        ("wrapping_version", "7"),
        ("wrapping_version", None),
        ("describe_access", {"identity": "mallory"}),
        ("probe_permissions", [PROBED]),
    ],
)
def test_a_sound_answer_passes(ability: str, answer: object) -> None:
    assert ASKED[ability](kek(answer)) == answer


@pytest.mark.parametrize("ability", ASKED)
def test_a_key_wrapper_without_the_ability_answers_none(ability: str) -> None:
    assert ASKED[ability](Kek(KeyUri("memory", "one"), MemoryKek("one"))) is None


@pytest.mark.parametrize(
    ("ability", "answer"),
    [
        ("describe_key", None),
        ("describe_key", replace(DESCRIBED, key_id="two words")),
        ("describe_key", replace(DESCRIBED, state="fine")),  # type: ignore[arg-type]  # the point
        ("describe_key", replace(DESCRIBED, deletion=datetime(2030, 1, 1))),  # noqa: DTZ001
        ("describe_key", replace(DESCRIBED, public=1)),  # type: ignore[arg-type]  # the point
        ("describe_key", replace(DESCRIBED, state_name="\x1b[2J")),
        ("describe_key", replace(DESCRIBED, rotation="")),
        ("wrapping_version", 7),
        ("wrapping_version", "\x1b[2J"),
        ("describe_access", ["identity"]),
        ("describe_access", {"identity": "\x1b[2J"}),
        ("describe_access", {"identity": "x" * 10_000}),
        ("probe_permissions", PROBED),
        ("probe_permissions", ["memory:Decrypt"]),
        ("probe_permissions", [replace(PROBED, need="win")]),  # type: ignore[arg-type]  # the point
        ("probe_permissions", [replace(PROBED, granted="yes")]),  # type: ignore[arg-type]  # dito
        ("probe_permissions", [replace(PROBED, grant="\x1b]0;x\x07")]),
        *((ability, RuntimeError("secret")) for ability in ASKED),
    ],
)
def test_any_other_answer_is_the_plugins_fault(ability: str, answer: object) -> None:
    with pytest.raises(PluginContractError) as caught:
        ASKED[ability](kek(answer))

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("ability", ASKED)
def test_a_documented_error_names_the_key(ability: str) -> None:
    with pytest.raises(KeyNotFoundError) as caught:
        ASKED[ability](kek(KeyNotFoundError("no such key")))

    assert (caught.value.provider, caught.value.key) == ("memory", "memory://one")


@pytest.mark.parametrize(
    "name", ["DescribesKey", "KeyDescription", "PermissionProbe", "ProbesPermissions"]
)
def test_a_plugin_author_finds_the_abilities_with_the_rest(name: str) -> None:
    assert getattr(plugin, name).__name__ == name
    assert name in plugin.__all__


@pytest.mark.parametrize(
    ("state", "word", "shown"),
    [
        ("enabled", None, "enabled"),
        ("enabled", "ENABLED", "enabled"),
        ("enabled", "expired", "enabled (expired)"),
        ("unusable", "derived", "unusable (derived)"),
        ("disabled", "DISABLED", "disabled"),
    ],
)
def test_a_state_is_shown_with_the_word_that_says_more(
    state: KeyState, word: str | None, shown: str
) -> None:
    assert KeyDescription("key", state, word).shown_state == shown
