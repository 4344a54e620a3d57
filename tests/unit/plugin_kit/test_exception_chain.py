"""What a plugin looks at to translate a failure is of that failure, and of nothing before it."""

from __future__ import annotations

from ksm_storage.plugin_kit.exception_chain import call_of_a_plugin, chain_of


class ClientError(Exception):
    """Stand for what a key service's client raises."""


def failed() -> ClientError:
    """Return an exception raised while another one was handled, as clients do."""
    try:
        try:
            raise ConnectionResetError
        except ConnectionResetError as exc:
            raise ClientError("lost", exc) from None
    except ClientError as exc:
        return exc


def kinds(exc: BaseException) -> list[type[BaseException]]:
    return [type(link) for link in chain_of(exc)]


def test_what_the_client_wraps_is_of_the_chain_and_each_comes_once() -> None:
    assert kinds(failed()) == [ClientError, ConnectionResetError]


def test_what_the_caller_is_handling_is_not_of_the_chain() -> None:
    try:
        raise FileNotFoundError
    except FileNotFoundError:
        with call_of_a_plugin():
            error = failed()
            found = kinds(error)

    assert found == [ClientError, ConnectionResetError]
    # It does hang there.
    assert FileNotFoundError in kinds(error)


def test_a_reason_an_inner_exception_and_an_error_among_named_arguments_are_of_the_chain() -> None:
    error = ClientError()
    vars(error).update(reason=OSError(), inner_exception=ValueError(), kwargs={"error": KeyError()})

    assert set(kinds(error)) == {ClientError, OSError, ValueError, KeyError}
