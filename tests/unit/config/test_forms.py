"""A configuration survives each of its forms, and reads from the files of the official tools."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksm_storage.config.document import (
    Document,
    InvalidConfigError,
    format_base64,
    format_json,
    read_payload,
    write_payload,
)
from ksm_storage.config.fields import FIELDS, from_ini_name, to_ini_name
from ksm_storage.config.ini_form import format_ini, parse_ini
from ksm_storage.config.recognise import Form, is_plain, recognise, refuse_unusable
from ksm_storage.errors import KsmStorageError, SettingsError, StorageError
from tests.long_form import LONG_FORM

# `make test` fuzzes the same parsers too: tests/fuzz tries thousands of inputs a second.
bounded = settings(max_examples=1000 if LONG_FORM else 100, deadline=None, derandomize=True)

_text = st.text(st.characters(codec="utf-8"), max_size=30)
_fields = st.sampled_from(FIELDS) | _text
configs = st.dictionaries(_fields, _text, max_size=8)
keeper_configs = st.builds(
    lambda config, name, value: {**config, name: value}, configs, st.sampled_from(FIELDS), _text
)
_plain_value = st.text("abcXYZ0189+/=-_.:;#%[]${} ", min_size=0, max_size=40).map(str.strip)
_plain_name = st.sampled_from(FIELDS) | st.from_regex(
    r"[A-Za-z][A-Za-z0-9_.]{0,12}", fullmatch=True
)
ini_configs = st.dictionaries(_plain_name, _plain_value, min_size=1, max_size=6)
_profile_names = st.from_regex(r"[A-Za-z][A-Za-z0-9 ._-]{0,12}[A-Za-z]", fullmatch=True)
documents = st.builds(
    Document,
    st.dictionaries(_profile_names, configs, min_size=0, max_size=4),
    st.dictionaries(_text, _text, max_size=2),
)


@bounded
@given(keeper_configs)
def test_json_says_the_configuration_again(config: dict[str, str]) -> None:
    plain = recognise(format_json(config), name="it")

    assert (plain.form, plain.document) == (Form.JSON, Document.single(config))


@bounded
@given(keeper_configs)
def test_base64_says_the_configuration_again(config: dict[str, str]) -> None:
    plain = recognise(format_base64(config), name="it")

    assert (plain.form, plain.document) == (Form.BASE64, Document.single(config))


@bounded
@given(st.dictionaries(_profile_names, ini_configs, min_size=1, max_size=3), _profile_names)
def test_ini_says_all_profiles_again(profiles: dict[str, dict[str, str]], active: str) -> None:
    document = Document(profiles, {"active_profile": active})

    assert parse_ini(format_ini(document)) == document


@bounded
@given(configs)
def test_ini_says_any_configuration_again_or_refuses_it(config: dict[str, str]) -> None:
    document = Document({"default": config})
    try:
        text = format_ini(document)
    except SettingsError:
        return

    assert parse_ini(text) == document


@bounded
@given(configs.map(Document.single) | documents)
def test_a_payload_says_the_document_again(document: Document) -> None:
    assert read_payload(write_payload(document)) == document


@bounded
@given(st.binary(max_size=80) | _text.map(str.encode))
def test_any_bytes_are_recognised_or_refused_with_our_error(raw: bytes) -> None:
    for parse in (lambda: recognise(raw, name="it"), lambda: read_payload(raw)):
        try:
            parse()
        except (KsmStorageError, InvalidConfigError):
            continue


@bounded
@given(
    st.lists(
        st.sampled_from(
            ["[", "]", "[a]", "\n", "\r\n", "=", ":", " ", "\t", "a", "#", ";", "%", "clientId"]
        ),
        max_size=25,
    )
)
def test_anything_like_ini_is_parsed_or_refused_with_our_error(pieces: list[str]) -> None:
    try:
        document = parse_ini("".join(pieces).encode())
    except InvalidConfigError:
        return

    assert "" not in document.profiles


def test_a_plain_configuration_becomes_one_active_profile_of_an_ini() -> None:
    text = format_ini(Document.single({"clientId": "abc==", "hostname": "keepersecurity.com"}))

    assert text.decode() == (
        "[_config]\nactive_profile = _default\n\n"
        "[_default]\nclientid = abc==\nhostname = keepersecurity.com\n\n"
    )


def test_ini_names_are_the_sdks_in_lower_case_both_ways() -> None:
    for field in FIELDS:
        assert from_ini_name(to_ini_name(field)) == field
        assert to_ini_name(field) == field.lower()
        assert from_ini_name(field.upper()) == field
    assert from_ini_name("unknownField") == to_ini_name("unknownField") == "unknownField"


@pytest.mark.parametrize(
    "config",
    [
        {"hostname": "a\n"},
        {"hostname": "a\rb"},
        {"hostname": "a\n# b"},
        {"hostname": " a"},
        {"hostname": "a "},
        {"": "a"},
        {"a=b": "c"},
        {"#a": "b"},
        {"[a]": "b"},
        {" a": "b"},
        {"clientId": "a", "clientid": "b"},
        {"hostname": "\ud800"},
    ],
    ids=repr,
)
def test_ini_refuses_what_it_cannot_say(config: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"cannot be written as keeper\.ini without loss"):
        format_ini(Document.single(config))


@pytest.mark.parametrize("profile", ["_config", "a\nb", "a\rb"])
def test_ini_refuses_a_profile_name_that_it_cannot_say(profile: str) -> None:
    document = Document({profile: {"hostname": "a"}}, {"active_profile": "x"})

    with pytest.raises(SettingsError, match="without loss"):
        format_ini(document)


CONFIG = {"clientId": "Q2xpZW50", "hostname": "keepersecurity.com", "appKey": "a/b+c=="}
JSON = json.dumps(CONFIG).encode()
URL_SAFE = base64.urlsafe_b64encode(b'{"hostname": "???>>>", "clientId": "~~~"}')
INI = b"[_config]\nactive_profile = work\n\n[work]\nclientid = a\nserverpublickeyid = 10\n"


@pytest.mark.parametrize(
    ("raw", "form"),
    [
        (JSON, Form.JSON),
        (b"\xef\xbb\xbf" + JSON, Form.JSON),
        (b"\r\n\t " + JSON + b"\r\n", Form.JSON),
        (b"{}", Form.JSON),
        (base64.b64encode(JSON), Form.BASE64),
        (base64.b64encode(JSON) + b"\n", Form.BASE64),
        (base64.encodebytes(JSON * 1), Form.BASE64),
        (base64.b64encode(JSON).rstrip(b"="), Form.BASE64),
        (b"\xef\xbb\xbf" + base64.b64encode(JSON), Form.BASE64),
        (base64.b64encode(b"\xef\xbb\xbf" + JSON), Form.BASE64),
        (URL_SAFE, Form.BASE64),
        (URL_SAFE[:20] + b"\r\n" + URL_SAFE[20:] + b"\r\n", Form.BASE64),
        (b'"' + base64.b64encode(JSON) + b'"\n', Form.BASE64),
        (b"'" + base64.b64encode(JSON) + b"'", Form.BASE64),
        (b"'" + JSON + b"'", Form.JSON),
        (json.dumps(JSON.decode()).encode(), Form.JSON),
        (b"KSM_CONFIG=" + base64.b64encode(JSON) + b"\n", Form.BASE64),
        (b"export KSM_CONFIG='" + base64.b64encode(JSON) + b"'\n", Form.BASE64),
        (b"KSM_CONFIG = " + JSON, Form.JSON),
        (b"ksm_config=" + base64.encodebytes(JSON), Form.BASE64),
        (b"# mine\n\nKSM_CONFIG=" + base64.b64encode(JSON), Form.BASE64),
        (b'{"config": "' + base64.b64encode(JSON) + b'"}', Form.BASE64),
        (json.dumps({"config": JSON.decode()}).encode(), Form.JSON),
        (base64.b64encode(base64.b64encode(JSON)), Form.BASE64),
        (base64.encodebytes(base64.encodebytes(b"\n" + JSON)), Form.BASE64),
        (INI, Form.INI),
        (b"\xef\xbb\xbf" + INI, Form.INI),
        (INI.replace(b"\n", b"\r\n"), Form.INI),
        (b"; mine\n" + INI, Form.INI),
        (b"# mine\n" + INI, Form.INI),
    ],
)
def test_a_form_is_recognised_by_its_content(raw: bytes, form: Form) -> None:
    assert recognise(raw, name="it").form is form
    assert is_plain(raw)


def test_an_ini_gives_the_sdks_names_and_the_active_profile() -> None:
    document = recognise(INI, name="it").document

    assert document.profiles == {"work": {"clientId": "a", "serverPublicKeyId": "10"}}
    assert document.chosen(None) == "work"


def test_a_percent_sign_in_an_ini_means_itself() -> None:
    raw = b"[work]\nclientid = 100%(hostname)s%%\nhostname = a\n"

    assert parse_ini(raw).profiles["work"]["clientId"] == "100%(hostname)s%%"


def test_the_section_default_lends_its_values_to_each_profile() -> None:
    raw = (
        b"[DEFAULT]\nhostname = a\nserverpublickeyid = 10\n[_config]\nactive_profile = prod\n"
        b"[prod]\nclientid = b\n[test]\nclientid = c\nhostname = d\nserverpublickeyid\n"
    )

    document = parse_ini(raw)

    assert document.profiles == {
        "prod": {"clientId": "b", "hostname": "a", "serverPublicKeyId": "10"},
        "test": {"clientId": "c", "hostname": "d"},
    }
    assert document.settings == {"active_profile": "prod"}
    assert document.chosen(None) == "prod"


def test_a_profile_named_default_is_not_written_as_ini() -> None:
    document = Document({"DEFAULT": {"clientId": "a"}, "work": {"clientId": "b"}})

    with pytest.raises(SettingsError, match="without loss"):
        format_ini(document)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_what_is_wrapped_is_the_configuration_inside(depth: int) -> None:
    raw = JSON
    for _ in range(depth):
        raw = b"'" + base64.b64encode(raw) + b"'"

    assert recognise(raw, name="it").document == Document.single(CONFIG)


def test_a_key_id_that_is_a_number_is_read_as_text() -> None:
    raw = b'{"clientId": "C", "serverPublicKeyId": 10}'

    assert recognise(raw, name="it").document.profiles[""]["serverPublicKeyId"] == "10"


def test_an_empty_configuration_is_refused_where_it_would_be_sealed() -> None:
    document = recognise(b"{}", name="it").document

    with pytest.raises(StorageError, match="it is an empty configuration") as caught:
        refuse_unusable(document, name="it")

    assert caught.value.hint


@pytest.mark.parametrize(
    "value",
    [
        "<your client id>",
        "[client id]",
        "${CLIENT_ID}",
        "$CLIENT_ID",
        "{{ client_id }}",
        "%CLIENT_ID%",
        "YOUR_CLIENT_ID",
        "Your client id",
        "change-me",
        "xxxx",
        "...",
    ],
)
def test_a_template_is_refused_where_it_would_be_sealed(value: str) -> None:
    document = recognise(json.dumps({"clientId": value}).encode(), name="it").document

    with pytest.raises(StorageError, match="has a placeholder instead of the value of 'clientId'"):
        refuse_unusable(document, name="it")


@pytest.mark.parametrize("value", ["CID", "yourself", "my$key", "x", "x" * 64, "Zm9v+/==", "a-b_c"])
def test_what_may_be_a_value_is_not_taken_for_a_placeholder(value: str) -> None:
    refuse_unusable(Document.single({"clientId": value, "hostname": "your-host.eu"}), name="it")


def test_a_field_in_another_case_is_refused_where_it_would_be_sealed() -> None:
    document = Document.single({"hostname": "a.eu", "PrivateKey": "K"})

    with pytest.raises(StorageError, match="'PrivateKey', which must be named 'privateKey'"):
        refuse_unusable(document, name="it")


def test_an_unknown_field_of_an_ini_keeps_its_letters() -> None:
    document = Document({"a": {"someField": "1", "clientId": "2"}})

    assert parse_ini(format_ini(document)) == document


def test_a_field_that_is_null_is_not_set() -> None:
    raw = b'{"clientId": "C", "appOwnerPublicKey": null}'

    assert recognise(raw, name="it").document == Document.single({"clientId": "C"})


def test_a_field_of_an_ini_without_value_is_not_set() -> None:
    raw = b"[_config]\nactive_profile = a\neditor\n[a]\nclientid = C\nappownerpublickey\n"

    document = recognise(raw, name="it").document

    assert document == Document({"a": {"clientId": "C"}}, {"active_profile": "a"})


def test_base64_of_an_ini_is_read() -> None:
    plain = recognise(base64.b64encode(b"[a]\nclientid = C\n"), name="it")

    assert (plain.form, plain.document.profiles) == (Form.BASE64, {"a": {"clientId": "C"}})


HELD = json.dumps({"clientId": "CID", "appKey": "APP"})
HELD_64 = base64.b64encode(HELD.encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"KSM_CONFIG: {HELD_64}\n",
        f"$env:KSM_CONFIG = '{HELD_64}'\r\n",
        f"  export   KSM_CONFIG='{HELD_64}' # production\n",
        f"declare -x KSM_CONFIG={HELD_64}  # production\n",
        f"set -gx KSM_CONFIG '{HELD_64}'\n",
        f"setenv KSM_CONFIG {HELD_64}\n",
        f'setx KSM_CONFIG "{HELD_64}"\r\n',
        f"- KSM_CONFIG={HELD_64}\n",
        f"-e KSM_CONFIG={HELD_64}",
        f"`{HELD_64}`",
        f"{HELD}\0\0\n",
        json.dumps({"KSM_CONFIG": HELD_64}),
        json.dumps({"ksm_config": HELD}),
        json.dumps({"config": {"clientId": "CID", "appKey": "APP"}}),
    ],
)
def test_a_configuration_in_a_holder_of_one_value_is_taken(text: str) -> None:
    plain = recognise(text.encode(), name="it")

    assert plain.document.profiles[""] == {"clientId": "CID", "appKey": "APP"}


TOKEN = "US:" + "x" * 43


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (f"apiVersion: v1\nkind: Secret\ndata:\n  config: {HELD_64}\n", "manifest", "kubectl get"),
        (json.dumps({"apiVersion": "v1", "kind": "Secret", "data": {}}), "manifest", "kubectl get"),
        ("clientId: CID\nappKey: APP\n", "is YAML", "profile import"),
        ("clientid = CID\nappkey = APP\n", "without a .section", "_default"),
        (f"API_KEY=x\nKSM_CONFIG={HELD_64}\n", "other variables", "grep KSM_CONFIG="),
        (f"# mine\n{HELD}", "JSON with comments", "remove"),
        (f"// mine\n{HELD}", "JSON with comments", "remove"),
        (f"{TOKEN}\n", "one-time token", "ksm-storage init"),
        (f"KSM_TOKEN='{TOKEN}'\n", "one-time token", "ksm-storage init"),
        (base64.b64encode(bytes(range(60))).decode(), "cut off", "again"),
        (HELD.encode("utf-16").decode("latin-1"), "UTF-16", "UTF-8"),
        (HELD.encode("utf-32").decode("latin-1"), "UTF-32", "UTF-8"),
        (HELD.replace("CID", "\xe9"), "not UTF-8", "UTF-8"),
        ('{\n"clientId": "CID",\n"appKey": 5 5\n}', "line 3", "correct it at that place"),
        (f"[{HELD}]", "JSON array", "one object"),
        (f"{HELD[:-1]},}}", "not valid JSON", "comma"),
        (HELD.replace('"', "'"), "not valid JSON", "double quotes"),
        (f"{{\n// mine\n{HELD[1:]}", "not valid JSON", "comments"),
        (HELD[:-4], "not valid JSON", "cut off"),
        ('{"appKey": "APP", "appKey": "APP"}', "repeats a field", "keep one"),
        ('{"appKey": true}', "'appKey' whose value", "double quotes"),
        (f"{{\n<<<<<<< HEAD\n{HELD[1:]}", "merge conflicts", "git checkout"),
        ("age-encryption.org/v1\n-> X25519 CID\n", "with age", "age -d"),
        ("-----BEGIN AGE ENCRYPTED FILE-----\nAPP\n", "with age", "age -d"),
        ("$ANSIBLE_VAULT;1.1;AES256\n1234\n", "Ansible Vault", "ansible-vault view"),
        ("-----BEGIN PGP MESSAGE-----\n\nAPP\n", "OpenPGP", "gpg -d"),
        ("\x85\x01\x0c\x03APP", "OpenPGP", "gpg -d"),
        ("Salted__APP", "openssl enc", "openssl enc -d"),
        ("\0GITCRYPT\0APP", "git-crypt", "unlock"),
        ("[_default]\nclientid = ENC[AES256_GCM,data:CID]\n", "SOPS", "sops -d"),
        ('{"clientId": "ENC[AES256_GCM,data:CID]", "sops": {}}', "SOPS", "sops -d"),
        ("clientId: ENC[AES256_GCM,data:CID]\n", "SOPS", "sops -d"),
        ("\x1f\x8b\x08\0APP", "gzip", "gunzip"),
        ("BZh91AY&SYAPP", "bzip2", "bunzip2"),
        ("\xfd7zXZ\0APP", "xz", "xz -dc"),
        ("\x28\xb5\x2f\xfdAPP", "zstd", "zstd -dc"),
        ("PK\x03\x04APP", "ZIP archive", "unzip -p"),
        ("-----BEGIN PRIVATE KEY-----\nAPP\n", "PEM", "the path of"),
        ("version https://git-lfs.github.com/spec/v1\n", "LFS pointer", "git lfs pull"),
        ("\n<!DOCTYPE html><title>403</title>", "HTML page", "again"),
        ("<?xml version='1.0'?><Error/>", "is XML", "again"),
        (f"HTTP/1.1 200 OK\r\n\r\n{HELD}", "HTTP response", "body"),
        (f"data:application/json;base64,{HELD_64}", "data URL", "comma"),
        (json.dumps({"SecretString": HELD}), "AWS Secrets Manager", "--query SecretString"),
        (json.dumps({"Parameter": {"Value": HELD}}), "AWS Systems", "aws ssm get-parameter"),
        (json.dumps({"payload": {"data": HELD_64}}), "Google Secret", "gcloud secrets"),
        (json.dumps({"value": HELD, "attributes": {}}), "Azure Key Vault", "az keyvault"),
        (json.dumps({"request_id": "1", "data": {}}), "of Vault", "vault kv get"),
        (json.dumps({"data": {"content": HELD_64}}), "a secret store", "profile import"),
        ("\x07" * 20 + "CID", "not text: a file of Keeper's AWS", "--from-key"),
    ],
)
def test_what_is_not_taken_names_its_cure_and_shows_nothing(
    text: str, message: str, hint: str
) -> None:
    with pytest.raises(StorageError, match=message) as caught:
        recognise(text.encode("latin-1"), name="it")

    assert hint in str(caught.value.hint)
    for secret in ("CID", "APP", HELD_64[:20], TOKEN):
        assert secret not in f"{caught.value} {caught.value.hint}"
