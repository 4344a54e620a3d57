"""The client for asyncio: the methods of :class:`ksm_storage.engine.SecretsManager`, awaited."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeVar, overload

from ..errors import KsmStorageError
from ..wire import endpoints
from . import late_errors as errors
from . import writing
from .answer import SecretsManagerResponse, fetch_records, fetch_response, query
from .async_transport import AsyncHttpsTransport
from .backoff import BackoffPolicy, default_sleep
from .core import logger_at
from .device import DeviceStorage
from .dto.payload import CreateOptions, PostFunction, QueryOptions, TransactionType, UpdateOptions
from .folder import KeeperFolder
from .keeper_file import KeeperFile, KeeperFileUpload
from .notation_lookup import NotationLookup
from .record import Record
from .record_list import RecordList
from .session import Session, build_session, require_verification
from .writing import RecordContent

_T = TypeVar("_T")
_DAY_SECONDS = 86400.0
_READS = frozenset({endpoints.GET_SECRET, endpoints.GET_FOLDERS})
# Sends get_secret in the place of HTTPS.
AsyncPostFunction = Callable[..., Awaitable[Any]]


class SecretsManager:
    """Read and write the secrets that are shared with one application.

    Parameters and methods are those of :class:`ksm_storage.engine.SecretsManager`. The constructor
    reads the CA file and nothing else: the configuration is opened by the first call, in a thread.

    A cancelled read sends nothing more. A cancelled change that has sent a request is completed
    first, so that none is left half made. Identical concurrent reads share one request.

    Args:
        custom_post_function: A coroutine function that sends ``get_secret`` in the place of HTTPS.
        call_timeout_seconds: How long a whole call may take, waits for a throttling server
            included; a change that has been sent is still completed.
    """

    def __init__(
        self,
        token: str | None = None,
        hostname: str | None = None,
        verify_ssl_certs: bool = True,
        config: DeviceStorage | None = None,
        log_level: str | int | None = None,
        custom_post_function: AsyncPostFunction | PostFunction | None = None,
        proxy_url: str | None = None,
        server_public_key: str | None = None,
        server_public_key_id: str | None = None,
        *,
        ca_file: str | os.PathLike[str] | None = None,
        connect_timeout_seconds: float = 10.0,
        read_timeout_seconds: float = 60.0,
        call_timeout_seconds: float = 300.0,
        backoff: BackoffPolicy | None = None,
        offline_copy: str | os.PathLike[str] | None = None,
        offline_max_age_seconds: float = _DAY_SECONDS,
    ) -> None:
        require_verification(verify_ssl_certs)
        self.logger = logger_at(log_level)
        self.custom_post_function = custom_post_function
        self._call_timeout = call_timeout_seconds
        self._transport = AsyncHttpsTransport(
            ca_file=ca_file,
            proxy_url=proxy_url or None,
            connect_timeout_seconds=connect_timeout_seconds,
            read_timeout_seconds=read_timeout_seconds,
        )
        policy = backoff or BackoffPolicy()
        if policy.sleep is default_sleep:
            policy = replace(policy, sleep=self._transport.sleep)
        self._build = partial(
            build_session,
            token=token,
            hostname=hostname,
            config=config,
            server_public_key=server_public_key,
            server_public_key_id=server_public_key_id,
            transport=self._transport,
            proxy_url=proxy_url or None,
            backoff=policy,
            offline_copy=offline_copy,
            offline_max_age_seconds=offline_max_age_seconds,
            choose_post=self._choose_post,
            ask=self._ask,
        )
        self._session: Session | None = None
        self._is_bound = False
        self._reads = _Flights()
        self._steps = _Flights()

    def _choose_post(self, path: str) -> Callable[..., Any] | None:
        return self.custom_post_function if path == endpoints.GET_SECRET else None

    async def _ask(self, path: str, payload: Mapping[str, Any]) -> bytes:
        session = await self._opened()
        if path in _READS and "publicKey" not in payload:
            question = f"{path} {json.dumps(payload, sort_keys=True)}"
            return await self._reads.join(question, lambda: session.exchange(path, payload))
        try:
            return await session.exchange(path, payload)
        finally:
            # Whoever reads after a change must not share the answer to an older question.
            self._reads.leave_alone()

    async def _opened(self) -> Session:
        if self._session is None:
            build = lambda: self._transport.work(self._build)  # noqa: E731 - a factory
            self._session = await self._steps.join("open", build)
        return self._session

    async def bind(self) -> bool:
        """Redeem the one-time token now; return False if the device was bound before."""
        return await self._within(self._bind())

    async def _bind(self) -> bool:
        if self._is_bound:
            return False
        session = await self._opened()
        # For all callers at once: a token is redeemed by one request.
        just_bound = await self._steps.join("bind", lambda: session.finish(session.bind()))
        self._is_bound = True
        return just_bound

    async def _within(self, call: Coroutine[Any, Any, _T]) -> _T:
        try:
            async with asyncio.timeout(self._call_timeout):
                return await call
        except TimeoutError as exc:
            raise errors.ServerUnreachableError(
                f"no complete answer within {self._call_timeout:g} seconds",
                hint="check the network, or raise call_timeout_seconds",
            ) from exc

    async def _call(self, step: Callable[[Session], Coroutine[Any, Any, _T]]) -> _T:
        """Return what a step returns over the opened and bound session, in the time allowed."""

        async def call() -> _T:
            await self._bind()
            return await step(await self._opened())

        return await self._within(call())

    @overload
    async def get_secrets(
        self, uids: Sequence[str] | str | None = ..., full_response: Literal[False] = ...
    ) -> RecordList: ...
    @overload
    async def get_secrets(
        self, uids: Sequence[str] | str | None, full_response: Literal[True]
    ) -> SecretsManagerResponse: ...
    @overload
    async def get_secrets(
        self, uids: Sequence[str] | str | None = ..., *, full_response: Literal[True]
    ) -> SecretsManagerResponse: ...
    async def get_secrets(
        self, uids: Sequence[str] | str | None = None, full_response: bool = False
    ) -> RecordList | SecretsManagerResponse:
        """Return all records, or those with these uids; each is decrypted when it is read."""
        return await self.get_secrets_with_options(query(uids), full_response)

    async def get_secrets_with_options(
        self, query_options: QueryOptions | None = None, full_response: bool = False
    ) -> RecordList | SecretsManagerResponse:
        """Return the records that the options ask for, as :meth:`get_secrets` does."""
        if full_response:
            return await self.fetch_and_decrypt_secrets(query_options)
        options = query_options or QueryOptions()
        return await self._call(lambda s: fetch_records(s, options, download=_not_downloaded))

    async def fetch_and_decrypt_secrets(
        self, query_options: QueryOptions | None = None
    ) -> SecretsManagerResponse:
        """Return the full response to a query."""
        options = query_options or QueryOptions()

        async def call() -> SecretsManagerResponse:
            just_bound = await self._bind()
            session = await self._opened()
            response = await fetch_response(session, options, download=_not_downloaded)
            response.justBound = just_bound
            return response

        return await self._within(call())

    async def get_secrets_by_title(self, record_title: str) -> list[Record]:
        """Return all records with this title."""
        return list((await self.get_secrets()).titled(record_title))

    async def get_secret_by_title(self, record_title: str) -> Record | None:
        """Return the first record with this title, or None; decrypt few after it."""
        return next((await self.get_secrets()).titled(record_title), None)

    async def download_file(self, file: KeeperFile) -> bytes:
        """Download a file once and return its content.

        From then on ``file.get_file_data()`` and ``file.save_file()`` take it from memory; before,
        they raise ClientSettingsError. Raises as :meth:`KeeperFile.get_file_data`.
        """
        return await self._call(lambda session: file.fetch(session.download))

    async def get_folders(self) -> list[KeeperFolder]:
        """Return the folder tree as a flat list."""
        return await self._call(writing.fetch_folders)

    fetch_and_decrypt_folders = get_folders

    async def get_notation(self, url: str) -> Any:
        """Return what a notation selects: one value, all of a field for ``[]``, a file's bytes.

        Raises:
            NotationError: The text is not valid notation.
            SecretNotFoundError: It selects nothing, or several records match.
        """
        return await self._call(lambda session: self._lookup(session).single(url))

    async def get_notation_results(self, notation: str) -> list[str]:
        """Return all values that a notation selects, as text; raises as :meth:`get_notation`."""
        return await self._call(lambda session: self._lookup(session).results(notation))

    async def try_get_notation_results(self, notation: str) -> list[str]:
        """Return as :meth:`get_notation_results`, an empty list where that would raise."""
        try:
            return await self.get_notation_results(notation)
        except KsmStorageError as exc:
            self.logger.error("cannot resolve the notation: %s", exc.message)
            return []

    async def inflate_field_value(
        self, uids: Iterable[str], replace_fields: Iterable[str]
    ) -> list[Any]:
        """Return the values of the records that a reference names."""
        return await self._call(lambda s: self._lookup(s).inflate(uids, replace_fields))

    def _lookup(self, session: Session) -> NotationLookup:
        async def fetch(uids: list[str] | None) -> RecordList:
            return await fetch_records(session, query(uids), download=_not_downloaded)

        return NotationLookup(fetch, download=session.download)

    async def create_secret(self, folder_uid: str, record_data: RecordContent) -> str:
        """Create a record in a shared folder and return its uid."""
        return await self.create_secret_with_options(CreateOptions(folder_uid), record_data)

    async def create_secret_with_options(
        self,
        create_options: CreateOptions,
        record_data: RecordContent,
        folders: Sequence[KeeperFolder] | None = None,
    ) -> str:
        """Create a record in a shared folder or a subfolder of it and return its uid."""
        return await self._call(
            lambda session: writing.create_record(session, create_options, record_data, folders)
        )

    async def save(
        self,
        record: Record,
        transaction_type: TransactionType | None = None,
        links_to_remove: Sequence[str] | str | None = None,
    ) -> None:
        """Save a changed record; with a transaction type, until it is completed."""
        await self.save_with_options(record, UpdateOptions(transaction_type, links_to_remove))

    async def save_with_options(
        self, record: Record, update_options: UpdateOptions | None = None
    ) -> bool:
        """Save a changed record; raise StaleRevisionError if it was changed since it was read."""
        await self._call(lambda session: writing.update_record(session, record, update_options))
        return True

    async def complete_transaction(self, record_uid: str, rollback: bool = False) -> bool:
        """Commit the save of a transaction, or roll it back."""
        path = endpoints.ROLLBACK_SECRET_UPDATE if rollback else endpoints.FINALIZE_SECRET_UPDATE
        await self._call(lambda s: writing.complete_transaction(s, record_uid, path=path))
        return True

    async def delete_secret(self, record_uids: Sequence[str] | str) -> list[dict[str, Any]]:
        """Delete records and return what the server answers for each.

        Raises:
            DeletionRefusedError: One of them was not deleted.
        """
        return await self._call(lambda s: writing.delete_records(s, writing.as_list(record_uids)))

    async def create_folder(
        self,
        create_options: CreateOptions,
        folder_name: str,
        folders: Sequence[KeeperFolder] | None = None,
    ) -> str:
        """Create a folder in a shared folder or a subfolder of it and return its uid."""
        return await self._call(
            lambda session: writing.create_folder(session, create_options, folder_name, folders)
        )

    async def update_folder(
        self, folder_uid: str, folder_name: str, folders: Sequence[KeeperFolder] | None = None
    ) -> None:
        """Rename a folder."""
        await self._call(lambda s: writing.rename_folder(s, folder_uid, folder_name, folders))

    async def delete_folder(
        self, folder_uids: Sequence[str] | str, force_deletion: bool = False
    ) -> list[dict[str, Any]]:
        """Delete folders, with their content if forced; return what the server answers for each.

        Raises:
            DeletionRefusedError: One of them was not deleted.
        """
        uids = writing.as_list(folder_uids)
        return await self._call(lambda s: writing.delete_folders(s, uids, force=force_deletion))

    async def upload_file(self, owner_record: Record, file: KeeperFileUpload) -> str:
        """Attach a file to a record and return the file's uid."""
        return await self._call(lambda session: writing.attach_file(session, owner_record, file))

    async def upload_file_path(
        self, owner_record: Record, file_path: str | os.PathLike[str]
    ) -> str:
        """Attach the file at a path to a record and return the file's uid."""
        file = await self._transport.work(lambda: KeeperFileUpload.from_file(file_path))
        return await self.upload_file(owner_record, file)


