"""What of a foreign exception stays on the error that is raised in its place."""

from __future__ import annotations

import configparser
import json
import ssl
import subprocess
import sys
from collections.abc import Callable

import pytest

from ksm_storage.errors import DecryptionError, KsmStorageError, ProviderError, UnavailableError
from ksm_storage.plugin import HiddenError, chain_of, raise_from, translating

SECRET = "hunter2-hunter2"


class SdkError(Exception):
    """Stands for an exception that an SDK raises on purpose."""


class SdkDecodeError(SdkError):
    """Stands for one that quotes what it could not decode."""


def translated(exc: Exception) -> KsmStorageError:
    return UnavailableError(f"the service failed ({type(exc).__name__})")


def raised_for(fail: Callable[[], object], **options: tuple[type[BaseException], ...]) -> Exception:
    """Return what a translated block raises when ``fail`` fails in it."""
    with pytest.raises(UnavailableError) as caught, translating(translated, **options):
        fail()
    return caught.value


def failing(exc: Exception) -> Callable[[], object]:
    def fail() -> object:
        raise exc

    return fail


def shown(exc: BaseException) -> str:
    """Return all that a reader of the exception and of its chain may see."""
    return "".join(f"{link!r} {link} {vars(link)!r}" for link in chain_of(exc))


def parse_json() -> object:
    return json.loads(f"{{{SECRET}")


def decode() -> object:
    return f"\xff{SECRET}".encode("latin-1").decode("ascii")


def read_configuration() -> object:
    configparser.ConfigParser().read_string(SECRET)
    return None


def look_up() -> object:
    return {"": ""}[SECRET]


def run_helper() -> object:
    return subprocess.run([sys.executable, "-c", f"raise SystemExit('{SECRET}')"], check=True)


def convert() -> object:
    return int(SECRET)


QUOTING = [parse_json, decode, read_configuration, look_up, run_helper, convert]


@pytest.mark.parametrize("fail", QUOTING)
def test_what_may_quote_a_reply_or_a_file_is_hidden(fail: Callable[[], object]) -> None:
    error = raised_for(fail)

    assert type(error.__cause__) is HiddenError
    assert error.__context__ is None
    assert SECRET not in shown(error)


@pytest.mark.parametrize("fail", QUOTING)
def test_what_wraps_something_that_may_quote_is_hidden(fail: Callable[[], object]) -> None:
    def wrap() -> None:
        try:
            fail()
        except Exception as exc:
            raise SdkError("cannot read the reply") from exc

    error = raised_for(wrap)

    assert SECRET not in shown(error)
    assert "SdkError" in str(error.__cause__), "the classes still say what happened"


def test_a_harmless_exception_stays_as_the_cause() -> None:
    exc = SdkError("request r-1 failed with Throttled")

    error = raised_for(failing(exc))

    assert error.__cause__ is exc
    assert error.__context__ is None


def test_a_certificate_that_does_not_hold_stays_as_the_cause() -> None:
    exc = ssl.SSLCertVerificationError("certificate verify failed")

    assert raised_for(failing(exc)).__cause__ is exc


def test_requests_and_replies_are_taken_off_the_whole_chain() -> None:
    inner, outer = SdkError("inner"), SdkError("outer")
    vars(inner).update(response=SECRET)
    vars(outer).update(request=SECRET, model=SECRET, body=SECRET)
    outer.__cause__ = inner

    error = raised_for(failing(outer))

    assert error.__cause__ is outer
    assert SECRET not in shown(error)


def test_an_exception_whose_reply_cannot_be_taken_off_is_hidden() -> None:
    class FrozenError(SdkError):
        @property
        def response(self) -> str:
            return SECRET

    error = raised_for(failing(FrozenError()))

    assert type(error.__cause__) is HiddenError


def test_a_class_that_the_plugin_names_as_quoting_is_hidden() -> None:
    exc = SdkDecodeError(SECRET)

    assert raised_for(failing(exc)).__cause__ is exc, "nobody could know"
    assert type(raised_for(failing(exc), quoting=(SdkDecodeError,)).__cause__) is HiddenError


def test_an_error_of_ours_passes_with_its_cause_cleaned() -> None:
    def refuse() -> None:
        try:
            parse_json()
        except ValueError as exc:
            raise DecryptionError("not a wrapped data key") from exc

    with pytest.raises(DecryptionError) as caught, translating(translated):
        refuse()

    assert type(caught.value.__cause__) is HiddenError
    assert caught.value.__context__ is None


def test_an_error_of_ours_under_another_stays_its_cause() -> None:
    inner, outer = ProviderError("inner"), ProviderError("outer")
    outer.__cause__ = inner

    with pytest.raises(ProviderError) as caught, translating(translated):
        raise outer

    assert caught.value.__cause__ is inner


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_the_wish_to_end_the_program_passes(kind: type[BaseException]) -> None:
    with pytest.raises(kind), translating(translated):
        raise kind


def test_raised_inside_an_except_block_nothing_of_that_block_stays() -> None:
    def handle() -> None:
        try:
            parse_json()
        except ValueError as exc:
            raise_from(UnavailableError("it failed"), exc)

    with pytest.raises(UnavailableError) as caught:
        handle()

    assert caught.value.__context__ is None
    assert SECRET not in shown(caught.value)
