"""What ``--json`` prints follows the published schemas, and nothing else reaches stderr."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.cli.pages import all_commands
from ksm_storage.keys.setting_sources import parse_toml
from tests.cli.command import key_file

Schema = dict[str, Any]
CONFIG = '{"clientId": "CID", "appKey": "APP", "hostname": "keepersecurity.eu"}'


def schema(name: str) -> Schema:
    found: Schema = json.loads(
        files("ksm_storage.cli").joinpath("schemas", f"{name}.schema.json").read_text("utf-8")
    )
    return found


OUTPUT = schema("output")
COMMANDS: Schema = OUTPUT["definitions"]["commands"]


def validator(pointer: str) -> Callable[[object], object]:
    check: Callable[[object], object] = fastjsonschema.compile(
        {**OUTPUT, "$ref": f"#/definitions/{pointer}"}
    )
    return check


def leaves() -> Iterator[tuple[str, set[str]]]:
    for context in all_commands():
        if not hasattr(context.command, "commands"):
            words = context.command_path.partition(" ")[2]
            yield words, {name for each in context.command.params for name in each.opts}


def test_every_command_has_json_and_a_schema() -> None:
    found = dict(leaves())

    assert [words for words, options in found.items() if "--json" not in options] == []
    assert sorted(found) == sorted(COMMANDS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("c.json", "plain.json"):
        Path(name).write_text(CONFIG)
    Path("template").write_text("no reference")
    Path("value").write_text("keepersecurity.com")
    Path("policy.toml").write_text("[[trust]]\nstatus = { minimum_recipients = 2 }\n")
    ksm_storage.protect("c.json", [key_file(tmp_path)])
    return tmp_path


@pytest.mark.parametrize(
    ("words", "arguments", "code"),
    [
        ("accept", "c.json", 0),
        ("check", "c.json missing.json", 7),
        ("check", "c.json --dry-run", 0),
        ("completion", "bash", 0),
        ("delete", "c.json hostname", 0),
        ("doctor", "c.json missing.json", 7),
        ("export", "c.json --reveal", 0),
        ("export", "c.json --output new.json", 0),
        ("get", "c.json hostname", 0),
        ("inspect", "c.json", 0),
        ("inject", "c.json template", 0),
        ("inject", "c.json template --output out", 0),
        ("keygen", "new.key", 0),
        ("profile add", "c.json stage plain.json", 0),
        ("profile delete", "c.json nobody", 2),
        ("profile import", "new.json plain.json --key KEY", 0),
        ("profile list", "c.json", 0),
        ("profile show", "c.json", 0),
        ("profile export", "c.json --reveal", 0),
        ("protect", "c.json plain.json --key KEY", 0),
        ("protect", "plain.json --key KEY --dry-run", 0),
        ("providers", "", 0),
        ("recovery create", "office --reveal", 0),
        ("recovery create", "office --reveal --shares 2/3", 0),
        ("recovery test", "c.json missing.json --words-file value", 2),
        ("rekey", "c.json", 0),
        ("rekey", "c.json --dry-run", 0),
        ("rewrap", "c.json --add-key KEY", 0),
        ("rewrap", "c.json --refresh", 0),
        ("rewrap", "c.json --refresh --dry-run", 0),
        ("scan", "plain.json", 6),
        ("schema", "settings", 0),
        ("set", "c.json hostname --value-file value", 0),
        ("status", "c.json missing.json", 7),
        ("status", "c.json --check policy.toml", 6),
        ("status", "c.json --would-lose KEY", 6),
    ],
)
def test_what_a_command_prints_is_what_its_schema_says(
    words: str, arguments: str, code: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [key_file(folder) if word == "KEY" else word for word in arguments.split()]

    ended = main([*words.split(), *given, "--json"])

    printed, said = capsys.readouterr()
    assert ended == code, said
    if printed:
        validator(f"commands/{words}")(json.loads(printed))
    for line in said.splitlines():
        told = json.loads(line)
        validator("kinds/error" if "error" in told else "kinds/message")(told)
    assert printed or code == 2


def test_quiet_leaves_out_what_is_no_data_and_no_error(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rewrap", "c.json", "missing.json", "--add-key", key_file(folder), "-q"]) == 7

    hint = "check the path; a relative one starts at the working directory"
    said = f"error: 'missing.json' does not exist\nhint: {hint}\n"
    assert capsys.readouterr() == ("", said)


def test_files_with_one_cause_are_told_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"missing-{number:03}.json" for number in range(200)]

    assert main(["check", *names]) == 7

    said = capsys.readouterr().err.splitlines()
    assert said[0] == "error: 'missing-000.json' does not exist"
    assert said[1].startswith("hint: check the path")
    assert said[2].startswith("error: 199 more files failed like missing-000.json (StorageError): ")
    assert len(said) == 5


@pytest.mark.parametrize(
    "arguments",
    [
        "rekey c.json --context env=other",
        "rekey c.json --new-key key-file:///no/such.key",
        "rekey c.json --remove-key KEY",
        "rewrap c.json --add-key key-file:///no/such.key",
        "rewrap c.json --remove-key KEY",
        "rewrap c.json --refresh --trust key-file:///no/such.key",
        "protect plain.json --key key-file:///no/such.key",
        "protect c.json --key KEY --context env=other",
    ],
)
def test_a_dry_run_fails_as_the_run_does(
    arguments: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [key_file(folder) if word == "KEY" else word for word in arguments.split()]
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    rehearsed, told = main([*given, "--dry-run"]), capsys.readouterr().err
    unchanged = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    done, said = main(given), capsys.readouterr().err

    assert (rehearsed, told) == (done, said)
    assert rehearsed != 0
    assert unchanged == before


@pytest.mark.parametrize(
    ("name", "text", "is_valid"),
    [
        ("policy", '[[trust]]\nkeys = ["key-file:///k"]\nstatus.maximum_mode = "0600"', True),
        ("policy", "[[trust]]\nstatus.maximum_mod = 1", False),
        ("policy", "[audit]", False),
        ("policy", "", False),
        ("settings", '[aws-kms]\nregion = "eu-west-1"\n["aws-kms://alias/a"]\nretry = 1', True),
        ("settings", '[audit]\nfile = "/a"\nsinks = ["b"]', True),
        ("settings", '[[trust]]\npath = "/etc/*"\nkeys = ["key-file:///k"]', True),
        ("settings", '[cache]\nseconds = 5\nkeyring = "user"\nkeys.aws-kms = 0', True),
        ("settings", '[cache]\nkeyring = "thread"', False),
        ("settings", "[cache]\nseconds = 86401", False),
        ("settings", '[[trust]]\npaths = "/etc/*"', False),
        ("settings", '[audit]\nfiles = "/a"', False),
    ],
)
def test_the_schemas_of_files_take_what_the_program_takes(
    name: str, text: str, is_valid: bool
) -> None:
    check = fastjsonschema.compile(schema(name))
    content = parse_toml(text.encode(), name="it")

    if is_valid:
        check(content)
    else:
        with pytest.raises(fastjsonschema.JsonSchemaException):
            check(content)


# A settings or policy file in a page: a block, or a file that a shell writes.
_TOML = re.compile(r"^(?:```toml|\$ cat > \w+\.toml <<TOML)\n(.*?)^(?:```|TOML)$", re.M | re.S)
_FIRST_LINE = re.compile(r"#:schema \./(settings|policy)\.schema\.json\n")
PAGES = sorted(
    page
    for page in Path(__file__).parents[2].glob("docs/**/*.md")
    if "[project]" not in page.read_text(encoding="utf-8")
    and _TOML.search(page.read_text(encoding="utf-8"))
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_settings_or_policy_file_in_the_docs_names_its_schema_and_follows_it(page: Path) -> None:
    for text in _TOML.findall(page.read_text(encoding="utf-8")):
        named = _FIRST_LINE.match(text)

        assert named is not None, text
        fastjsonschema.compile(schema(named[1]))(parse_toml(text.encode(), name=page.name))


# A command of its own process, in which a key service does what the body says.
HELD = textwrap.dedent(
    """
    import os, sys, threading
    import ksm_storage.cli.check as command
    import ksm_storage.cli.process as process
    from ksm_storage.cli.main import main

    process.SAID_AFTER_SECONDS = 0.05
    real = command._checked

    def held(*arguments):
        {body}
        return real(*arguments)

    command._checked = held
    sys.exit(main())
    """
)


def held(body: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HELD.format(body=body), "check", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


pytestmark = pytest.mark.skipif(os.name != "posix", reason="watches signals and descriptors")

FOREVER = "threading.Event().wait()"


def test_what_a_library_writes_to_stderr_is_wrapped(folder: Path) -> None:
    child = held(r"os.write(2, b'E1129 grpc: told\n')", "c.json", "--json")

    printed, said = child.communicate(timeout=30)

    assert json.loads(printed)[0]["status"] == "done"
    told = [json.loads(line) for line in said.splitlines()]
    assert {"level": "info", "message": "E1129 grpc: told"} in told


def test_the_timeout_ends_the_command_whatever_hangs(folder: Path) -> None:
    child = held(FOREVER, "c.json", "c.json", "--timeout", "0.5", "--json")

    printed, _ = child.communicate(timeout=30)

    found = json.loads(printed)
    assert child.returncode == 5
    assert [each["error"]["error"] for each in found] == ["UnavailableError"] * 2
    assert "--timeout" in found[0]["error"]["message"]


HANGING = """
import importlib, sys, threading
from ksm_storage.cli.main import main

