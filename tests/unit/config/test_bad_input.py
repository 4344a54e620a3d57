"""What is no configuration is refused with a reason, and no error holds a value of it."""

from __future__ import annotations

import base64
import codecs
import traceback
from collections.abc import Iterator

import pytest

from ksm_storage.config.document import Document, InvalidConfigError, read_payload
from ksm_storage.config.recognise import is_plain, recognise
from ksm_storage.errors import SettingsError, StorageError

CANARY = "c4naryS3cretValue"
VALUE = CANARY.encode()
GOOD = b'"hostname": "' + VALUE + b'"'
NO_FIELD = "has none of the fields"

BAD: dict[str, tuple[bytes, str]] = {
    "an envelope": (b"ksm-storage envelope v1\nsealed: " + VALUE, "is sealed already"),
    "a Dockerfile": (b"# x\nARG V=1\nFROM python\nENV KSM_CONFIG=" + VALUE, "is a Dockerfile"),
    "Python": (b"from os import path\nx = '" + VALUE + b"'", "is not a Keeper configuration"),
    "a systemd unit": (b"[Unit]\n[Service]\nEnvironment=A=" + VALUE, "is a systemd unit"),
    "a tar archive of text": (
        b"config.json".ljust(100, b"\0") + b"0000600\0".ljust(157, b"0") + b"ustar  \0" + VALUE,
        "is a tar archive",
    ),
    "fields in lower case": (
        b'{"clientid": "' + VALUE + b'"}',
        "has a field 'clientid', which must be named 'clientId'",
    ),
    "fields of an ini with underscores": (
        b"[a]\nprivate_key = " + VALUE,
        "has a field 'private_key', which must be named 'privateKey'",
    ),
    "a service account": (
        b'{"type": "service_account", "private_key": "' + VALUE + b'"}',
        "is the key of a Google service account",
    ),
    "empty": (b"", "is empty"),
    "white space": (b" \r\n\t", "is empty"),
    "a byte order mark alone": (codecs.BOM_UTF8, "is empty"),
    "UTF-16": ("{}".encode("utf-16"), "UTF-16 text"),
    "UTF-16, big endian": (codecs.BOM_UTF16_BE + CANARY.encode("utf-16-be"), "UTF-16"),
    "UTF-16 without mark": (f'{{"hostname": "{CANARY}"}}'.encode("utf-16-le"), "UTF-16 text"),
    "UTF-32": (f'{{"hostname": "{CANARY}"}}'.encode("utf-32"), "UTF-32 text"),
    "Latin-1": (b'{"hostname": "\xe9' + VALUE + b'"}', "not UTF-8"),
    "cut off": (b"{" + GOOD, "not valid JSON"),
    "cut in a value": (b'{"hostname": "' + VALUE, "not valid JSON"),
    "trailing text": (b"{" + GOOD + b"} " + VALUE, "not valid JSON"),
    "two objects": (b"{" + GOOD + b"}{" + GOOD + b"}", "not valid JSON"),
    "a trailing comma": (b"{" + GOOD + b",}", "not valid JSON"),
    "single quotes": (b"{'hostname': '" + VALUE + b"'}", "not valid JSON"),
    "a control character": (b'{"hostname": "' + VALUE + b'\n"}', "not valid JSON"),
    "a field twice": (b"{" + GOOD + b"," + GOOD + b"}", "repeats a field"),
    "a field twice inside": (b'{"hostname": {' + GOOD + b"," + GOOD + b"}}", "repeats a field"),
    "an object inside": (b'{"hostname": {' + GOOD + b"}}", "'hostname' whose value is not a"),
    "an array inside": (b'{"hostname": ["' + VALUE + b'"]}', "not a string"),
    "a number": (b'{"hostname": 1}', "not a string"),
    "null": (b'{"hostname": null}', "each field is null"),
    "NaN": (b'{"hostname": NaN}', "not a string"),
    "infinity": (b'{"hostname": -Infinity}', "not a string"),
    "a huge number": (b'{"hostname": ' + b"9" * 100_000 + b"}", "not valid JSON|not a string"),
    "a huge exponent": (b'{"hostname": 1e999999999}', "not a string"),
    "deep arrays": (b'{"hostname": ' + b"[" * 200_000, "not valid JSON"),
    "deep objects": (b'{"hostname":' * 100_000 + b"1" + b"}" * 100_000, "not valid JSON"),
    "half a surrogate pair": (b'{"hostname": "' + VALUE + b'\\ud800"}', "unpaired surrogate"),
    "half a pair in a name": (b'{"\\udfff": "", ' + GOOD + b"}", "unpaired surrogate"),
    "an array": (b"[{" + GOOD + b"}]", "is a JSON array, not an object"),
    "an array of several lines": (b"[\n  {" + GOOD + b"}\n]", "is a JSON array, not an object"),
    "an empty array": (b"[]", "is a JSON array, not an object"),
    "an array that is cut off": (b"[" + GOOD + b"]", NO_FIELD),
    "JSON that is cut off in a later line": (
        b'{\n"clientId": "a",\n"hostname": "' + VALUE,
        r"not valid JSON \(line 3, column 13\)",
    ),
    "an ini with a bad line": (
        b"[a]\nurl = b\n" + VALUE + b" " * 20 + b"x = c\n",
        r"INI \(line 3\)",
    ),
    "an ini of defaults alone": (
        b"[DEFAULT]\nurl = " + VALUE + b"\n",
        "has a section .DEFAULT. and no",
    ),
    "a variables file": (
        b"KSM_CONFIG=" + base64.b64encode(b"{" + GOOD + b"}") + b"\nOTHER=" + VALUE,
        "sets other variables besides KSM_CONFIG",
    ),
    "a variable of something else": (b"KSM_CONFIG=" + VALUE, "not a Keeper configuration"),
    "quotes in quotes": (b'"' * 40 + VALUE + b'"' * 40, "too many layers"),
    "an object around something else": (b'{"config": "' + VALUE + b'"}', "not a Keeper"),
    "an object with more than config": (
        b'{"config": "' + base64.b64encode(b"{" + GOOD + b"}") + b'", "b": 1}',
        "is not a string",
    ),
    "a key id that is true": (b'{"serverPublicKeyId": true, ' + GOOD + b"}", "is not a string"),
    "a Kubernetes manifest": (b"apiVersion: v1\nkind: Secret\n# " + VALUE, "Kubernetes manifest"),
    "a string": (b'"' + VALUE + b'"', "not a Keeper configuration"),
    "other JSON": (b'{"name": "' + VALUE + b'"}', NO_FIELD),
    "a number of JSON": (b"12345", "not a Keeper configuration"),
    "a one-time token": (b"US:" + VALUE, "not a Keeper configuration"),
    "text": (VALUE + b" and more", "not a Keeper configuration"),
    "an ini without profile": (b"[_config]\nactive_profile = " + VALUE + b"\n", "has no profile"),
    "a comment alone": (b"# " + VALUE + b"\n", "not a Keeper configuration"),
    "an ini of something else": (b"[a]\nname = " + VALUE + b"\n", NO_FIELD),
    "an ini with an option twice": (
        b"[a]\nclientid = " + VALUE + b"\nclientid = b\n",
        "not valid INI",
    ),
    "an ini with an option in two cases": (
        b"[a]\nclientid = " + VALUE + b"\nclientId = b\n",
        "not valid INI",
    ),
    "an ini with a setting twice": (
        b"[_config]\nactive_profile = " + VALUE + b"\nActive_Profile = b\n[a]\nurl = c\n",
        "has a setting twice",
    ),
    "an ini with a section twice": (b"[a]\nurl = " + VALUE + b"\n[a]\n", "not valid INI"),
    "an ini line without value": (b"[a]\n" + VALUE + b"\n", "not valid INI"),
    "an ini line that goes on behind a name": (
        b"[a]\nclientid\n  " + VALUE + b"\nurl = b\n",
        "not valid INI",
    ),
    "base64 of another ini": (base64.b64encode(b"[a]\nname = " + VALUE), NO_FIELD),
    "an ini value before its section": (b"#\nurl = " + VALUE + b"\n[a]\n", "not valid INI"),
    "an ini with a broken section": (b"[a\nurl = " + VALUE + b"\n", "not valid INI"),
    "an ini in Latin-1": (b"[a]\nurl = \xe9" + VALUE + b"\n", "not UTF-8"),
    "base64 of text": (base64.b64encode(VALUE * 9), "base64 that is cut off, or of"),
    "base64 of other JSON": (base64.b64encode(b'{"name": "' + VALUE + b'"}'), NO_FIELD),
    "base64 of broken JSON": (base64.b64encode(b"{" + GOOD), "not valid JSON"),
    "base64 of Latin-1": (base64.b64encode(b'{"a": "\xe9' + VALUE + b'"}'), "not UTF-8"),
    "base64 of bytes": (base64.b64encode(bytes(range(256))), "base64 that is cut off, or of"),
    "base64 that is cut off": (base64.b64encode(b"{" + GOOD + b"}")[:-3], "not a Keeper|JSON"),
    "base64 with a stray sign": (b"*" + base64.b64encode(b"{" + GOOD + b"}"), "not a Keeper"),
    "an official blob": (b"\xff\xff\x01\x00" + VALUE, "encrypted by one of Keeper's own"),
    "a newer official blob": (b"\x01\x02\x02\x00" + VALUE, "encrypted by one of Keeper's own"),
    "zeros": (bytes(64), "is empty"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_with_its_reason(kind: str) -> None:
    raw, reason = BAD[kind]

    with pytest.raises(StorageError, match=reason) as caught:
        recognise(raw, name="'it'")

    assert str(caught.value).startswith("'it' ")
    assert caught.value.hint


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_not_plain(kind: str) -> None:
    assert not is_plain(BAD[kind][0])


@pytest.mark.parametrize("kind", BAD)
def test_no_error_holds_a_value_of_the_input(kind: str) -> None:
    with pytest.raises(StorageError) as caught:
        recognise(BAD[kind][0], name="'it'")

    assert_secret_free(caught.value)


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b'{\n"hostname": x}', "(line 2, column 13)"),
        (b'{"hostname": "\xe9"}', "(byte 14)"),
        (b"[a]\nclientid = b\nclientid = c\n", "(line 3)"),
    ],
)
def test_the_message_says_where_it_is_wrong(raw: bytes, place: str) -> None:
    with pytest.raises(StorageError) as caught:
        recognise(raw, name="'it'")

    assert place in str(caught.value)


