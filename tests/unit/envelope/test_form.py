"""The rules E1 to E19 of docs/envelope-format.md; tests/vectors has many more cases of each."""

from __future__ import annotations

import hashlib

import pytest

from ksm_storage.envelope.codec import decode, encode, peek_providers
from ksm_storage.envelope.model import MAX_FILE_BYTES, MAX_HEADER_BYTES, MAX_PAYLOAD_BYTES, Envelope
from ksm_storage.envelope.opening import unlock
from ksm_storage.errors import EnvelopeError
from ksm_storage.files.reading import settled_content
from tests.vectors.draft import DEK, LINES, Draft, encoded, in_lines, recipient_lines

SOUND = Draft()
RAW = SOUND.to_bytes()


def read(draft: Draft) -> Envelope:
    return decode(draft.to_bytes())


def refuse(draft: Draft | bytes, match: str) -> None:
    with pytest.raises(EnvelopeError, match=match):
        decode(draft if isinstance(draft, bytes) else draft.to_bytes())


def test_e1_a_file_is_refused_from_2097153_bytes_on_and_before_its_first_line_is_read() -> None:
    refuse(b"x" * (MAX_FILE_BYTES + 1), "larger than 2097152")
    refuse(b"x" * MAX_FILE_BYTES, "not a ksm-storage envelope")


def test_e2_a_file_begins_with_its_magic_line() -> None:
    assert RAW.startswith(b"ksm-storage envelope v1\n")
    refuse(RAW.replace(b"ksm-storage", b"KSM-storage", 1), "not a ksm-storage envelope")
    refuse(RAW.replace(b"\n", b"\r\n", 1), "not printable ASCII|first line is damaged")


@pytest.mark.parametrize("number", ["0", "2", "10", "999999999999999999"])
def test_e3_another_version_is_refused_with_its_number(number: str) -> None:
    refuse(RAW.replace(b"v1", f"v{number}".encode(), 1), f"unknown envelope version {number}(\n|$)")


@pytest.mark.parametrize("number", ["01", "x", "1" * 19, ""])
def test_e3_what_is_no_number_is_no_other_version(number: str) -> None:
    refuse(RAW.replace(b"v1", f"v{number}".encode(), 1), "first line is damaged")


@pytest.mark.parametrize("byte", [*range(0x0A), *range(0x0B, 0x20), 0x7F, 0x80, 0xC3, 0xFF])
def test_e4_a_byte_outside_printable_ascii_is_refused(byte: int) -> None:
    refuse(SOUND.with_line("revision", f"7{chr(byte)}"), "not printable ASCII")
    refuse(RAW[:-1] + bytes([byte]), "not printable ASCII")


def test_e4_the_last_line_of_the_header_ends_with_a_line_feed() -> None:
    refuse(RAW.partition(b"\n\n")[0], "not terminated")


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last_line", [b"\n", b""])
def test_e18_what_a_transfer_in_text_mode_changed_is_undone(
    bom: bytes, line_end: bytes, last_line: bytes
) -> None:
    changed = bom + (RAW[:-1] + last_line).replace(b"\n", line_end)

    assert encode(decode(changed)) == RAW


@pytest.mark.parametrize(
    "changed",
    [
        RAW.replace(b"\n", b"\r\n", 3),
        RAW.replace(b"\n", b"\r\n")[:-2] + b"\n",
        RAW.replace(b"\n", b"\r"),
        RAW.replace(b"\n", b"\r\r\n"),
        b"\xff\xfe" + RAW,
    ],
)
def test_e18_nothing_else_is_undone(changed: bytes) -> None:
    with pytest.raises(EnvelopeError):
        decode(changed)


def test_e5_a_header_ends_within_262144_bytes() -> None:
    # Unknown lines are read only where the header has an end.
    filler = "x" * (MAX_HEADER_BYTES - len(LINES[0]) - len("\n\n\n"))

    refuse(f"{LINES[0]}\n{filler}\n\n".encode(), "'suite' is missing")
    refuse(f"{LINES[0]}\n{filler}x\n\n".encode(), "not terminated")
    refuse(RAW.partition(b"\n\n")[0] + b"\n", "not terminated")