module, _, name = sys.argv.pop(1).partition(":")
setattr(importlib.import_module(f"ksm_storage.cli.{module}"), name, lambda *_, **__: FOREVER)
sys.exit(main())
""".replace("FOREVER", FOREVER)


@pytest.mark.parametrize(
    ("called", "command"),
    [
        ("protect:protect_file", ["protect", "plain.json", "--key", "key-file:///k"]),
        ("status:examine", ["status", "c.json"]),
        ("status:examine", ["status", "c.json", "c.json"]),
    ],
)
def test_the_timeout_ends_each_command_of_many_files(
    folder: Path, called: str, command: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGING, called, *command, "--timeout", "0.3"],
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert done.returncode == 5
    assert "did not finish within the 0.3 s of --timeout" in done.stderr


BLOCKED = """
import sys
import ksm_storage.cli.process as process
from ksm_storage.cli.main import main
from ksm_storage.cli.sealed_file import SealedFile

process._DRAIN_SECONDS = 0.05
SealedFile.open = lambda _: sys.stderr.write("x" * 1_000_000)
sys.exit(main())
"""


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_timeout_ends_a_command_whose_messages_nobody_reads(
    folder: Path, options: list[str]
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", BLOCKED, "get", "c.json", "hostname", "--timeout", "0.3", *options],
        stderr=subprocess.PIPE,
    )

    assert child.stderr is not None
    with child.stderr:
        assert child.wait(timeout=10) == 5


def test_a_wait_is_told_and_the_second_interrupt_leaves_at_once(folder: Path) -> None:
    child = held(FOREVER, "c.json", "c.json")
    assert child.stderr is not None
    assert child.stderr.readline().startswith("note: waiting for the key service")

    child.send_signal(signal.SIGINT)
    assert "finishing" in child.stderr.readline()
    began = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)

    assert child.returncode == 130
    assert "stopped at once" in said
    assert "hint: run the same command again for the remaining files" in said
    assert time.monotonic() - began < 5


# Python drops an interrupt that comes while it cleans up after an import: it is sent when the
# command has come to what does not answer.
SILENT = """
import os, sys, time
import ksm_storage.cli.process as process
from ksm_storage.cli.main import main
from ksm_storage.doctor import examination
from ksm_storage.keys.kek import Kek

