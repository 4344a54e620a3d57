"""``run``, ``inject`` and ``exec``: what a program gets, and what it does not."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from ksm_storage_local_vault.owner.access import create_application
from ksm_storage_local_vault.owner.records import add_file, add_records
from ksm_storage_local_vault.testing import APP_NAME, LocalVault, running_vault

import ksm_storage
from ksm_storage.cli.dotenv import read_dotenv
from ksm_storage.cli.masking import Masker
from ksm_storage.cli.references import _BARE, Reference
from ksm_storage.cli.run import _CREDENTIALS, _environment
from ksm_storage.cli.sealed_file import SealedFile
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.envelope.codec import decode, encode
from ksm_storage.envelope.model import Recipient
from tests.cli.command import COMMAND, key_file, run
from tests.cli.sealed_device import bind_device

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the process is replaced")

PASSWORD = "PASSWORD-1"
PEM = "-----BEGIN KEY-----\nfirst line of it\nsecond line of it\n-----END KEY-----"
BINARY = bytes(range(256)) * 40
UID = "AAAAAAAAAAAAAAAAAAAAAA"
RECORD = {
    "title": "main database",
    "type": "login",
    "uid": UID,
    "fields": [
        {"type": "login", "value": ["app"]},
        {"type": "password", "value": [PASSWORD]},
        {"type": "url", "value": []},
    ],
    "custom": [
        {"type": "text", "label": "two words", "value": ["Zwei Wörter"]},
        {"type": "multiline", "label": "pem", "value": [PEM]},
        {"type": "name", "label": "owner", "value": [{"first": "Ada"}]},
    ],
}
PRINT_ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    with running_vault(tmp_path_factory.mktemp("vault")) as running:
        with running.owner() as owner:
            create_application(owner, APP_NAME)
            add_records(owner, [RECORD], app=APP_NAME)
            for name, content in (("all.bin", BINARY), ("note.txt", b"a note")):
                add_file(owner, content, app=APP_NAME, record_uid=UID, name=name)
        yield running


@pytest.fixture(scope="module")
def sealed(vault: LocalVault, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bind_device(vault, tmp_path_factory.mktemp("device"))


@pytest.fixture(autouse=True)
def ca(vault: LocalVault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", vault.ca_file)
    monkeypatch.chdir(tmp_path)


def environment_of(*arguments: str) -> dict[str, str]:
    """Return the environment of a program that was run with these arguments."""
    done = run(*arguments, "--", sys.executable, "-c", PRINT_ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        (f"keeper://{UID}/field/password", PASSWORD),
        ("keeper://main database/field/password", PASSWORD),
        ("keeper://main database/custom_field/two words", "Zwei Wörter"),
        (f"keeper://{UID}/custom_field/owner[0][first]", "Ada"),
        (f"keeper://{UID}/custom_field/owner", '{"first": "Ada"}'),
        (f"keeper://{UID}/title", "main database"),
        (f"keeper://{UID}/file/note.txt", "a note"),
        (f"keeper://{UID}/field/url:-https://localhost:1", "https://localhost:1"),
        (f"keeper://{UID}/field/nothing:-", ""),
        ("keeper://no such record/field/password:-two words", "two words"),
        (f"keeper://{UID}/field/password|base64", base64.b64encode(PASSWORD.encode()).decode()),
        (f"keeper://{UID}/field/password|lower|sha256", hashlib.sha256(b"password-1").hexdigest()),
        (f"keeper://{UID}/field/nothing:-a b|upper|urlencode", "A%20B"),
    ],
)
def test_a_program_gets_the_value_of_a_reference(sealed: Path, reference: str, value: str) -> None:
    assert environment_of("run", str(sealed), "--env", f"VALUE={reference}")["VALUE"] == value


def test_a_program_gets_neither_the_configuration_nor_a_credential(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {
        "KSM_CONFIG": "CANARY",
        "KSM_CONFIG_BASE64_1": "CANARY",
        "KSM_CONFIG_FILE": str(sealed),
        "KSM_STORAGE_PKCS11_PIN": "CANARY",
        "KSM_STORAGE_AZURE_KV_CLIENT_SECRET": "CANARY",
        "KSM_STORAGE_RECOVERY_WORDS": "CANARY",
        "KSM_TOKEN": "CANARY",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    config = ksm_storage.open_storage(sealed).read_storage()

    got = environment_of("run", "--env", f"P=keeper://{UID}/field/password")

    assert not secrets.keys() & got.keys()
    assert got["P"] == PASSWORD
    text = json.dumps(got)
    assert not [name for name in ("privateKey", "appKey", "clientId") if config[name] in text]


def test_exec_hands_on_no_credential_of_a_key(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_PKCS11_PIN", "CANARY")
    monkeypatch.setenv("KSM_CONFIG_FILE", str(sealed))

    got = environment_of("exec", str(sealed))

    assert "CANARY" not in got.values()
    assert [name for name in got if name.startswith("KSM_")] == ["KSM_CONFIG"]


def test_the_credentials_of_another_key_service_are_the_programs(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the program")

    assert environment_of("exec", str(sealed))["AWS_SECRET_ACCESS_KEY"] == "of the program"


def test_the_credentials_of_the_files_key_service_stay_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ksm_storage_aws_kms")
    path = tmp_path / "c.json"
    path.write_text('{"appKey": "APP"}')
    key = "aws-kms://arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    ksm_storage.protect(path, [key_file(tmp_path)])
    ours = decode(path.read_bytes())
    recipient = Recipient(KeyUri.parse(key), "SYMMETRIC_DEFAULT", b"x")
    header = ours.header._replace(recipients=(*ours.header.recipients, recipient))
    path.write_bytes(encode(ours._replace(header=header)))
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_CLIENT_SECRET"):
        monkeypatch.setenv(name, "CANARY")
    file = SealedFile(str(path), None, (), {}, None, None)

    passed = _environment(file, ["AWS_SESSION_TOKEN"])

    assert sorted(name for name, value in passed.items() if value == "CANARY") == [
        "AWS_SESSION_TOKEN",
        "AZURE_CLIENT_SECRET",
    ]


# Of each SDK, the files that read credentials, and the names of variables that hold none.
READ_BY_SDKS = {
    "aws-kms": (
        ("botocore/credentials.py", "botocore/configprovider.py", "botocore/utils.py"),
        {
            "AWS_CREDENTIAL_EXPIRATION",
            # Codes of what is used, in its user agent.
            "CREDENTIALS_ENV_VARS_STS_WEB_ID_TOKEN",
            "CREDENTIALS_PROFILE_STS_WEB_ID_TOKEN",
            "USER_CREDENTIALS_CHANGED",
        },
    ),
    "azure-kv": (
        ("azure/identity/_constants.py", "azure/identity/_credentials/*.py"),
        {"AZURE_TOKEN_CREDENTIALS", "AZURE_KUBERNETES_TOKEN_PROXY"},
    ),
    "gcp-kms": (
        ("google/auth/environment_vars.py",),
        {
            "GOOGLE_API_ENABLE_RUNTIME_BOUND_TOKEN",
            "GOOGLE_API_PREVENT_AGENT_TOKEN_SHARING_FOR_GCP_SERVICES",
        },
    ),
    "oracle-kv": (("oci/auth/signers/*.py", "oci/config.py"), set[str]()),
}
HOLDS_A_CREDENTIAL = re.compile(
    r"""["']([A-Z][A-Z0-9]+_[A-Z0-9_]*(?:KEY|SECRET|TOKEN|PASSWORD|PASSPHRASE|CREDENTIAL|PEM|RPST"""
    r"""|IDENTITY_HEADER)[A-Z0-9_]*)["']"""
)


