"""Errors, faults and log records of a copy of the process arrive as if there were none."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest

from ksm_storage.batch.provider_queue import FileResult
from ksm_storage.batch.runner import Runner
from ksm_storage.errors import (
    DecryptionError,
    KsmStorageError,
    ProviderError,
    StorageError,
    ThrottledError,
)
from tests.unit.batch.copies import forked, needs_two_cores

pytestmark = needs_two_cores


def error() -> KsmStorageError:
    cause = DecryptionError("wrong", hint="look", key="key-file:///k", operation="unwrap")
    found = ProviderError("none", hint="do", provider="p", permission="x:Y", request_id="r")
    found.causes = (cause,)
    found.path = "/path"
    return found


def test_an_error_comes_back_whole() -> None:
    def work(_path: str) -> FileResult:
        raise error()

    (found,) = forked(work).run(["a"])

    assert type(found.error) is ProviderError
    assert found.error.as_dict() == error().as_dict()
    assert found.error.__notes__ == error().__notes__
    assert type(found.error.causes[0]) is DecryptionError


def test_an_error_of_a_class_that_cannot_be_sent_comes_as_the_documented_one() -> None:
    class PrivateError(ThrottledError):
        def __init__(self, one: int, two: int) -> None:
            names = {"key": "k", "provider": "p", "operation": "o", "permission": "x:Y"}
            super().__init__(f"{one} {two}", hint="wait", request_id="r", **names)
            self.path, self.causes = "/path", (DecryptionError("wrong", key="key-file:///k"),)

    def work(_path: str) -> FileResult:
        raise StorageError("outer") if _path == "plain" else PrivateError(1, 2)

    runner = Runner(work, service_of=lambda _: "local", limit=2, forked={"local"})
    runner._backoff = runner._backoff._replace(tries=1)
    plain, private = runner.run(["plain", "private"])

    assert type(plain.error) is StorageError
    assert type(private.error) is ThrottledError
    assert private.error.as_dict() == {**PrivateError(1, 2).as_dict(), "error": "ThrottledError"}


def test_a_fault_of_ours_is_raised_here() -> None:
    def work(_path: str) -> FileResult:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        list(forked(work).run(["a", "b"]))

    # A traceback, where one is asked for, shows where it was.
    assert "raise ZeroDivisionError" in caught.value.__notes__[0]


class TwoPartsError(StorageError):
    """A class that pickle can write and cannot read."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} {two}", hint="wait")


class OtherTwoPartsError(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} {two}")


def test_an_error_that_can_be_sent_and_not_read_comes_as_the_documented_one() -> None:
    def work(_path: str) -> FileResult:
        raise TwoPartsError(1, 2)

    (found,) = forked(work).run(["a"])

    assert type(found.error) is StorageError
    assert (found.error.message, found.error.hint) == ("1 2", "wait")


def test_a_fault_that_can_be_sent_and_not_read_is_raised_here() -> None:
    def work(_path: str) -> FileResult:
        raise OtherTwoPartsError(1, 2)

    with pytest.raises(RuntimeError, match="OtherTwoPartsError") as caught:
        list(forked(work).run(["a"]))

    assert "raise OtherTwoPartsError" in caught.value.__notes__[0]


def test_what_each_process_logs_for_itself_is_logged_once_here(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def work(path: str) -> FileResult:
        time.sleep(0.001)
        logger = logging.getLogger("ksm_storage.audit")
        logger.warning("warning: %s", "events are lost")
        logger.warning("warning: of %s", path)
        return FileResult(str(os.getpid()))

    found = list(forked(work).run(str(number) for number in range(50)))

    assert len({each.done.result for each in found if each.done}) >= 2
    texts = [record.getMessage() for record in caplog.records]
    assert texts.count("warning: events are lost") == 1
    assert sorted(texts)[1:] == sorted(f"warning: of {number}" for number in range(50))
    assert {record.name for record in caplog.records} == {"ksm_storage.audit"}


def test_an_applications_handlers_see_each_record_once(tmp_path: Path) -> None:
    def work(path: str) -> FileResult:
        logging.getLogger("ksm_storage.audit").warning("of %s", path)
        return FileResult("done")

    handlers = [logging.FileHandler(tmp_path / name) for name in ("all", "audit")]
    loggers = [logging.getLogger(name) for name in ("ksm_storage", "ksm_storage.audit")]
    for logger, handler in zip(loggers, handlers, strict=True):
        logger.addHandler(handler)
    try:
        list(forked(work).run(["a", "b"]))
    finally:
        for logger, handler in zip(loggers, handlers, strict=True):
            logger.removeHandler(handler)
            handler.close()

    for name in ("all", "audit"):
        assert sorted((tmp_path / name).read_text().splitlines()) == ["of a", "of b"]