async def _not_downloaded(_url: str, _limit: int, _proxy_url: str | None) -> bytes:
    raise errors.ClientSettingsError(
        "the file has not been downloaded",
        hint="await download_file(file) of the SecretsManager first",
    )


@dataclass(slots=True)
class _Flight:
    """Hold a task that several callers may wait for."""

    task: asyncio.Task[Any]
    waiting: int = 0


def _retrieve(task: asyncio.Task[Any]) -> None:
    # asyncio would report a failure that no caller waited for.
    if not task.cancelled():
        task.exception()


class _Flights:
    """Let identical concurrent calls of one event loop share one task."""

    def __init__(self) -> None:
        # By loop too: a program may have one in each thread, and a forked child starts a new one.
        self._under_way: dict[tuple[asyncio.AbstractEventLoop, str], _Flight] = {}

    async def join(self, question: str, start: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Return the result of the task for this question; start the task if none is running.

        A cancelled caller leaves the task to the others; the last one cancels it.
        """
        key = (asyncio.get_running_loop(), question)
        flight = self._under_way.get(key)
        if flight is None:
            flight = self._under_way[key] = _Flight(asyncio.ensure_future(start()))
            flight.task.add_done_callback(lambda task: self._landed(key, task))
            flight.task.add_done_callback(_retrieve)
        flight.waiting += 1
        try:
            result: _T = await asyncio.shield(flight.task)
            return result
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                flight.task.cancel()
                self._landed(key, flight.task)

    def leave_alone(self) -> None:
        """Let no further caller join the tasks that are running."""
        self._under_way.clear()

    def _landed(self, key: tuple[asyncio.AbstractEventLoop, str], task: asyncio.Task[Any]) -> None:
        flight = self._under_way.get(key)
        if flight is not None and flight.task is task:
            self._under_way.pop(key, None)