@pytest.mark.parametrize("provider", READ_BY_SDKS)
def test_every_variable_in_which_an_sdk_reads_a_credential_stays_here(provider: str) -> None:
    patterns, others = READ_BY_SDKS[provider]
    packages = Path(sysconfig.get_path("purelib"))
    files = [file for pattern in patterns for file in packages.glob(pattern)]
    if not files:
        pytest.skip("the SDK is not installed")

    read = {name for file in files for name in HOLDS_A_CREDENTIAL.findall(file.read_text())}
    # Addresses of services, and what is an endpoint or a public name.
    read -= {name for name in read if "ENDPOINT" in name or "PUBLIC" in name}

    assert read
    assert read - others <= set(_CREDENTIALS[provider])


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("base64", base64.b64encode(BINARY).decode()),
        ("sha256|upper", hashlib.sha256(BINARY).hexdigest().upper()),
    ],
)
def test_a_file_that_is_not_text_is_encoded(sealed: Path, form: str, value: str) -> None:
    got = environment_of("run", str(sealed), "--env", f"E=keeper://{UID}/file/all.bin|{form}")

    assert got["E"] == value


def test_a_variable_is_kept_on_request(sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSM_STORAGE_SETTINGS", "/dev/null")

    got = environment_of("exec", str(sealed), "--keep", "KSM_STORAGE_SETTINGS")

    assert got["KSM_STORAGE_SETTINGS"] == "/dev/null"


def test_variables_come_from_dotenv_files_and_with_inherit_from_the_environment(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INHERITED", f"keeper://{UID}/field/login")
    Path(".env").write_text(
        f"# a comment\nexport A=keeper://{UID}/field/password\n"
        f'B="postgres://app:{{{{ keeper://{UID}/field/password }}}}@db/x" # behind\n'
        "C='plain # value'\nD=\n\n"
    )

    got = environment_of("run", str(sealed), "--env-file", ".env", "--inherit")
    without = environment_of("run", str(sealed), "--env-file", ".env")

    assert got["A"] == PASSWORD
    assert got["B"] == f"postgres://app:{PASSWORD}@db/x"
    assert (got["C"], got["D"]) == ("plain # value", "")
    assert got["INHERITED"] == "app"
    assert without["INHERITED"].startswith("keeper://")


@pytest.mark.parametrize(
    ("content", "variables"),
    [
        ("\ufeffA=1\r\nB='two'\r\n", {"A": "1", "B": "two"}),
        (
            "A=a#b # a comment\nB= # nothing\nC = blanks around \n",
            {"A": "a#b", "B": "", "C": "blanks around"},
        ),
        (
            "A=\"one\ntwo # of it\"\nB='$HOME `id` \\n'",
            {"A": "one\ntwo # of it", "B": "$HOME `id` \\n"},
        ),
        ('A="a\\"b\\n\\t\\\\ \\$x" # a comment', {"A": 'a"b\n\t\\ $x'}),
        ("A=1\nexport\tA=2", {"A": "2"}),
        ("A=${HOME}/x=y", {"A": "${HOME}/x=y"}),
    ],
)
def test_a_dotenv_file_has_the_quotes_of_a_shell_and_nothing_is_expanded(
    tmp_path: Path, content: str, variables: dict[str, str]
) -> None:
    path = tmp_path / ".env"
    path.write_text(content, encoding="utf-8", newline="")

    assert read_dotenv(str(path)) == variables


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("A=1\nsecret words", "line 2 of '.env' is not NAME=VALUE"),
        ("A='it\\'s'", "line 1 of '.env' has text after the closing quote"),
        ('A=1\nB="secret\nC=2\n', "line 2 of '.env' has a quote that is not closed"),
    ],
)
def test_a_mistake_in_a_dotenv_file_is_named_by_its_line_alone(
    sealed: Path, content: str, said: str
) -> None:
    Path(".env").write_text(content)

    done = run("run", str(sealed), "--env-file", ".env", "--", "true")

    error, hint = done.stderr.splitlines()
    assert (done.returncode, done.stdout, error) == (2, "", f"error: {said}")
    assert hint.startswith("hint: write each variable as NAME=VALUE")


