"""Tell the whole story on this machine alone: from a one-time token to a device that is revoked.

Everything happens in a temporary folder, which is gone at the end. Keeper is played by the local
vault, so that no account is needed.
"""

from __future__ import annotations

import json
import shutil
import sys
from base64 import b64decode
from importlib.util import find_spec
from pathlib import Path

from .another_machine import OTHER_ADDRESS, another_machine, can_play_another_machine
from .stage import DemoFailedError, Stage, stage

PASSWORD = "correct-horse-battery-staple"
TITLE = "Production database"
RECORD = {
    "title": TITLE,
    "type": "login",
    "fields": [
        {"type": "login", "value": ["app"]},
        {"type": "password", "value": [PASSWORD]},
    ],
}
OTHER_TITLE = "Payroll"
CONFIG = "client-config.json"
KEY_FILE = "app.key"
NOTATION = f"keeper://{TITLE}/field/password"
ADD_RELAY_CLIENT = (
    *("relay", "client", "add", CONFIG, "reports"),
    *("--record", TITLE, "--format", "json"),
)
SECRET_FIELDS = ("clientId", "privateKey", "appKey")


def main() -> int:
    """Tell the story and return an exit code."""
    try:
        with stage() as scene:
            tell(scene)
    except DemoFailedError as exc:
        print(f"\nThe demo failed: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The demo's folder is gone and its vault is stopped.", file=sys.stderr)
        return 130
    print("\nThat is all of it. The demo's folder is gone and its vault is stopped.")
    return 0


def tell(scene: Stage) -> None:
    """Go through the steps; each one ends with what it proves."""
    other = give_out_a_token(scene)
    device = bind(scene)
    secrets = look_at_the_disk(scene)
    begin_what_only_reads(scene)
    read_a_secret(scene)
    read_with_the_official_sdk(scene)
    give_a_program_one_record(scene, other)
    run_a_program(scene, secrets)
    look_into_the_database(scene)
    use_the_token_again(scene, device)
    steal_the_file(scene)
    flip_a_byte(scene)
    revoke(scene)
    scene.ends()


def give_out_a_token(scene: Stage) -> str:
    """Fill the vault, and return the UID of the record that no program gets."""
    scene.step("A vault starts on this machine; its owner stores a password")
    scene.begin("keygen", KEY_FILE)
    scene.show(f"the vault listens on https://{scene.vault['address']}")
    scene.run("vault", "app", "create", "shop")
    records = json.dumps([RECORD, {**RECORD, "title": OTHER_TITLE}])
    uids = scene.run("vault", "record", "import", "--app", "shop", stdin=records)
    scene.proves("the password went in through a pipe, and was encrypted before the server saw it")
    return uids.split()[1]


def bind(scene: Stage) -> dict[str, str]:
    """Redeem the one-time token into a sealed file."""
    scene.step("The owner hands out a one-time token, and a device binds with it")
    scene.run("keygen", KEY_FILE)
    printed = scene.quietly(
        "vault", "client", "add", "--app", "shop", "--name", "web-server", "--json"
    )
    device: dict[str, str] = json.loads(printed)
    scene.show("(the owner makes a token: ksm-storage vault client add --app shop ...)")
    key = f"key-file://{scene.folder / KEY_FILE}"
    scene.run("init", CONFIG, "--key", key, *server(device), stdin=device["token"])
    scene.proves("the device's configuration went to disk sealed, from its first byte on")
    return device


def look_at_the_disk(scene: Stage) -> list[str]:
    """Search the sealed file for what it holds, and return that."""
    scene.step("What is on disk: which key opens the file, and nothing of what it holds")
    scene.begin("export", CONFIG, "--reveal")
    scene.run("inspect", CONFIG)
    held: dict[str, str] = json.loads(scene.quietly("export", CONFIG, "--reveal"))
    texts = [held[name] for name in SECRET_FIELDS]
    files = [path for path in scene.folder.iterdir() if path.is_file()]
    expect_nothing(scene, files, [text.encode() for text in texts] + [*map(b64decode, texts)])
    scene.proves(f"{', '.join(SECRET_FIELDS)}: none of them can be read on disk")
    return texts


def begin_what_only_reads(scene: Stage) -> None:
    """Start the commands of the next steps, which change nothing for each other."""
    scene.begin(*list_records(scene))
    scene.begin(*get_password(scene))
    if find_spec("keeper_secrets_manager_core") is not None:
        scene.begin_program(*official_program(scene))
    if _relay_program() is not None:
        scene.begin(*ADD_RELAY_CLIENT)
    scene.begin(*run_with_password(scene))


