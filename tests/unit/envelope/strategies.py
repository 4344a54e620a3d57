"""What hypothesis draws: headers as a writer may make them, and files damaged with structure."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from types import MappingProxyType

from hypothesis import strategies as st

from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.envelope.codec import format_time
from ksm_storage.envelope.model import (
    MAX_CONTEXT_BYTES,
    MAX_LINEAGE,
    MAX_REVISION,
    RESERVED_CONTEXT,
    TAG_BYTES,
    Envelope,
    Header,
    Recipient,
)

_WORD = string.ascii_lowercase + string.digits
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
_NAME = string.ascii_letters + string.digits + "._-"

_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True).filter(
    lambda name: not name.startswith(RESERVED_CONTEXT)
)
_values = st.text(_VISIBLE + " ", min_size=1, max_size=256).filter(lambda v: v == v.strip())
_contexts = (
    st.dictionaries(_names, _values, max_size=16)
    .filter(lambda c: sum(len(k) + len(v) for k, v in c.items()) <= MAX_CONTEXT_BYTES)
    .map(lambda context: MappingProxyType(dict(sorted(context.items()))))
)
_providers = st.from_regex(r"[a-z][a-z0-9]{0,9}(-[a-z0-9]{1,9}){0,3}", fullmatch=True)
_keys = st.builds(KeyUri, _providers, st.text(_VISIBLE, min_size=1, max_size=80))
_recipients = st.builds(
    Recipient,
    _keys,
    st.text(_VISIBLE, min_size=1, max_size=64),
    st.binary(min_size=1, max_size=300),
)
_times = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31, 23, 59, 59)).map(  # noqa: DTZ001
    lambda time: format_time(time.replace(microsecond=0, tzinfo=UTC))
)
_values_of_32_bytes = st.binary(min_size=32, max_size=32)


def _of_generation(header: Header, lineage: bytes) -> Header:
    """Give the header a lineage where its generation has one."""
    return header._replace(lineage=lineage if header.generation > 1 else b"")


_headers = st.builds(
    Header,
    envelope_id=st.binary(min_size=16, max_size=16),
    created=_times,
    sealed=_times,
    revision=st.integers(1, MAX_REVISION),
    generation=st.just(1) | st.integers(1, MAX_REVISION),
    context=_contexts,
    recipients=st.lists(
        _recipients, min_size=1, max_size=16, unique_by=lambda recipient: recipient.key
    ).map(tuple),
    message_id=_values_of_32_bytes,
    commitment=_values_of_32_bytes,
)
_lineages = st.integers(1, MAX_LINEAGE).map(lambda secrets: bytes(TAG_BYTES + 32 * secrets))
headers = st.builds(_of_generation, _headers, _lineages)
envelopes = st.builds(Envelope, headers, _values_of_32_bytes, st.binary(min_size=16, max_size=400))

_INSERTED = [
    *(
        b"\r",
        b"\0",
        b"\n",
        b"\n\n",
        b" ",
        b": ",
        b"=",
        b"==",
        b"\xef\xbb\xbf",
        b"\xc3\xbc",
        b"\xff",
    ),
    *(b"0", b"-", b"_", b"A", b"ksm-storage.", b"context: a=b\n", b"recipient: p://k\n", b"%"),
]


@st.composite
def damaged(draw: st.DrawFn, raw: bytes) -> bytes:
    """Draw the file after up to four changes to its lines, numbers or bytes."""
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["swap", "double", "drop", "insert", "replace", "cut", "case"]))
        lines = raw.splitlines(keepends=True) or [b""]
        first = draw(st.integers(0, len(lines) - 1))
        second = draw(st.integers(0, len(lines) - 1))
        at = draw(st.integers(0, len(raw)))
        if kind == "swap":
            lines[first], lines[second] = lines[second], lines[first]
            raw = b"".join(lines)
        elif kind == "double":
            raw = b"".join([*lines[:first], lines[first], *lines[first:]])
        elif kind == "drop":
            raw = b"".join([*lines[:first], *lines[first + 1 :]])
        elif kind == "insert":
            raw = raw[:at] + draw(st.sampled_from(_INSERTED)) + raw[at:]
        elif kind == "replace":
            raw = raw[:at] + draw(st.binary(max_size=3)) + raw[at + draw(st.integers(0, 3)) :]
        elif kind == "cut":
            raw = raw[:at] + raw[draw(st.integers(at, len(raw))) :]
        else:
            raw = raw.replace(lines[first], lines[first].swapcase(), 1)
    return raw
