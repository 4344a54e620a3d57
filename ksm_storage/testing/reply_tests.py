"""Tests for plugins behind a scripted server: which replies of a key service are believed.

::

    class TestReplies(ReplyTests):
        foreign_deks = {"another key": unwrapped(key="keys/two")}

        @pytest.fixture
        def service(self, scripted):
            return ScriptedService(...)

Each list of :class:`ReplyTests` becomes one test for each of its entries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from ..errors import DecryptionError, KsmStorageError, ProviderError, UnavailableError
from ..keys.kek import Kek
from ..plugin import HiddenError, WrappedDek
from .subject import AAD
from .traces import holders_of

SERVICE_TEXT = "text of the service"
"""What a scripted error says; no message of ours repeats it."""


@dataclass(frozen=True, slots=True)
class ScriptedService:
    """Hold a KEK behind a server that answers what a test tells it to.

    Attributes:
        open: Opens the KEK.
        answer: Makes the server give this reply to each request.
        asked: Returns how many key operations the server has received.
        wrapped: A wrapped DEK of this KEK.
        unwrapped: The reply with which it is unwrapped.
        dek: The DEK in that reply.
    """

    open: Callable[[], Kek]
    answer: Callable[[Any], object]
    asked: Callable[[], int]
    wrapped: WrappedDek
    unwrapped: Any
    dek: bytes


class ReplyTests:
    """Give the plugin replies that no honest service sends."""

    altered_deks: ClassVar[Mapping[str, WrappedDek]] = {}
    """Wrapped DEKs that cannot be this key's, which are refused without a call."""

    foreign_wraps: ClassVar[Mapping[str, Any]] = {}
    """Replies to a wrap that name another key than the one that was asked."""

    foreign_deks: ClassVar[Mapping[str, Any]] = {}
    """Replies to an unwrap that name another key than the recorded one."""

    unreadable_wraps: ClassVar[Mapping[str, Any]] = {}
    """Replies to a wrap that are cut off, damaged or incomplete."""

    unreadable_deks: ClassVar[Mapping[str, Any]] = {}
    """Replies to an unwrap that are cut off, damaged or incomplete."""

    refusals: ClassVar[Mapping[str, tuple[Any, type[KsmStorageError]]]] = {}
    """Errors of the service, saying ``SERVICE_TEXT``, with the class that is documented."""

    request_id: ClassVar[str | None] = None
    """The id that the service gives each request, where it gives one."""

    @pytest.fixture
    def service(self) -> ScriptedService:
        """Return the KEK and its server. Required."""
        raise NotImplementedError("give the tests a fixture 'service'")

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make one test of each entry; pytest calls this."""
        for name in metafunc.fixturenames:
            cases = getattr(self, f"{name}s", None)
            if isinstance(cases, Mapping):
                metafunc.parametrize(name, cases.values(), ids=list(cases))

    def test_a_wrapped_dek_that_cannot_be_this_keys_is_refused_without_a_call(
        self, service: ScriptedService, altered_dek: WrappedDek
    ) -> None:
        with service.open() as kek, pytest.raises(DecryptionError):
            kek.unwrap(altered_dek, aad=AAD)

        assert service.asked() == 0

    def test_a_wrap_under_another_key_is_refused(
        self, service: ScriptedService, foreign_wrap: Any
    ) -> None:
        service.answer(foreign_wrap)

        with service.open() as kek, pytest.raises(ProviderError, match=r"instead of|another key"):
            kek.wrap(service.dek, aad=AAD)

    def test_a_dek_of_another_key_is_refused(
        self, service: ScriptedService, foreign_dek: Any
    ) -> None:
        service.answer(foreign_dek)

        with service.open() as kek, pytest.raises(DecryptionError, match=r"not with|another key"):
            kek.unwrap(service.wrapped, aad=AAD)

    def test_a_wrap_that_cannot_be_read_may_be_asked_for_again(
        self, service: ScriptedService, unreadable_wrap: Any
    ) -> None:
        service.answer(unreadable_wrap)

        with service.open() as kek, pytest.raises(UnavailableError) as caught:
            kek.wrap(service.dek, aad=AAD)

        assert not holders_of(caught.value, service.dek)

    def test_a_dek_that_cannot_be_read_may_be_asked_for_again(
        self, service: ScriptedService, unreadable_dek: Any
    ) -> None:
        service.answer(unreadable_dek)

        error = _unwrap_error(service)

        assert type(error) is UnavailableError
        # The SDK's exception may hold the body of the reply, and the DEK with it.
        assert type(error.__cause__) in (HiddenError, type(None))
        assert error.__context__ is None
        assert not holders_of(error, service.dek)

    def test_an_error_of_the_service_is_its_documented_one(
        self, service: ScriptedService, refusal: tuple[Any, type[KsmStorageError]]
    ) -> None:
        answer, kind = refusal
        service.answer(answer)

        error = _unwrap_error(service)

        assert type(error) is kind
        assert error.key is not None
        assert error.key.startswith(f"{error.provider}://")
        assert error.operation == "unwrap"
        assert error.request_id == self.request_id
        assert error.__cause__ is not None
        assert SERVICE_TEXT not in str(error.as_dict())
        assert "{" not in f"{error.message}{error.hint}", "a placeholder that nothing filled"

    def test_a_key_wrapper_works_again_after_it_was_closed(self, service: ScriptedService) -> None:
        service.answer(service.unwrapped)
        kek = service.open()
        kek.unwrap(service.wrapped, aad=AAD)
        kek.close()

        with kek:
            assert kek.unwrap(service.wrapped, aad=AAD) == service.dek


def _unwrap_error(service: ScriptedService) -> KsmStorageError:
    with service.open() as kek, pytest.raises(KsmStorageError) as caught:
        kek.unwrap(service.wrapped, aad=AAD)
    return caught.value