def read_a_secret(scene: Stage) -> None:
    """Read with the engine of ksm-storage."""
    scene.step("The device reads its secrets, with ksm-storage's own client")
    scene.run(*list_records(scene))
    read = scene.run(*get_password(scene))
    if read.strip() != PASSWORD:
        raise DemoFailedError("another password came back")
    scene.proves("what the owner stored came back, decrypted on this device alone")


def list_records(scene: Stage) -> list[str]:
    """Return the command that lists the device's records."""
    return ["secret", "list", CONFIG, *trust(scene)]


def get_password(scene: Stage) -> list[str]:
    """Return the command that reads the password."""
    return ["secret", "get", CONFIG, NOTATION, "--reveal", *trust(scene)]


def read_with_the_official_sdk(scene: Stage) -> None:
    """Read with Keeper's own library, if it is there."""
    scene.step("Keeper's own library reads them too, over the same sealed file")
    if find_spec("keeper_secrets_manager_core") is None:
        scene.show("(skipped: pip install keeper-secrets-manager-core)")
        return
    command, variables = official_program(scene)
    scene.show(command[-1])
    done = scene.program(command, variables)
    if done.stdout.strip() != PASSWORD:
        raise DemoFailedError(f"the official library did not read it: {done.stderr[-500:]}")
    scene.show(f"-> {done.stdout}")
    scene.proves("one line of a program changes: where its configuration is opened")


def official_program(scene: Stage) -> tuple[list[str], dict[str, str]]:
    """Return a program that reads the password with Keeper's library, and its variables."""
    code = (
        "from keeper_secrets_manager_core import SecretsManager\n"
        "from ksm_storage import open_storage\n"
        f"manager = SecretsManager(config=open_storage({CONFIG!r}))\n"
        f"print(manager.get_notation({NOTATION!r}))\n"
    )
    return [sys.executable, "-c", code], {"REQUESTS_CA_BUNDLE": scene.vault["ca_file"]}


def give_a_program_one_record(scene: Stage, other: str) -> None:
    """Let a program read one record through the relay, and not the other."""
    scene.step("Another program gets one record through the relay, and not the configuration")
    program = _relay_program()
    if program is None:
        scene.show("(skipped: pip install keeper-secrets-manager-core)")
        return
    command, code, environment = program
    title = RECORD["title"]
    configuration = scene.quietly(*ADD_RELAY_CLIENT).strip()
    scene.show(f"$ ksm-storage relay client add {CONFIG} reports --record {title!r} --format json")
    scene.show(code)
    with scene.serving("relay", "serve", CONFIG, *trust(scene)) as relay:
        variables = {
            **environment,
            "KSM_CONFIG": configuration,
            "NODE_EXTRA_CA_CERTS": relay["ca_file"],
            "REQUESTS_CA_BUNDLE": relay["ca_file"],
        }
        done = scene.program([*command, code, other], variables)
    if done.stdout.split("\n")[:2] != [f"all: {title}", "the other, by its uid: 0 records"]:
        raise DemoFailedError(f"the relay gave something else: {done.stdout}{done.stderr[-500:]}")
    scene.show("".join(f"-> {line}\n" for line in done.stdout.splitlines()))
    scene.proves(f"the program read one record; {OTHER_TITLE!r} does not exist for it")


def _relay_program() -> tuple[list[str], str, dict[str, str]] | None:
    """Return a command, its code and its variables: in JavaScript if it is there, else in Python.

    The code prints the titles of all records, and how many have the uid in its argument.
    """
    modules = Path(__file__).parents[2] / "tests" / "javascript" / "node_modules"
    node = shutil.which("node")
    if node is not None and modules.is_dir():
        code = (
            "const { getSecrets, loadJsonConfig } = "
            "require('@keeper-security/secrets-manager-core')\n"
            "const options = { storage: loadJsonConfig(process.env.KSM_CONFIG) }\n"
            "const read = async (uids) => (await getSecrets(options, uids)).records\n"
            "const show = async (other) => {\n"
            "  console.log('all: ' + (await read()).map((record) => record.data.title).join())\n"
            "  console.log(`the other, by its uid: ${(await read([other])).length} records`)\n"
            "}\n"
            "show(process.argv[1])\n"
        )
        return [node, "-e"], code, {"NODE_PATH": str(modules)}
    if find_spec("keeper_secrets_manager_core") is None:
        return None
    code = (
        "import sys\n"
        "from keeper_secrets_manager_core import SecretsManager\n"
        "manager = SecretsManager()\n"
        "print('all:', *[record.title for record in manager.get_secrets()])\n"
        "found = manager.get_secrets([sys.argv[1]])\n"
        "print(f'the other, by its uid: {len(found)} records')\n"
    )
    return [sys.executable, "-c"], code, {}