@pytest.mark.parametrize("by", [UID, "main database"], ids=["uid", "title"])
def test_one_request_resolves_all_references(
    vault: LocalVault, sealed: Path, by: str, tmp_path: Path
) -> None:
    before = vault.log_file.read_bytes().count(b"POST /api/rest/sm/v1/get_secret")

    environment_of(
        *("run", str(sealed)),
        *("--env", f"A=keeper://{by}/field/password", "--env", f"B=keeper://{by}/field/login"),
        *("--env", f"C=keeper://{by}/custom_field/pem"),
    )

    assert vault.log_file.read_bytes().count(b"POST /api/rest/sm/v1/get_secret") - before == 1


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        (f"keeper://{UID}/field/nothing", f"keeper://{UID}/field/nothing"),
        ("keeper://no such/field/password", "keeper://no such/field/password"),
        (f"keeper://{UID}/field/url", f"keeper://{UID}/field/url"),
        (f"keeper://{UID}/nonsense/x", f"keeper://{UID}/nonsense/x"),
        (f"keeper://{UID}/field/password|rot13", "rot13"),
        (f"keeper://{UID}/file/all.bin", f"keeper://{UID}/file/all.bin"),
    ],
)
def test_what_cannot_be_resolved_is_named_before_the_program_starts(
    sealed: Path, reference: str, named: str
) -> None:
    done = run("run", str(sealed), "--env", f"X={reference}", "--", "touch", "started")

    assert (done.returncode, done.stdout) == (2, "")
    assert named in done.stderr.splitlines()[0]
    assert PASSWORD not in done.stderr
    assert not Path("started").exists()


