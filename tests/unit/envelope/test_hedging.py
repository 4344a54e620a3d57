"""Recipients against the clock: who is asked when, whose answer counts, who is reported."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator

import pytest

from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.envelope.hedging import OpenTimeouts, attempt_in_time
from ksm_storage.errors import DecryptionError, KsmStorageError, SettingsError, UnavailableError

KEYS = [KeyUri("cloud", name) for name in ("a", "b", "c")]


class Services:
    """Answer, refuse or be silent for each key, and note who is asked."""

    def __init__(self, *answers: str | KsmStorageError | None) -> None:
        self._answers = answers
        self.asked: list[int] = []
        self.go_on = threading.Event()

    def attempt(self, place: int) -> str:
        self.asked.append(place)
        answer = self._answers[place]
        if answer is None:
            self.go_on.wait(30)
            return "late"
        if isinstance(answer, str):
            return answer
        raise answer


@pytest.fixture
def waiting() -> Iterator[list[Services]]:
    """Let what still waits go on when the test is over."""
    made: list[Services] = []
    yield made
    for services in made:
        services.go_on.set()


def tried(
    waiting: list[Services], services: Services, timeout: float | None, hedge: float | None = None
) -> tuple[str | None, list[KsmStorageError]]:
    waiting.append(services)
    return attempt_in_time(KEYS, services.attempt, OpenTimeouts(timeout, hedge))


@pytest.mark.parametrize(("timeout", "hedge"), [(0.5, None), (None, 0), (None, 0.5), (0.5, 0.1)])
def test_a_pace_is_what_was_asked_for(timeout: float | None, hedge: float | None) -> None:
    assert OpenTimeouts.of(timeout, hedge) == OpenTimeouts(timeout, hedge)


def test_no_time_is_no_pace() -> None:
    assert OpenTimeouts.of(None, None) is None


@pytest.mark.parametrize("number", [0, -1, math.nan, math.inf])
def test_a_timeout_is_a_time(number: float) -> None:
    with pytest.raises(SettingsError, match=f"^the timeout must be .*, not {number!r}"):
        OpenTimeouts.of(number, None)


@pytest.mark.parametrize("number", [-1, math.nan, math.inf])
def test_a_hedge_is_a_time(number: float) -> None:
    with pytest.raises(SettingsError, match=f"^the hedge must be .*, not {number!r}"):
        OpenTimeouts.of(None, number)


def test_one_that_refuses_leaves_its_time_to_the_others(waiting: list[Services]) -> None:
    refusal = DecryptionError("no")
    services = Services(refusal, None, "c")

    result, causes = tried(waiting, services, 1.2)

    assert result == "c"
    assert causes[0] is refusal
    share = re.fullmatch(r"the key service did not answer within (.*) seconds", causes[1].message)
    assert share is not None
    # What was left of 1.2 seconds, by two; a third of it if the first had kept its share.
    assert 0.4 < float(share[1]) <= 0.6


def test_all_are_asked_though_each_is_silent(waiting: list[Services]) -> None:
    services = Services(None, None, None)

    result, causes = tried(waiting, services, 0.3)

    assert result is None
    assert services.asked == [0, 1, 2]
    assert [cause.key for cause in causes] == ["cloud://a", "cloud://b", "cloud://c"]
    assert {type(cause) for cause in causes} == {UnavailableError}


def test_one_that_is_silent_is_named_with_what_to_do(waiting: list[Services]) -> None:
    _, causes = tried(waiting, Services(None, None, None), 0.3)

    told = [cause.as_dict() for cause in causes]
    assert {entry["hint"] for entry in told} == {
        "retry, or allow more time with --timeout or timeout="
    }
    assert {(entry["provider"], entry["operation"]) for entry in told} == {("cloud", "unwrap")}


def test_a_late_answer_of_one_that_was_given_up_does_not_count(waiting: list[Services]) -> None:
    first_ended = threading.Event()

    def attempt(place: int) -> str:
        if place == 0:
            second_asked.wait(30)
            first_ended.set()
            return "late"
        second_asked.set()
        first_ended.wait(30)
        return "b" if place == 1 else "c"

    second_asked = threading.Event()
    result, causes = attempt_in_time(KEYS, attempt, OpenTimeouts(0.6, None))

    assert result in ("b", "c")
    assert causes[0].key == "cloud://a"


def test_with_a_hedge_the_first_may_still_win(waiting: list[Services]) -> None:
    services = Services(None, None, None)
    waiting.append(services)

    def attempt(place: int) -> str:
        if place == 1:
            services.go_on.set()
            threading.Event().wait(5)
        return services.attempt(place)

    result, causes = attempt_in_time(KEYS, attempt, OpenTimeouts(None, 0.05))

    assert (result, causes) == ("late", [])


def test_before_the_hedge_is_over_the_next_is_not_asked() -> None:
    next_asked = threading.Event()
    asked: list[int] = []

    def attempt(place: int) -> str:
        asked.append(place)
        if place:
            next_asked.set()
        next_asked.wait(0.2)
        return "a"

    assert attempt_in_time(KEYS, attempt, OpenTimeouts(None, 30)) == ("a", [])
    assert asked == [0]


def test_a_thread_is_named_and_keeps_no_process_from_ending() -> None:
    asking: list[threading.Thread] = []

    def attempt(place: int) -> str:
        asking.append(threading.current_thread())
        return "a"

    # A thread is what the one is that starts it, unless it is told otherwise.
    caller = threading.Thread(
        target=attempt_in_time, args=(KEYS, attempt, OpenTimeouts(None, 30)), daemon=False
    )
    caller.start()
    caller.join()

    assert [(thread.name, thread.daemon) for thread in asking] == [("ksm-storage-unwrap", True)]


def test_a_hedge_longer_than_the_time_leaves_none_unasked(waiting: list[Services]) -> None:
    services = Services(None, None, "c")

    result, _ = tried(waiting, services, 0.6, hedge=100)

    assert result == "c"


def test_what_is_no_error_of_ours_is_not_hidden() -> None:
    def attempt(place: int) -> str:
        raise RuntimeError("a mistake")

    with pytest.raises(RuntimeError, match="a mistake"):
        attempt_in_time(KEYS, attempt, OpenTimeouts(5, None))


@pytest.mark.parametrize("given", [(1e300, None), (None, 1e300), (10**400, None)])
def test_a_time_longer_than_any_wait_is_no_error(
    waiting: list[Services], given: tuple[float | None, float | None]
) -> None:
    pace = OpenTimeouts.of(*given)

    assert pace is not None
    assert tried(waiting, Services("a"), *pace) == ("a", [])