def test_e5_the_largest_header_that_the_other_rules_allow_is_smaller() -> None:
    groups = [
        recipient_lines(f"{'p' * 64}://{n:02}{'k' * 2046}", "a" * 64, 8192) for n in range(16)
    ]
    context = [f"{n:02}={'v' * 62}" for n in range(16)]

    raw = SOUND.with_context(*context).with_recipients(*groups).to_bytes()

    assert raw.index(b"\n\n") < MAX_HEADER_BYTES
    assert encode(decode(raw)) == raw


@pytest.mark.parametrize("line", ["suite:1", "suite:  1", "suite: 1 ", "suite: ", "suite 1", ": 1"])
def test_e6_a_line_is_a_name_a_colon_a_space_and_a_value(line: str) -> None:
    refuse(SOUND.edited(lambda lines: [lines[0], line, *lines[2:]]), "'suite'")


# A context line may be missing; that it is not doubled is E13.
@pytest.mark.parametrize("at", [at for at in range(1, len(LINES)) if at not in (7, 8)])
def test_e7_a_line_is_neither_missing_nor_twice_nor_elsewhere(at: int) -> None:
    refuse(SOUND.edited(lambda lines: [*lines[:at], *lines[at + 1 :]]), "out of order")
    refuse(SOUND.edited(lambda lines: [*lines[: at + 1], *lines[at:]]), "out of order")
    refuse(SOUND.edited(lambda lines: [*lines[:at], "x: y", *lines[at:]]), "out of order")


@pytest.mark.parametrize("count", range(1, len(LINES) + 2))
def test_e7_a_header_that_ends_early_is_refused(count: int) -> None:
    lines = RAW.splitlines(keepends=True)

    refuse(b"".join(lines[:count]) + b"\n" + RAW.partition(b"\n\n")[2], "out of order")


def test_e7_a_line_behind_the_header_mac_is_refused() -> None:
    refuse(RAW.replace(b"\n\n", b"\nx: y\n\n", 1), "unexpected line")


def test_e7_there_are_1_to_16_recipients_and_at_most_16_context_pairs() -> None:
    groups = [recipient_lines(f"p://{number}") for number in range(17)]
    pairs = [f"{number:02}=v" for number in range(17)]

    assert len(read(SOUND.with_recipients(*groups[:16])).header.recipients) == 16
    assert len(read(SOUND.with_context(*pairs[:16])).header.context) == 16
    refuse(SOUND.with_recipients(*groups), "too many")
    refuse(SOUND.with_recipients(), "'recipient' is missing")
    refuse(SOUND.with_context(*pairs), "invalid 'context'")


@pytest.mark.parametrize("name", ["message-id", "commitment", "header-mac"])
@pytest.mark.parametrize("length", [0, 31, 33])
def test_e7_the_binary_values_have_32_bytes(name: str, length: int) -> None:
    value = f"{name}: {encoded(bytes(length))}\n".encode()
    line = next(x for x in RAW.splitlines(keepends=True) if x.startswith(name.encode()))

    refuse(RAW.replace(line, value), f"invalid '{name}'")


@pytest.mark.parametrize("value", ["0" * 31, "0" * 33, "A" * 32])
def test_e7_an_envelope_id_is_32_lower_case_digits(value: str) -> None:
    refuse(SOUND.with_line("envelope-id", value), "invalid 'envelope-id'")


@pytest.mark.parametrize("value", ["0", "07", "1000000000000000000", "-1"])
def test_e7_a_revision_is_a_decimal_number_without_leading_zero(value: str) -> None:
    refuse(SOUND.with_line("revision", value), "invalid 'revision'")


@pytest.mark.parametrize("number", ["0", "2", "1144"])
def test_e8_another_suite_is_refused_with_its_number(number: str) -> None:
    refuse(SOUND.with_line("suite", number), f"unknown envelope suite {number}(\n|$)")


def test_e8_another_suite_is_told_before_any_line_that_only_it_may_have() -> None:
    refuse(
        SOUND.with_line("suite", "2").edited(lambda x: [*x[:2], "threshold: 2"]),
        "unknown envelope suite 2(\n|$)",
    )