def test_a_default_is_not_shown(sealed: Path) -> None:
    done = run("run", str(sealed), "--env", "X=keeper://a/nonsense/x:-CANARY", "--", "true")

    assert (done.returncode, "CANARY" in done.stderr) == (2, False)


def test_a_value_in_the_place_of_a_reference_is_refused_and_not_shown(sealed: Path) -> None:
    done = run("run", str(sealed), "--env", "X=CANARY", "--", "true")

    assert (done.returncode, "CANARY" in done.stderr) == (2, False)


def test_a_file_is_a_path_that_only_the_program_can_open(sealed: Path) -> None:
    script = "import os, sys; p = os.environ['F']; print(p); sys.stdout.flush(); "
    script += "[sys.stdout.buffer.write(open(p, 'rb').read()) for _ in range(2)]"

    done = subprocess.run(
        [
            *(COMMAND, "run", str(sealed), "--file", f"F=keeper://{UID}/file/all.bin"),
            *("--", sys.executable, "-c", script),
        ],
        capture_output=True,
        timeout=60,
        check=True,
    )

    path, _, content = done.stdout.partition(b"\n")
    assert content == BINARY * 2
    assert path.startswith(b"/dev/fd/")
    assert done.stderr == b""


def test_the_process_is_replaced_and_its_exit_code_is_the_programs(sealed: Path) -> None:
    arguments = ["run", str(sealed), "--env", f"P=keeper://{UID}/field/password", "--"]
    with subprocess.Popen(
        [COMMAND, *arguments, "sh", "-c", "echo $$; exit 7"], stdout=subprocess.PIPE, text=True
    ) as process:
        printed, _ = process.communicate(timeout=60)

    assert printed.strip() == str(process.pid)
    assert process.returncode == 7