def run_a_program(scene: Stage, secrets: list[str]) -> None:
    """Give a program one password, and look at all that it got."""
    scene.step("A program gets the one password that it needs, and no configuration")
    listed = scene.run(*run_with_password(scene), show=False)
    environment: dict[str, str] = json.loads(listed)
    if environment["DB_PASSWORD"] != PASSWORD:
        raise DemoFailedError("the program got another password")
    ours = [name for name in environment if name.startswith(("KSM_CONFIG", "KSM_STORAGE_"))]
    if ours or any(text in listed for text in secrets):
        raise DemoFailedError("the program got more than its password")
    scene.show(f"DB_PASSWORD={environment['DB_PASSWORD']}")
    scene.show(f"(none of the other {len(environment) - 1} variables is ours)")
    scene.proves("the program could read one password, and nothing else of the application")


def run_with_password(scene: Stage) -> list[str]:
    """Return the command that runs a program which prints its variables."""
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    given = [*trust(scene), "--env", f"DB_PASSWORD={NOTATION}"]
    return ["run", CONFIG, *given, "--", sys.executable, "-c", code]


def look_into_the_database(scene: Stage) -> None:
    """Search the server's files for the secret."""
    scene.step("What the server has: the database, searched for the password")
    files = [path for path in (scene.folder / "vault").rglob("*") if path.is_file()]
    files.append(scene.folder / "server.log")
    expect_nothing(scene, files, [PASSWORD.encode(), TITLE.encode()])
    scene.proves("neither the password nor the title is there: the server knows nothing to lose")


def use_the_token_again(scene: Stage, device: dict[str, str]) -> None:
    """Try to redeem the token a second time."""
    scene.step("Somebody has seen the token and tries to use it again")
    scene.refused(
        *("init", "second.json", "--key", f"key-file://{scene.folder / KEY_FILE}"),
        *server(device),
        stdin=device["token"],
        because="already redeemed",
    )
    scene.proves("a one-time token binds one device, once")


def steal_the_file(scene: Stage) -> None:
    """Use a copy of the file without its key, and with it from another address."""
    scene.step("Somebody copies the file: first without the key, then with it")
    loot = scene.folder / "loot"
    loot.mkdir()
    shutil.copy(scene.folder / CONFIG, loot / CONFIG)
    key = scene.folder / KEY_FILE
    key.rename(loot / "away.key")
    scene.refused("secret", "list", f"loot/{CONFIG}", *trust(scene), because=KEY_FILE)
    (loot / "away.key").rename(key)
    scene.proves("the file alone is worth nothing")
    if not can_play_another_machine():
        scene.show(f"(the second half is skipped: this system has no address {OTHER_ADDRESS})")
        return
    scene.show(f"(now with the key, from the address {OTHER_ADDRESS})")
    with another_machine() as proxy:
        scene.refused(
            *("secret", "list", f"loot/{CONFIG}", "--proxy", proxy),
            *trust(scene),
            because="locked to another address",
        )
    scene.proves("even with its key a stolen file does not work from another machine")


def flip_a_byte(scene: Stage) -> None:
    """Alter one character of a copy of the file."""
    scene.step("Somebody changes one character in the file")
    raw = bytearray((scene.folder / CONFIG).read_bytes())
    raw[-20] = ord("B") if raw[-20] == ord("A") else ord("A")
    (scene.folder / "altered.json").write_bytes(raw)
    scene.refused("check", "altered.json", because="altered data")
    scene.proves("an altered file is refused; nothing is made up from it")


def revoke(scene: Stage) -> None:
    """End the device's access."""
    scene.step("The owner revokes the device")
    scene.run("vault", "client", "revoke", "--client", "web-server")
    scene.refused(*list_records(scene), because="revoked")
    scene.proves("access ends with the next request")


def server(device: dict[str, str]) -> list[str]:
    """Return the options that a device needs for a server that is not one of Keeper's own."""
    named = ["--hostname", device["hostname"], "--ca-file", device["ca_file"]]
    key, key_id = device["server_public_key"], device["server_public_key_id"]
    return [*named, "--server-key-id", key_id, "--server-key", key]


def trust(scene: Stage) -> list[str]:
    """Return the option that names the vault's certificate authority."""
    return ["--ca-file", scene.vault["ca_file"]]


def expect_nothing(scene: Stage, files: list[Path], values: list[bytes]) -> None:
    """Fail the demo if a value is in a file."""
    for path in files:
        content = path.read_bytes()
        if any(value in content for value in values):
            raise DemoFailedError(f"{path.name} holds a secret in the clear")
    size = sum(path.stat().st_size for path in files)
    scene.show(f"searched {len(files)} files, {size} bytes, for {len(values)} values: 0 found")
