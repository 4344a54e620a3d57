"""A configuration where a path, or a list of them, is expected is not shown in any message."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.cli.command import key_file, run

CANARY = "CANARY" * 60
CONFIG = {"clientId": CANARY, "privateKey": CANARY, "appKey": CANARY}
PLAIN = {
    "json": json.dumps(CONFIG),
    "indented": json.dumps(CONFIG, indent=2),
    "base64": base64.b64encode(json.dumps(CONFIG).encode()).decode(),
    "ini": f"[_default]\nclientid = {CANARY}\nprivatekey = {CANARY}\n",
}


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("form", ["json", "base64"])
@pytest.mark.parametrize(
    "command",
    [
        ["get", "PATH", "hostname"],
        ["inspect", "PATH"],
        ["check", "PATH"],
        ["protect", "PATH", "--key", "KEY"],
        ["init", "PATH", "--key", "KEY"],
        ["doctor", "PATH"],
    ],
    ids=lambda command: command[0],
)
def test_as_a_path(tmp_path: Path, command: list[str], form: str) -> None:
    given = {"PATH": PLAIN[form], "KEY": key_file(tmp_path)}

    done = run(*(given.get(word, word) for word in command), stdin="US:" + "A" * 43)

    assert done.returncode == 7
    assert done.stderr.startswith("error: the path is a configuration or a token (not shown)")
    assert PLAIN[form][20:40] not in done.stderr + done.stdout
    assert [path.name for path in tmp_path.iterdir() if path.name != "app.key"] == []


TOKEN = base64.urlsafe_b64encode(bytes(range(7, 39))).decode().rstrip("=")
PIECES = {
    "wrapped lines": base64.encodebytes(PLAIN["json"].encode()).decode().split(),
    "cut off": [PLAIN["base64"][:-37]],
    "quoted": [f"'{PLAIN['base64']}'"],
    "a variable": [f"KSM_CONFIG={PLAIN['base64']}"],
    "twice encoded": [base64.b64encode(PLAIN["base64"].encode()).decode()],
    "a token": [f"EU:{TOKEN}"],
    "a bare token": [TOKEN],
}


@pytest.mark.parametrize("kind", PIECES)
@pytest.mark.parametrize(
    "command",
    [
        ["check", "..."],
        ["status", "..."],
        ["doctor", "..."],
        ["scan", "..."],
        ["protect", "...", "--key", "KEY"],
        ["rewrap", "...", "--add-key", "KEY"],
        ["inspect", "..."],
        ["get", "...", "hostname"],
        ["set", "c.json", "privateKey", "..."],
        ["exec", "...", "--", "true"],
        ["check", "--from-file", "..."],
        ["status", "c.json", "--check", "..."],
        ["check", "c.json", "--parallel", "..."],
        ["secret", "..."],
        ["..."],
    ],
    ids=" ".join,
)
def test_a_secret_in_the_place_of_an_argument_is_not_repeated(
    tmp_path: Path, command: list[str], kind: str
) -> None:
    (tmp_path / "c.json").write_text("{}")
    given = {"...": PIECES[kind], "KEY": [key_file(tmp_path)]}

    done = run(*(word for each in command for word in given.get(each, [each])), stdin="")

    assert done.returncode != 0
    shown = done.stderr + done.stdout
    assert not any(
        piece[start : start + 12] in shown for piece in PIECES[kind] for start in (0, 20)
    )


@pytest.mark.parametrize("form", PLAIN)
def test_as_a_list(tmp_path: Path, form: str) -> None:
    (tmp_path / "list").write_text("\n" + PLAIN[form])

    done = run("protect", "--from-file", "list", "--key", key_file(tmp_path))

    assert done.returncode == 7
    assert done.stderr.startswith("error: the list of paths is a configuration\n")
    assert PLAIN[form][20:40] not in done.stderr + done.stdout


@pytest.mark.parametrize("name", ["{x}.json", "[x].json", "{" * 300])
def test_a_path_that_looks_a_little_like_one_is_a_path(tmp_path: Path, name: str) -> None:
    done = run("check", name)

    assert done.returncode == 7
    assert "configuration itself" not in done.stderr


def test_a_file_in_a_list_may_begin_like_one(tmp_path: Path) -> None:
    (tmp_path / "{x}.json").write_text("x")

    done = run("check", "--from-file", "-", stdin="{x}.json\n")

    assert done.returncode == 6
