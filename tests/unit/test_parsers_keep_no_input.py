"""No exception of a parser keeps what was parsed, anywhere along its chain of causes."""

from __future__ import annotations

import base64
import codecs
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ksm_storage.config.document import read_object, read_payload
from ksm_storage.config.ini_form import parse_ini
from ksm_storage.config.recognise import recognise
from ksm_storage.engine.keeper_file import KeeperFile
from ksm_storage.engine.record_content import parse_content
from ksm_storage.engine.storage import InMemoryKeyValueStorage
from ksm_storage.keys.setting_sources import parse_toml
from ksm_storage.plugin_kit.http_api import exchange_json
from ksm_storage.providers.recovery_secret import open_recovery_file, secret_of
from ksm_storage.serving.requests import parse_payload
from ksm_storage.status.policy import read_policy
from ksm_storage.storage.sources import envelope_from_environment
from ksm_storage.wire import json_objects
from ksm_storage.wire.aes import gcm_seal
from ksm_storage.wire.base64_forms import from_base64, to_base64

CANARY = "c4naryS3cretValue"
VALUE = CANARY.encode()

BROKEN: dict[str, bytes] = {
    "JSON that is cut off": b'{"privateKey": "' + VALUE,
    "JSON with text behind it": b'{"privateKey": "' + VALUE + b'"} x',
    "JSON with a comma too many": b'{"privateKey": "' + VALUE + b'",}',
    "JSON that is no UTF-8": b'{"privateKey": "' + VALUE + b'\xff"}',
    "JSON nested deeply": b'{"privateKey": "' + VALUE + b'", "a": ' + b"[" * 100_000,
    "an array": b'["' + VALUE + b'"]',
    "a string": b'"' + VALUE + b'"',
    "TOML that is cut off": b'[recovery]\nwords = "' + VALUE,
    "an INI with a line that is none": b"[a]\nprivatekey = " + VALUE + b"\n[" + VALUE + b"\n",
    "an INI that is no UTF-8": b"[a]\nprivatekey = " + VALUE + b"\xff\n",
    "base64 of JSON that is cut off": base64.b64encode(b'{"privateKey": "' + VALUE),
    "base64 that is cut off": base64.b64encode(b'{"privateKey": "' + VALUE * 3)[:-3],
    "UTF-16": codecs.BOM_UTF16_LE + CANARY.encode("utf-16-le"),
}


def from_policy_file(raw: bytes, folder: Path) -> object:
    path = folder / "policy.toml"
    path.write_bytes(raw)
    return read_policy(str(path))


def from_variable(raw: bytes, _folder: Path) -> object:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("KSM_STORAGE_CONFIG", raw.replace(b"\0", b"").decode("utf-8", "replace"))
        return envelope_from_environment()


def from_file_of_a_record(raw: bytes, _folder: Path) -> object:
    key, file_key = bytes(32), bytes(range(32))
    sealed = {
        "fileUid": "U",
        "fileKey": to_base64(gcm_seal(key, file_key)),
        "data": to_base64(gcm_seal(file_key, raw)),
    }
    return KeeperFile(sealed, key, download=_no_download).meta_dict


async def _no_download(_url: str, _most: int, _name: str | None) -> bytes:
    return b""


def from_reply(raw: bytes, _folder: Path) -> object:
    class Service:
        def send(self, *_: object, **__: object) -> object:
            return SimpleNamespace(status=200, body=raw, headers={})

    return exchange_json(Service(), "POST", "/", {})  # type: ignore[arg-type]  # all that is used


def from_state_of_the_relay(raw: bytes, _folder: Path) -> object:
    return pytest.importorskip("ksm_storage.relay.state")._identity_from(raw)


def from_client_of_the_relay(raw: bytes, _folder: Path) -> object:
    client = pytest.importorskip("ksm_storage.relay.grant").Client
    return client.parse(raw, last_used_at=None)


def from_reply_of_vault(raw: bytes, _folder: Path) -> object:
    return pytest.importorskip("ksm_storage_vault_transit.transport")._document(200, raw)


def from_keyring_of_the_local_vault(raw: bytes, _folder: Path) -> object:
    keyring = pytest.importorskip("ksm_storage_local_vault.owner.session").OwnerKeyring
    return keyring.parse(raw, vault_id="V")


def from_input_of_the_local_vault(raw: bytes, _folder: Path) -> object:
    return pytest.importorskip("ksm_storage_local_vault.commands.options").read_json(raw)


PARSERS: dict[str, Callable[[bytes, Path], object]] = {
    "a configuration": lambda raw, _: recognise(raw, name="it"),
    "a payload": lambda raw, _: read_payload(raw),
    "an INI": lambda raw, _: parse_ini(raw),
    "a JSON object": lambda raw, _: read_object(raw),
    "an object of the wire": lambda raw, _: json_objects.parse_object(raw),
    "base64 of the wire": lambda raw, _: from_base64(raw.decode("latin-1")),
    "KSM_CONFIG": lambda raw, _: InMemoryKeyValueStorage(raw.decode("utf-8", "surrogateescape")),
    "a record": lambda raw, _: parse_content(raw, uid="U"),
    "a file of a record": from_file_of_a_record,
    "a request": lambda raw, _: parse_payload(raw),
    "a settings file": lambda raw, _: parse_toml(raw, name="it"),
    "a policy": from_policy_file,
    "KSM_STORAGE_CONFIG": from_variable,
    "a reply to a direct call": from_reply,
    "a reply of Vault": from_reply_of_vault,
    "the state of the relay": from_state_of_the_relay,
    "a client of the relay": from_client_of_the_relay,
    "the keyring of the local vault": from_keyring_of_the_local_vault,
    "the input of the local vault": from_input_of_the_local_vault,
    "recovery words": lambda raw, _: secret_of(raw.decode("latin-1")),
    "a recovery file": lambda raw, _: open_recovery_file(raw.decode("latin-1"), "p" * 12),
}


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("kind", BROKEN)
def test_what_a_parser_raises_keeps_nothing_of_its_input(
    parser: str, kind: str, tmp_path: Path
) -> None:
    try:
        PARSERS[parser](BROKEN[kind], tmp_path)
    except Exception as exc:
        caught = exc
    else:
        pytest.skip("this parser reads it")

    for linked in chain(caught):
        kept = f"{linked!r} {linked.args!r} {vars(linked)!r}"
        for name in ("doc", "object", "text", "line", "obj", "name", "filename"):
            kept += repr(getattr(linked, name, None))
        shown = "".join(traceback.format_exception_only(linked)) + kept

        assert CANARY not in shown
        assert base64.b64encode(VALUE * 3).decode()[:16] not in shown
        assert base64.b64encode(b'{"privateKey": "').decode() not in shown


def chain(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [exc]
    while waiting:
        linked = waiting.pop()
        if linked is not None and id(linked) not in seen:
            seen.add(id(linked))
            waiting += [linked.__cause__, linked.__context__]
            yield linked