@pytest.mark.parametrize("name", ["created", "sealed"])
@pytest.mark.parametrize(
    "value",
    [
        "1969-12-31T23:59:59Z",
        "2026-02-29T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00+00:00",
        "2026-01-01T00:00:00z",
        "2026-1-1T00:00:00Z",
    ],
)
def test_e9_a_time_is_a_real_one_in_its_one_form(name: str, value: str) -> None:
    refuse(SOUND.with_line(name, value), f"invalid '{name}'")


@pytest.mark.parametrize("value", ["1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_e9_the_first_and_the_last_time_are_read(value: str) -> None:
    assert read(SOUND.with_line("created", value)).header.created == value


@pytest.mark.parametrize("text", ["A" * 43, "A" * 43 + "==", "-_" * 21 + "A=", "A" * 42 + " A="])
def test_e10_base64_is_standard_and_padded(text: str) -> None:
    refuse(Draft(header_mac=text), "invalid 'header-mac'|canonical")


@pytest.mark.parametrize("last", "BCD")
def test_e10_the_unused_bits_of_base64_are_zero(last: str) -> None:
    refuse(Draft(header_mac="A" * 42 + f"{last}="), "canonical form")
    refuse(Draft(body="A" * 21 + f"{last}=" + "A\n"), "base64|canonical form")
    refuse(Draft(body="A" * 42 + f"{last}=\n"), "canonical form")


def test_e11_what_is_accepted_is_written_as_it_was() -> None:
    assert encode(decode(RAW)) == RAW


def test_e11_what_a_lenient_parser_lets_through_is_refused() -> None:
    refuse(Draft(body=in_lines(encoded(SOUND.sealed_bytes()), 60)), "canonical form")


@pytest.mark.parametrize(
    "pair",
    [
        "=v",
        "v",
        "a=",
        ".a=v",
        "_a=v",
        "a b=v",
        "a\\=v",
        "ksm-storage.x=v",
        f"{'n' * 65}=v",
        f"a={'v' * 257}",
        "a= v",
        "a=v ",
    ],
)
def test_e12_a_context_pair_that_is_not_allowed_is_refused(pair: str) -> None:
    refuse(SOUND.with_context(pair), "invalid 'context'")


def test_e12_the_longest_context_pair_is_read() -> None:
    name, value = "n" * 64, f"v{' ~' * 127}v"

    assert read(SOUND.with_context(f"{name}={value}")).header.context == {name: value}


def test_e13_context_lines_are_sorted_and_each_name_is_there_once() -> None:
    assert list(read(SOUND.with_context("A=1", "B=1", "a=1")).header.context) == ["A", "B", "a"]
    refuse(SOUND.with_context("a=1", "B=1"), "invalid 'context'")
    refuse(SOUND.with_context("a=1", "a=2"), "invalid 'context'")


def test_e13_a_context_has_at_most_1024_bytes() -> None:
    full = [f"{name}={'v' * 255}" for name in "abcd"]

    assert len(read(SOUND.with_context(*full)).header.context) == 4
    refuse(SOUND.with_context(*full[:3], full[3] + "v"), "invalid 'context'")


@pytest.mark.parametrize(
    "key",
    [
        "k",
        "p:k",
        "://k",
        "p://",
        "P://k",
        "p--q://k",
        "p-://k",
        "1://k",
        f"{'p' * 65}://k",
        "p://k k",
        f"p://{'k' * 2049}",
    ],
)
def test_e14_a_recipient_is_a_key_uri(key: str) -> None:
    refuse(SOUND.with_recipients(recipient_lines(key)), "invalid 'recipient'")


def test_e14_no_two_recipients_are_the_same() -> None:
    twice = [recipient_lines("p://k"), recipient_lines("q://k"), recipient_lines("p://k", "B", 3)]

    assert len(read(SOUND.with_recipients(*twice[:2])).header.recipients) == 2
    refuse(SOUND.with_recipients(*twice), "duplicate")


@pytest.mark.parametrize("algorithm", ["A B", "a" * 65])
def test_e15_an_algorithm_is_1_to_64_visible_characters(algorithm: str) -> None:
    refuse(SOUND.with_recipients(recipient_lines(algorithm=algorithm)), "invalid 'algorithm'")


@pytest.mark.parametrize("length", [0, 8193])
def test_e15_a_wrapped_dek_has_1_to_8192_bytes(length: int) -> None:
    refuse(SOUND.with_recipients(recipient_lines(wrapped=length)), "invalid 'wrapped-dek'")


@pytest.mark.parametrize("tail", ["AAAA\n", "\n", "\n\n", "=\n", "x: y\n", " \n"])
def test_e16_nothing_stands_behind_the_payload(tail: str) -> None:
    refuse(RAW + tail.encode(), "canonical form|base64")


@pytest.mark.parametrize("width", [1, 4, 60, 63, 65, 76, 128])
def test_e16_the_lines_of_the_payload_have_64_characters(width: int) -> None:
    refuse(Draft(body=in_lines(encoded(SOUND.sealed_bytes()), width)), "canonical form")


def test_e17_a_payload_has_at_most_1048576_bytes() -> None:
    full = Draft(payload=b"x" * MAX_PAYLOAD_BYTES)
    over = Draft(payload=b"x" * (MAX_PAYLOAD_BYTES + 1))

    assert unlock(read(full), DEK) == full.payload
    refuse(over, "invalid length")


def test_e17_a_sealed_payload_has_at_least_the_16_bytes_of_its_tag() -> None:
    assert unlock(read(Draft(payload=b"")), DEK) == b""
    refuse(SOUND.with_sealed(bytes(15)), "invalid length")
    refuse(Draft(body=""), "truncated")
    refuse(Draft(body="\n"), "invalid length")


def test_an_empty_file_is_called_an_interrupted_save() -> None:
    refuse(b"", "the file is empty: a save was interrupted")


def test_e13_the_first_equals_sign_ends_a_name_and_the_line_itself_does_not_count() -> None:
    longest = [f"{name}={'v' * 255}" for name in "abcd"]

    assert read(SOUND.with_context("a=b=c")).header.context == {"a": "b=c"}
    assert len(read(SOUND.with_context(*longest)).header.context) == 4


def test_e14_the_first_separator_ends_a_provider() -> None:
    (recipient,) = read(SOUND.with_recipients(recipient_lines("p://k://x"))).header.recipients

    assert (recipient.key.provider, recipient.key.key_id) == ("p", "k://x")


NEW = SOUND.with_line("revision", "8").to_bytes()
FOOTER = f"\nksm-storage journal {len(NEW):010d} {hashlib.sha256(NEW).hexdigest()}\n".encode()
START = b"\0" * (max(len(RAW), len(NEW)) + 1 - len(RAW))
# Where a block of the medium starts inside the new version.
HOLE = -len(RAW + START) % 512


@pytest.mark.parametrize(
    ("behind", "version"),
    [
        (START + NEW + FOOTER, NEW),
        (START, RAW),
        (START + NEW[:1], RAW),
        (START + NEW, RAW),
        (START + NEW + FOOTER[:-1], RAW),
        (START + NEW[:HOLE] + bytes(512) + NEW[HOLE + 512 :] + FOOTER, RAW),
    ],
)
def test_e19_what_an_interrupted_save_leaves_is_read(behind: bytes, version: bytes) -> None:
    assert settled_content(RAW + behind) == version


@pytest.mark.parametrize(
    "behind",
    [
        b"\0junk",
        b"\0" + b"{}",
        START + NEW + b"$(junk)",
        START + NEW[:100] + b"\0" + NEW[101:] + FOOTER,
        START + NEW + FOOTER + b"\0",
        b" ",
        b"\nksm-storage journal 0000000001 " + b"0" * 64 + b"\n",
    ],
)
def test_e19_anything_else_behind_the_end_is_refused(behind: bytes) -> None:
    refuse(settled_content(RAW + behind), "printable|canonical|base64")


@pytest.mark.parametrize("raw", [RAW, b"\xef\xbb\xbf" + RAW, RAW.replace(b"\n", b"\r\n")])
def test_the_providers_of_a_file_are_read_without_parsing_it(raw: bytes) -> None:
    providers = [recipient.key.provider for recipient in decode(raw).header.recipients]

    assert providers
    assert peek_providers(raw) == providers
    # What follows the header is not looked at, and what it lacks is not noticed.
    assert peek_providers(raw + b"damage") == providers
    assert peek_providers(raw.replace(b"suite", b"\xff")) == providers


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"recipient: key-file://": 1}'])
def test_what_has_no_header_names_no_provider(raw: bytes) -> None:
    assert peek_providers(raw) == []
