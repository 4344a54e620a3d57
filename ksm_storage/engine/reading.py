"""Read records: ask, and decrypt on demand."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from .answer import AnswerReader, SecretsManagerResponse
from .dto.payload import QueryOptions
from .keeper_file import Downloader
from .record_list import RecordList
from .session import Session

# The logger of the official package, which programs configure by this name.
_log = logging.getLogger("ksm")


async def fetch_records(
    session: Session, options: QueryOptions, *, download: Downloader
) -> RecordList:
    """Return the records that the options ask for; their files are fetched with ``download``."""
    if not options.records_filter or options.request_links:
        return (await fetch_response(session, options, download=download)).records
    reader, _ = await _ask(session, options, download)
    return reader.select(options.records_filter)


async def fetch_response(
    session: Session, options: QueryOptions, *, download: Downloader
) -> SecretsManagerResponse:
    """Return the full response to a query."""
    just_bound = await session.bind()
    reader, offline_since = await _ask(session, options, download)
    response = reader.read()
    response.justBound, response.offline_since = just_bound, offline_since
    for warning in response.warnings or ():
        _log.warning("the server warns: %s", warning)
    return response


async def _ask(
    session: Session, options: QueryOptions, download: Downloader
) -> tuple[AnswerReader, datetime | None]:
    answer, offline_since = await session.fetch_secrets(options)
    app_key = await session.work(session.device.app_key)
    return AnswerReader(answer, app_key, download=download), offline_since


def query(uids: Sequence[str] | str | None) -> QueryOptions:
    """Return the options that ask for these uids, or for all."""
    return QueryOptions(records_filter=[uids] if isinstance(uids, str) else uids)