def silent(*_, **__):
    os.write(1, b"asked\\n")
    time.sleep(60)

process.SAID_AFTER_SECONDS = 0.01
Kek.unwrap = Kek.wrap = examination.describe_key = silent
sys.exit(main())
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "c.json", "--reveal"],
        ["accept", "c.json"],
        ["profile", "list", "c.json"],
        ["profile", "show", "c.json"],
        ["profile", "use", "c.json", "a"],
        ["profile", "delete", "c.json", "a"],
        ["profile", "add", "c.json", "a", "plain.json"],
        ["init", "c.json"],
        ["doctor", "c.json"],
    ],
    ids=" ".join,
)
def test_each_command_that_opens_a_file_says_what_it_waits_for_and_ends_at_an_interrupt(
    folder: Path, arguments: list[str]
) -> None:
    Path("plain.json").write_text('{"clientId": "C"}')
    child = subprocess.Popen(
        [sys.executable, "-c", SILENT, *arguments],
        env={**os.environ, "KSM_TOKEN": f"KSM_TOKEN='US:{'x' * 43}'"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.readline() == "asked\n"
    assert child.stderr.readline().startswith("note: waiting for ")

    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=10)

    assert (child.returncode, said.strip().splitlines()[0]) == (
        130,
        "error: interrupted",
    )


def test_the_second_interrupt_is_told_in_json_for_a_file_whose_name_is_no_text(
    folder: Path,
) -> None:
    name = os.fsdecode(b"c'\n\xff.json")
    Path("c.json").rename(name)
    child = held(FOREVER, name, name, "--json")
    assert child.stderr is not None
    waits = json.loads(child.stderr.readline())

    child.send_signal(signal.SIGINT)
    first = json.loads(child.stderr.readline())
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)

    validator("kinds/message")(waits)
    validator("kinds/message")(first)
    told = json.loads(said)
    validator("kinds/error")(told)
    assert (told["error"], told["exit_code"], child.returncode) == ("Interrupted", 130, 130)
    assert "discard it; run the same command again for the remaining files" in told["hint"]