PAYLOADS: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"{" + GOOD, "not valid JSON"),
    "no object": (b'["' + VALUE + b'"]', "not an object"),
    "a number": (b'{"hostname": 1}', "not a string"),
    "a member beside the profiles": (
        b'{"profiles": {}, "clientId": "' + VALUE + b'"}',
        "members other than profiles and settings",
    ),
    "settings of another kind": (
        b'{"profiles": {}, "settings": "' + VALUE + b'"}',
        "members other than profiles and settings",
    ),
    "a profile that is a text": (b'{"profiles": {"a": "' + VALUE + b'"}}', "is not a JSON object"),
    "a value that is a list": (b'{"profiles": {"a": {"b": ["' + VALUE + b'"]}}}', "not a string"),
    "a profile without a name": (
        b'{"profiles": {"": {' + GOOD + b'}, "a": {}}}',
        "a profile without a name",
    ),
    "half a pair in a profile's name": (
        b'{"profiles": {"\\ud800": {' + GOOD + b"}}}",
        "unpaired surrogate",
    ),
    "half a pair in a setting": (
        b'{"profiles": {}, "settings": {"a": "' + VALUE + b'\\ud800"}}',
        "unpaired surrogate",
    ),
    "a profile twice": (
        b'{"profiles": {"a": {' + GOOD + b'}, "a": {}}}',
        "repeats a field",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PAYLOADS)
