"""An SDK's records are dropped in the block, the thread and the loggers named."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from logging.handlers import MemoryHandler
from uuid import uuid4

import pytest

from ksm_storage.plugin_kit.service_client import quiet_logs


@pytest.fixture
def sdk() -> str:
    # Loggers live as long as the process: each test has one that no other test has used.
    return f"sdk{uuid4().hex}"


@pytest.fixture
def seen(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(1):
        yield caplog


def test_records_of_a_named_logger_are_dropped_inside_the_block(
    sdk: str, seen: pytest.LogCaptureFixture
) -> None:
    with quiet_logs(sdk):
        logging.getLogger(sdk).info("key")

    assert seen.messages == []


def test_records_of_its_children_are_dropped(sdk: str, seen: pytest.LogCaptureFixture) -> None:
    child = logging.getLogger(f"{sdk}.parsers.json")

    with quiet_logs(sdk):
        child.debug("key")

    assert seen.messages == []


def test_records_of_a_logger_born_inside_the_block_are_dropped(
    sdk: str, seen: pytest.LogCaptureFixture
) -> None:
    with quiet_logs(sdk):
        logging.getLogger(f"{sdk}.imported.late").debug("key")

    assert seen.messages == []


def test_records_of_a_child_with_a_handler_of_its_own_are_dropped(sdk: str) -> None:
    child, taken = logging.getLogger(f"{sdk}.wire"), MemoryHandler(capacity=10)
    child.addHandler(taken)
    child.propagate = False
    child.setLevel(logging.DEBUG)

    with quiet_logs(sdk):
        child.debug("key")
    child.debug("later")

    assert [record.getMessage() for record in taken.buffer] == ["later"]


@pytest.mark.parametrize("level", [logging.WARNING, logging.ERROR])
def test_warnings_are_dropped_since_their_tracebacks_quote_files(
    sdk: str, seen: pytest.LogCaptureFixture, level: int
) -> None:
    with quiet_logs(sdk):
        logging.getLogger(sdk).log(level, "retrying")

    assert seen.messages == []


def test_records_pass_again_after_the_block(sdk: str, seen: pytest.LogCaptureFixture) -> None:
    with quiet_logs(sdk):
        pass

    logging.getLogger(sdk).debug("the application's own use")

    assert seen.messages == ["the application's own use"]


def test_records_pass_again_after_an_exception(sdk: str, seen: pytest.LogCaptureFixture) -> None:
    with pytest.raises(OSError, match="refused"), quiet_logs(sdk):
        raise OSError("refused")

    logging.getLogger(sdk).debug("later")

    assert seen.messages == ["later"]


def test_other_loggers_speak(sdk: str, seen: pytest.LogCaptureFixture) -> None:
    with quiet_logs(sdk):
        logging.getLogger(f"{sdk}x").debug("another name")
        logging.getLogger("application").debug("the application")

    assert seen.messages == ["another name", "the application"]


def test_another_thread_speaks(sdk: str, seen: pytest.LogCaptureFixture) -> None:
    other = threading.Thread(target=logging.getLogger(sdk).debug, args=("another thread",))

    with quiet_logs(sdk):
        other.start()
        other.join()

    assert seen.messages == ["another thread"]


def test_blocks_nest(sdk: str, seen: pytest.LogCaptureFixture) -> None:
    with quiet_logs(sdk):
        with quiet_logs(f"{sdk}-transport"):
            logging.getLogger(sdk).debug("key")
            logging.getLogger(f"{sdk}-transport").debug("key")
        logging.getLogger(sdk).debug("key")

    assert seen.messages == []