@pytest.mark.parametrize("mask", [[], ["--mask"]], ids=["replaced", "masked"])
def test_a_signal_is_the_programs(sealed: Path, mask: list[str]) -> None:
    script = "import os, signal, sys; print('ready', flush=True); signal.pause()"
    arguments = ["run", str(sealed), *mask, "--env", f"P=keeper://{UID}/field/password", "--"]
    with subprocess.Popen(
        [COMMAND, *arguments, sys.executable, "-c", script], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        process.wait(30)

    assert process.returncode == -signal.SIGTERM


def test_values_are_masked_in_pipes(sealed: Path) -> None:
    script = (
        "import os, sys, time\n"
        "print('before', os.environ['P'], 'after')\n"
        "print(os.environ['PEM'])\n"
        "sys.stdout.write(os.environ['P'][:4]); sys.stdout.flush(); time.sleep(0.3)\n"
        "sys.stdout.write(os.environ['P'][4:] + '\\n')\n"
        "print(os.environ['P'], file=sys.stderr); sys.exit(3)\n"
    )
    done = run(
        *("run", str(sealed), "--mask", "--env", f"P=keeper://{UID}/field/password"),
        *("--env", f"PEM=keeper://{UID}/custom_field/pem", "--", sys.executable, "-c", script),
    )

    assert done.returncode == 3
    assert done.stdout == "before ***** after\n*****\n*****\n"
    assert done.stderr == "*****\n"


def test_values_are_masked_on_a_terminal_which_the_program_has_too(sealed: Path) -> None:
    script = (
        "import os, sys\n"
        "print(sys.stdin.isatty(), sys.stdout.isatty(), os.get_terminal_size())\n"
        "print(os.environ['PEM'])\n"
        "print('got ' + input('? ') + ' ' + os.environ['P'])\n"
    )
    child = pexpect.spawn(
        COMMAND,
        [
            *("run", str(sealed), "--mask", "--env", f"P=keeper://{UID}/field/password"),
            *("--env", f"PEM=keeper://{UID}/custom_field/pem"),
            *("--", sys.executable, "-c", script),
        ],
        encoding="utf-8",
        timeout=30,
        dimensions=(31, 97),
    )
    child.expect_exact("True True os.terminal_size(columns=97, lines=31)")
    child.expect_exact("? ")
    shown = child.before or ""
    child.sendline("typed")
    child.expect_exact("got typed *****")
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 0
    assert "*****" in shown
    assert "line of it" not in shown


def test_a_key_of_the_terminal_interrupts_the_program(sealed: Path) -> None:
    script = (
        "import time\n"
        "try:\n    print('ready', flush=True); time.sleep(30)\n"
        "except KeyboardInterrupt:\n    print('stopped'); raise SystemExit(5)\n"
    )
    child = pexpect.spawn(
        COMMAND,
        [
            *("run", str(sealed), "--mask", "--env", f"P=keeper://{UID}/field/password"),
            *("--", sys.executable, "-c", script),
        ],
        encoding="utf-8",
        timeout=30,
    )
    child.expect_exact("ready")
    time.sleep(0.2)
    child.sendintr()
    child.expect_exact("stopped")
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 5


@pytest.mark.parametrize(
    ("secrets", "pieces", "shown"),
    [
        ([b"secret"], [b"a sec", b"ret b"], b"a ***** b"),
        ([b"secret"], [b"a sec", b"ond b"], b"a second b"),
        ([b"pass", b"password"], [b"pass", b"word"], b"*****"),
        ([b"pass", b"password"], [b"pass", b"ive"], b"*****ive"),
        ([b"abcX", b"Xyzw"], [b"abcX", b"end"], b"*****end"),
        ([b"abc"], [b"abc"], b"abc"),
        ([], [b"abc"], b"abc"),
        ([b"abcX", b"Xyzw"], [b"abcXy", b"zw end"], b"***** end"),
        ([b"abcd"], [b"abcdabcd"], b"**********"),
        ([b"aaaa"], [b"aaa", b"aaa"], b"*****"),
    ],
)
def test_a_value_is_masked_however_it_is_cut(
    secrets: list[bytes], pieces: list[bytes], shown: bytes
) -> None:
    masker = Masker(secrets)

    assert b"".join([*map(masker.feed, pieces), masker.end()]) == shown


def test_masking_takes_no_longer_with_many_or_long_values() -> None:
    lines = [b"%08d line of a long value" % number for number in range(5_000)]
    masker = Masker([b"\n".join(lines), *lines])

    shown = b"".join([masker.feed(b"output " * 10_000), masker.feed(b"\n".join(lines))])

    # By regular expressions over the values, this takes minutes.
    assert shown + masker.end() == b"output " * 10_000 + b"*****"


def test_only_what_may_be_a_value_is_held_back() -> None:
    assert Masker([b"secret"]).feed(b"password: ") == b"password: "


def test_the_configuration_comes_from_standard_input(sealed: Path) -> None:
    for path in ("-", "/dev/stdin"):
        done = subprocess.run(
            [
                *(COMMAND, "run", path, "--env", f"P=keeper://{UID}/field/password"),
                *("--", "sh", "-c", "echo $P"),
            ],
            input=sealed.read_bytes(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, PASSWORD.encode() + b"\n"), done.stderr


def test_a_program_starts_when_keeper_is_down(
    vault: LocalVault, sealed: Path, tmp_path: Path
) -> None:
    options = ["run", str(sealed), "--offline-copy", "copy", "--env"]
    options.append(f"P=keeper://{UID}/field/password")
    assert environment_of(*options)["P"] == PASSWORD
    vault.kill()
    try:
        done = run(*options, "--", "env")
        assert f"P={PASSWORD}" in done.stdout.splitlines()
        assert "warning: the server is unreachable; the values are from 20" in done.stderr
    finally:
        vault.start()


def test_exec_names_the_variable_and_its_form(sealed: Path) -> None:
    config = ksm_storage.open_storage(sealed).read_storage()

    terraform = environment_of("exec", str(sealed), "--as", "KEEPER_CREDENTIAL")
    java = environment_of("exec", str(sealed), "--as", "CONFIG", "--format", "json")

    assert json.loads(base64.b64decode(terraform["KEEPER_CREDENTIAL"])) == config
    assert json.loads(java["CONFIG"]) == config
    assert "KSM_CONFIG" not in terraform


def test_the_official_sdk_takes_the_json_form(sealed: Path) -> None:
    script = (
        "import os\n"
        "from keeper_secrets_manager_core import SecretsManager\n"
        "from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage\n"
        "config = InMemoryKeyValueStorage(os.environ['CONFIG'])\n"
        "print(SecretsManager(config=config).get_secrets()[0].title)\n"
    )
    done = run(
        *("exec", str(sealed), "--as", "CONFIG", "--format", "json"),
        *("--", sys.executable, "-c", script),
    )

    assert done.stdout == "main database\n", done.stderr


def test_exec_refuses_a_configuration_that_is_not_bound(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"clientKey": "CANARY", "hostname": "keepersecurity.eu"}')
    ksm_storage.protect(path, [key_file(tmp_path)])

    done = run("exec", str(path), "--", "touch", "started")

    assert done.returncode == 2
    assert "is not bound" in done.stderr
    assert not Path("started").exists()


TEMPLATE = f"""\
# a comment with keeper://{UID}/field/password stays
user = "keeper://{UID}/field/login"
url = postgres://app:keeper://{UID}/field/password@db
title: {{{{ keeper://main database/custom_field/two words }}}}
port = keeper://{UID}/field/port:-5432
encoded = keeper://{UID}/field/password|base64
plain text, 100 % of it: {{{{ not.a.reference }}}}
"""
RENDERED = f"""\
# a comment with keeper://{UID}/field/password stays
user = "app"
url = postgres://app:{PASSWORD}@db
title: Zwei Wörter
port = 5432
encoded = {base64.b64encode(PASSWORD.encode()).decode()}
plain text, 100 % of it: {{{{ not.a.reference }}}}
"""


def test_references_in_a_template_are_replaced(sealed: Path) -> None:
    Path("template").write_text(TEMPLATE)

    done = run("inject", str(sealed), "template")

    assert (done.returncode, done.stdout) == (0, RENDERED), done.stderr


def test_a_template_comes_from_a_pipe_and_the_path_from_the_environment(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_CONFIG_FILE", str(sealed))

    assert run("inject", "-", stdin=TEMPLATE).stdout == RENDERED


@pytest.mark.parametrize("path", ["-", "/dev/stdin"])
def test_before_a_template_standard_input_is_the_sealed_file(
    sealed: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("KSM_CONFIG_FILE", "other.json")
    Path("template").write_text(TEMPLATE)

    done = subprocess.run(
        [COMMAND, "inject", path, "template"],
        input=sealed.read_bytes(),
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout.decode()) == (0, RENDERED), done.stderr


def test_standard_input_is_not_both_the_sealed_file_and_a_template(sealed: Path) -> None:
    done = subprocess.run(
        [COMMAND, "inject", "-", "-"],
        input=sealed.read_bytes(),
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, b"")
    assert b"cannot be a TEMPLATE too" in done.stderr


def test_a_file_is_written_for_its_owner_alone(sealed: Path) -> None:
    Path("template").write_text(TEMPLATE)
    Path("out").write_text("before")
    Path("out").chmod(0o644)

    done = run("inject", str(sealed), "template", "-o", "out")

    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert Path("out").read_text() == RENDERED
    assert Path("out").stat().st_mode & 0o777 == 0o600


def test_many_templates_and_folders_are_written_into_a_folder(
    vault: LocalVault, sealed: Path
) -> None:
    Path("tree/sub").mkdir(parents=True)
    for path in ("tree/a", "tree/sub/b", "c"):
        Path(path).write_text(TEMPLATE)
    before = vault.log_file.read_bytes().count(b"POST /api/rest/sm/v1/get_secret")

    done = run("inject", str(sealed), "tree", "c", "-o", "out")

    assert done.returncode == 0, done.stderr
    assert {Path("out", p).read_text() for p in ("a", "sub/b", "c")} == {RENDERED}
    assert vault.log_file.read_bytes().count(b"POST /api/rest/sm/v1/get_secret") - before == 1


@pytest.mark.parametrize("second", ["b/app.env", "b"], ids=["a file", "a folder"])
def test_two_templates_for_one_file_are_refused_before_anything_is_written(
    second: str, sealed: Path
) -> None:
    for name in ("a", "b"):
        Path(name).mkdir()
        Path(name, "app.env").write_text(TEMPLATE)

    done = run("inject", str(sealed), "a/app.env", second, "-o", "out")

    assert done.returncode == 2
    assert "'a/app.env' and 'b/app.env' would both be written to 'out/app.env'" in done.stderr
    assert not Path("out").exists()


def test_a_folder_is_written_whole_and_a_script_stays_one(sealed: Path) -> None:
    Path("tree/sub").mkdir(parents=True)
    Path("tree/key.p12").write_bytes(b"\0{{ keeper://none }}")
    Path("tree/sub/run.sh").write_text(TEMPLATE)
    Path("tree/sub/run.sh").chmod(0o755)
    Path("tree/link").symlink_to("sub/run.sh")

    done = run("inject", str(sealed), "tree", "-o", "out")

    assert done.returncode == 0, done.stderr
    assert Path("out/key.p12").read_bytes() == b"\0{{ keeper://none }}"
    assert Path("out/sub/run.sh").read_text() == Path("out/link").read_text() == RENDERED
    modes = {path: Path("out", path).stat().st_mode & 0o777 for path in ("key.p12", "sub/run.sh")}
    assert modes == {"key.p12": 0o600, "sub/run.sh": 0o700}


def test_neither_a_template_nor_a_device_is_overwritten(sealed: Path) -> None:
    Path("tree").mkdir()
    Path("tree/a").write_text(TEMPLATE)
    os.mkfifo("pipe")

    done = run("inject", str(sealed), "tree/a", "-o", "pipe")
    into = run("inject", str(sealed), "tree", "-o", "tree")

    assert (done.returncode, into.returncode) == (7, 2)
    assert "not a regular file" in done.stderr
    assert "'tree/a' is a template and would be overwritten" in into.stderr
    assert Path("pipe").is_fifo()
    assert Path("tree/a").read_text() == TEMPLATE


def test_a_pipe_in_a_folder_is_refused_and_not_waited_for(sealed: Path) -> None:
    Path("tree").mkdir()
    os.mkfifo("tree/pipe")

    done = run("inject", str(sealed), "tree", "--check")

    assert (done.returncode, done.stdout) == (2, "")
    assert "'tree/pipe' is not a regular file" in done.stderr


@pytest.mark.parametrize("stdout", ["-", "/dev/stdout"])
def test_standard_output_may_be_named(sealed: Path, stdout: str) -> None:
    Path("template").write_text(TEMPLATE)

    assert run("inject", str(sealed), "template", "-o", stdout).stdout == RENDERED


def test_an_empty_folder_has_no_files(sealed: Path) -> None:
    Path("empty").mkdir()

    done = run("inject", str(sealed), "empty", "-o", "out", "--json")

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"references": 0, "files": []}


def test_bytes_that_are_not_utf_8_pass_through(sealed: Path) -> None:
    field = f"keeper://{UID}/field/nothing".encode()
    encoded = base64.b64encode(b"caf\xe9")
    Path("template").write_bytes(
        b"\xe9 %s:-caf\xe9 %s:-caf\xe9|base64 %s:-caf\xe9|urlencode\n" % (field, field, field)
    )

    done = run("inject", str(sealed), "template", "-o", "out")

    assert done.returncode == 0, done.stderr
    assert Path("out").read_bytes() == b"\xe9 caf\xe9 %s caf%%E9\n" % encoded


@pytest.mark.parametrize("options", [["--check"], ["-o", "out"], []])
def test_a_missing_value_is_named_and_nothing_is_written(sealed: Path, options: list[str]) -> None:
    Path("good").write_text(TEMPLATE)
    Path("bad").write_text(f"{TEMPLATE}x = keeper://{UID}/field/nothing\n")
    templates = ["bad"] if not options else ["good", "bad"]

    done = run("inject", str(sealed), *templates, *options)

    assert (done.returncode, done.stdout) == (2, "")
    assert f"cannot resolve 'keeper://{UID}/field/nothing' for bad" in done.stderr
    assert not Path("out").exists()


def test_check_shows_no_value(sealed: Path) -> None:
    Path("template").write_text(TEMPLATE)

    done = run("inject", str(sealed), "template", "--check")

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "ok: 5 references in 1 templates\n"


@pytest.mark.parametrize(
    "line",
    [
        *(line for line in TEMPLATE.splitlines() if "{{" not in line and "#" not in line),
        "a=keeper://R/field/x:-d|upper b='keeper://R/file/n.txt'",
        "keeper://R/custom_field/l[0][first] keeper://R/title keeper://",
        "x: keeper://R/field/x:5432/y|base64|upper, keeper://R/field/y:-",
        "http://keeper://R/field/x@keeper://R/field/y?q#z",
    ],
)
def test_bare_references_are_those_of_the_official_interpolate(line: str) -> None:
    official = pytest.importorskip("keeper_secrets_manager_cli.interpolate")
    pattern = official.Interpolate.KEEPER_NOTATION_PATTERN

    assert [m[0] for m in _BARE.finditer(line)] == [m[0] for m in pattern.finditer(line)]


def test_a_secret_is_set_from_a_pipe(sealed: Path) -> None:
    done = run("secret", "set", str(sealed), UID, "url", stdin="https://example.com\n")

    assert (done.returncode, done.stderr) == (0, "set url of main database\n")
    shown = run("secret", "get", str(sealed), UID, "--field", "url")
    assert shown.stdout == "https://example.com\n"
    run("secret", "set", str(sealed), UID, "url", stdin="")


def test_what_is_not_secret_is_shown(sealed: Path) -> None:
    shown = run("secret", "get", str(sealed), UID)

    assert "Zwei Wörter" in shown.stdout
    assert PASSWORD not in shown.stdout
    assert run("secret", "get", str(sealed), UID, "--field", "login").stdout == "app\n"
    assert run("secret", "get", str(sealed), UID, "--field", "password").returncode == 2


def test_a_one_time_code_is_printed(vault: LocalVault, sealed: Path) -> None:
    url = "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&digits=8"
    with vault.owner() as owner:
        field = {"type": "oneTimeCode", "value": [url]}
        add_records(owner, [{"title": "otp", "type": "login", "fields": [field]}], app=APP_NAME)

    done = run("secret", "totp", str(sealed), "otp", "--json")

    answer = json.loads(done.stdout)
    assert (len(answer["code"]), answer["period"]) == (8, 30)
    assert 0 < answer["seconds_left"] <= 30
    missing = run("secret", "totp", str(sealed), UID)
    assert (missing.returncode, "no one-time code" in missing.stderr) == (2, True)


def test_a_reference_shows_no_default() -> None:
    assert "CANARY" not in repr(Reference.parse(f"keeper://{UID}/field/x:-CANARY"))