def test_a_payload_of_another_kind_is_refused_without_a_value_of_it(kind: str) -> None:
    raw, reason = PAYLOADS[kind]

    with pytest.raises(InvalidConfigError, match=reason) as caught:
        read_payload(raw)

    assert_secret_free(caught.value)


PROFILES = Document({"a": {}, "b": {}})


@pytest.mark.parametrize(
    ("document", "profile", "expected"),
    [
        (Document.single({}), None, ""),
        (Document({"a": {}}), None, "a"),
        (PROFILES, "b", "b"),
        (Document({"a": {}, "b": {}}, {"active_profile": "b"}), None, "b"),
        (Document({"a": {}, "b": {}}, {"active_profile": "b"}), "a", "a"),
    ],
)
def test_a_profile_is_chosen(document: Document, profile: str | None, expected: str) -> None:
    assert document.chosen(profile) == expected


@pytest.mark.parametrize(
    ("document", "profile", "message", "hint"),
    [
        (PROFILES, None, "no profile is active", "available profiles: a, b"),
        (PROFILES, "c", "profile 'c' not found", "available profiles: a, b"),
        (Document({}), None, "no profile is active", "available profiles: none"),
        (Document.single({}), "a", "profile 'a' not found", "available profiles: none"),
        (
            Document({"a": {}}, {"active_profile": "b"}),
            None,
            "profile 'b' not found",
            "profiles: a",
        ),
    ],
)
def test_a_profile_that_is_not_there_is_refused(
    document: Document, profile: str | None, message: str, hint: str
) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        document.chosen(profile)

    assert caught.value.hint
    assert caught.value.hint.endswith(hint)


def test_a_document_is_not_shown() -> None:
    document = Document.single({"clientId": CANARY})

    assert CANARY not in repr(document)
    assert CANARY not in repr(recognise(b"{" + GOOD + b"}", name="it"))


def assert_secret_free(exc: BaseException) -> None:
    printed = "".join(traceback.format_exception(exc))
    for linked in _chain(exc):
        printed += f"{linked!s} {linked!r} {linked.args!r} {vars(linked)!r}"
        # Parsers leave what they parsed on their exceptions, in these attributes.
        printed += repr([getattr(linked, name, None) for name in ("doc", "object", "errors")])
    encoded = base64.b64encode(VALUE * 3).decode()[:20]
    assert CANARY not in printed
    assert "\\x00".join(CANARY) not in printed
    assert encoded not in printed


def _chain(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [exc]
    while waiting:
        linked = waiting.pop()
        if linked is not None and id(linked) not in seen:
            seen.add(id(linked))
            waiting += [linked.__cause__, linked.__context__]
            yield linked
