"""Each KEK is asked once, only if it is trusted, and what goes wrong is part of the answer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ksm_storage.contract.abilities import KeyDescription
from ksm_storage.contract.key_wrapper import Aad, KeyUri
from ksm_storage.envelope.model import Recipient
from ksm_storage.errors import PluginNotFoundError, UnavailableError
from ksm_storage.keys.kek import KekPool
from ksm_storage.status.key_facts import KeyFacts
from ksm_storage.testing.distributions import write_distribution
from tests.unit.status import describing_plugin

AAD = Aad({})
ONE = KeyUri("describing", "one")


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = "tests.unit.status.describing_plugin"
    write_distribution(tmp_path, "describing", providers={"describing": module})
    monkeypatch.syspath_prepend(tmp_path)
    describing_plugin.asked.clear()
    describing_plugin.failing.clear()
    yield
    describing_plugin.failing.clear()


@pytest.fixture
def keks() -> Iterator[KekPool]:
    with KekPool() as pool:
        yield pool


def recipient(uri: KeyUri) -> Recipient:
    return Recipient(uri, "ALG", b"wrapped under 7")


def test_a_recipient_is_described(keks: KekPool) -> None:
    status = KeyFacts(keks).of(recipient(ONE), aad=AAD)

    assert status.key == KeyDescription("one", "enabled", current_version="8")
    assert (status.version, status.is_current, status.problem) == ("7", False, None)


def test_one_key_is_described_once_for_all_threads(keks: KekPool) -> None:
    facts = KeyFacts(keks)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: facts.of(recipient(ONE), aad=AAD), range(32)))

    assert describing_plugin.asked == ["one"]


def test_a_key_that_is_not_trusted_is_not_asked(keks: KekPool) -> None:
    facts = KeyFacts(keks, [KeyUri("describing", "two")])

    status = facts.of(recipient(ONE), aad=AAD)

    assert (status.key, status.problem, describing_plugin.asked) == (None, None, [])


def test_a_failure_is_asked_about_once_too(keks: KekPool) -> None:
    describing_plugin.failing.append(UnavailableError("out of reach"))
    facts = KeyFacts(keks)

    problems = [facts.of(recipient(ONE), aad=AAD).problem for _ in range(3)]

    assert [type(problem) for problem in problems] == [UnavailableError] * 3
    assert describing_plugin.asked == ["one"]


def test_a_missing_plugin_is_part_of_the_answer(keks: KekPool) -> None:
    status = KeyFacts(keks).of(recipient(KeyUri("nobody", "x")), aad=AAD)

    assert isinstance(status.problem, PluginNotFoundError)
    assert status.state == "unknown"
