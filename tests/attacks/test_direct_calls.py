"""A plugin that signs its call itself leaves nothing of the credentials behind."""

from __future__ import annotations

import json
import logging
import traceback
from pathlib import Path

import pytest

from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.errors import KsmStorageError
from ksm_storage.keys.kek import Kek
from ksm_storage.plugin import Aad, WrappedDek
from ksm_storage.testing.scripted_server import Answer, Request, ScriptedServer
from tests.attacks.claims import the_attacker

pytest.importorskip("ksm_storage_aws_kms")

KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIACANARYCANARYKEY1",
    "AWS_SECRET_ACCESS_KEY": "canary/secret+access/key/of/forty/chars1",
    "AWS_SESSION_TOKEN": "canary-session-token-" + "x" * 80,
}
ANSWERS = {
    "refused": Answer(400, b'{"__type": "AccessDeniedException", "message": "canary"}'),
    "fails": Answer(500, b"{}"),
    "no JSON": Answer(200, b"<html>proxy</html>"),
    "another key": Answer(200, json.dumps({"KeyId": "other", "Plaintext": "AAAA"}).encode()),
    "no DEK": Answer(200, json.dumps({"KeyId": KEY, "Plaintext": "AAAA"}).encode()),
}


@the_attacker("reads what a direct call to a key service leaves behind")
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_credentials_of_a_direct_call_are_in_no_log_traceback_or_file(
    answer: Answer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    sent: list[str] = []

    def read(request: Request) -> str:
        sent.append(request.headers.get("authorization", ""))
        return sent[-1]

    with ScriptedServer(answer, read=read) as server, caplog.at_level(1):
        settings = {"endpoint": server.url, "deadline": 2}
        kek = Kek.open(KeyUri("aws-kms", KEY), {"aws-kms": settings})
        with pytest.raises(KsmStorageError) as caught:
            kek.unwrap(WrappedDek(KEY, "SYMMETRIC_DEFAULT", b"c" * 150), aad=Aad({"a": "b"}))
        logging.getLogger(__name__).debug("%r", kek)

    said = capfd.readouterr()
    left = [file.read_text() for file in tmp_path.rglob("*") if file.is_file()]
    shown = "\n".join(
        [
            *traceback.format_exception(caught.value),
            repr(caught.value.as_dict()),
            caplog.text,
            said.out + said.err,
            *left,
        ]
    )
    # It was asked, and by a request that these credentials signed.
    assert CREDENTIALS["AWS_ACCESS_KEY_ID"] in sent[0]
    assert [name for name, value in CREDENTIALS.items() if value in shown] == []
