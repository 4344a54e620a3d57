"""``ksm-storage run`` and ``exec``: run a program with secrets, or with the configuration."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence

import click

from ..audit.events import emit
from ..config.document import format_base64, format_json
from ..errors import SettingsError
from ..process import give_limit_back
from .commands import command
from .dotenv import read_dotenv
from .options import PATH, json_option
from .output import echo_err
from .process import current_process
from .references import PREFIX, Reference, Resolver, references_in
from .sealed_file import SealedFile, refuse_key_in_service, sealed_file_options
from .secret_source import Source, source_options

VARIABLE = "KSM_CONFIG"

_NOT_FOUND = 127
_NOT_EXECUTABLE = 126
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What every POSIX pipe takes at once without a reader.
_MAX_PIPE_BYTES = 4_096

# A configuration, a token, and every setting of this program, the secrets of its plugins included.
_OURS = ("KSM_CONFIG", "KSM_STORAGE_", "KSM_TOKEN")
# The credentials by which the SDKs of the key services log in.
_CREDENTIALS: Mapping[str, Sequence[str]] = {
    "aws-kms": (
        "AWS_ACCESS_KEY_ID",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CREDENTIAL_FILE",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SECURITY_TOKEN",
        "AWS_SESSION_TOKEN",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ),
    "azure-kv": (
        "AZURE_CLIENT_CERTIFICATE_PASSWORD",
        "AZURE_CLIENT_CERTIFICATE_PATH",
        "AZURE_CLIENT_SECRET",
        "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_PASSWORD",
        "AZURE_USERNAME",
        "IDENTITY_HEADER",
        "MSI_SECRET",
    ),
    "gcp-kms": (
        "CLOUDSDK_AUTH_ACCESS_TOKEN",
        "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE",
        "GOOGLE_APPLICATION_CREDENTIALS",
        # Of an AWS identity that Google trusts.
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    ),
    "oracle-kv": (
        "OCI_CLI_KEY_CONTENT",
        "OCI_CLI_KEY_FILE",
        "OCI_CLI_PASSPHRASE",
        "OCI_CLI_SECURITY_TOKEN_FILE",
        "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM",
        "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_FOR_LEAF_RESOURCE",
        "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE",
        "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE_FOR_LEAF_RESOURCE",
        "OCI_RESOURCE_PRINCIPAL_RPST",
        "OCI_RESOURCE_PRINCIPAL_RPST_FOR_LEAF_RESOURCE",
    ),
    "vault-transit": ("BAO_TOKEN", "VAULT_CLIENT_KEY", "VAULT_TOKEN"),
}


@command(context_settings={"ignore_unknown_options": True})
@source_options
@click.argument("program", metavar="-- PROGRAM...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--env",
    "variables",
    metavar="NAME=keeper://...",
    multiple=True,
    help="Set this variable to the value of a reference; repeatable.",
)
@click.option(
    "--env-file",
    "env_files",
    metavar="FILE",
    type=PATH,
    multiple=True,
    help="Set the variables in this dotenv file, resolving its references; repeatable.",
)
@click.option("--inherit", is_flag=True, help="Also resolve references in inherited variables.")
@click.option(
    "--file",
    "files",
    metavar="NAME=keeper://...",
    multiple=True,
    help="Set this variable to the path of a file with the value, for PROGRAM only; repeatable.",
)
@click.option("--mask", is_flag=True, help="Mask the values in the output of PROGRAM.")
@click.option(
    "--keep",
    metavar="NAME",
    multiple=True,
    help="Pass on this variable although it holds a credential of a key service; repeatable.",
)
@click.option(
    "--offline-copy",
    metavar="FILE",
    type=PATH,
    help="Keep the last answer sealed in this file, and use it if the server is unreachable.",
)
@json_option
def run(
    source: Source,
    program: tuple[str, ...],
    variables: tuple[str, ...],
    env_files: tuple[str, ...],
    inherit: bool,
    files: tuple[str, ...],
    mask: bool,
    keep: tuple[str, ...],
    offline_copy: str | None,
    as_json: bool,  # noqa: ARG001  # read by what reports errors
) -> int:
    """Run PROGRAM with the values of keeper:// references, and without the configuration.

    Put '--' before it: ksm-storage run --env PASSWORD=keeper://RECORD/field/password -- ./app. A
    reference may end with a default (:-DEFAULT) and transformations (|base64). All references are
    resolved with one request before PROGRAM starts; if one has no value, it does not start.

    On POSIX, PROGRAM replaces this process, so signals and the exit code are its own. Its
    environment holds no configuration and no credential of the file's keys.
    """
    _refuse_empty(program)
    texts = _texts(variables, env_files, inherit=inherit)
    wanted_files = {name: Reference.parse(text) for name, text in map(_assignment, files)}
    references = [*wanted_files.values()]
    for text in texts.values():
        references += _references(text)
    resolver = source.resolver(references, offline_copy)
    values = {name: _value(resolver, text, name) for name, text in texts.items()}
    contents = {name: resolver.content(ref, name=name) for name, ref in wanted_files.items()}
    # What references_in found, not the whole text around them.
    secrets = [resolver.content(reference) for reference in references] if mask else None
    environment = {**_environment(source.file, keep), **values}
    return _Run(program, environment, secrets).start(contents)


@command(name="exec", context_settings={"ignore_unknown_options": True})
@sealed_file_options
@click.argument("program", metavar="-- PROGRAM...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--as",
    "variable",
    metavar="NAME",
    default=VARIABLE,
    show_default=True,
    help="The variable, e.g. KEEPER_CREDENTIAL for Terraform.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["base64", "json"]),
    default="base64",
    show_default=True,
    help="How it holds the configuration.",
)
@click.option(
    "--keep",
    metavar="NAME",
    multiple=True,
    help="Pass on this variable although it holds a credential of a key service; repeatable.",
)
@json_option
def exec_program(
    file: SealedFile,
    program: tuple[str, ...],
    variable: str,
    form: str,
    keep: tuple[str, ...],
    as_json: bool,  # noqa: ARG001  # read by what reports errors
) -> int:
    """Run PROGRAM with the whole configuration of PATH in KSM_CONFIG.

    For SDKs and tools that need it; use 'run' for a program that only needs some values. Put '--'
    before it: ksm-storage exec client-config.json -- ksm secret list.

    On POSIX, PROGRAM replaces this process, so signals and the exit code are its own. Changes that
    it makes to its configuration are not written back to PATH.
    """
    _refuse_empty(program)
    _validate_name(variable, "--as")
    config = file.open().read_storage()
    if "appKey" not in config:
        # The program would spend the token, and the key pair that it makes would be lost with it.
        raise SettingsError(
            f"{file.path!r} is not bound", hint="bind it with 'ksm-storage init PATH' first"
        )
    refuse_key_in_service(config)
    emit("exported", path=file.path, form="exec")
    text = (format_json(config) if form == "json" else format_base64(config)).decode().strip()
    return _Run(program, {**_environment(file, keep), variable: text}, None).start({})


class _Run:
    """Start a program in the place of this process or, to mask its output, beside it."""

    def __init__(
        self,
        program: Sequence[str],
        environment: Mapping[str, str],
        secrets: Sequence[bytes] | None,
    ) -> None:
        self._program = program
        self._environment = dict(environment)
        self._secrets = secrets
        self._descriptors: list[int] = []
        self._private: list[str] = []

    def start(self, contents: Mapping[str, bytes]) -> int:
        """Run it with files of these contents, and return its exit code if it runs beside us."""
        for name, content in contents.items():
            self._environment[name] = self._file(content, name)
        try:
            return self._started()
        except FileNotFoundError:
            echo_err(f"error: program {self._program[0]!r} not found")
            echo_err("hint: give its path, or add its folder to $PATH")
            return _NOT_FOUND
        except OSError as exc:
            echo_err(f"error: cannot run the program {self._program[0]!r}: {exc.strerror}")
            return _NOT_EXECUTABLE
        finally:
            for path in self._private:
                os.unlink(path)

    def _file(self, content: bytes, name: str) -> str:
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create(name, 0)
            _write_all(descriptor, content)
            os.lseek(descriptor, 0, os.SEEK_SET)
        elif os.name == "posix" and len(content) <= _MAX_PIPE_BYTES:
            descriptor, writer = os.pipe()
            _write_all(writer, content)
            os.close(writer)
        else:
            return self._private_file(content, name)
        os.set_inheritable(descriptor, True)
        self._descriptors.append(descriptor)
        return f"/dev/fd/{descriptor}"

    def _private_file(self, content: bytes, name: str) -> str:
        descriptor, path = tempfile.mkstemp(prefix="ksm-storage-")
        self._private.append(path)
        _write_all(descriptor, content)
        os.close(descriptor)
        echo_err(f"note: the value of {name} is in a private file until the program ends")
        return path

    def _started(self) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        # The program's streams and signals are its own.
        current_process().give_way()
        if self._secrets is not None and os.name == "posix":
            from .masking import run_masked

            return run_masked(
                self._program, self._environment, self._secrets, pass_fds=self._descriptors
            )
        if os.name == "posix" and not self._private:
            _restore_signals()
            give_limit_back()
            # The program is the user's own, given on their own command line.
            os.execvpe(self._program[0], list(self._program), self._environment)  # noqa: S606
        if self._secrets is not None:
            raise SettingsError("--mask is not available on this system")
        import subprocess

        return subprocess.run(self._program, env=self._environment, check=False).returncode  # noqa: S603


def _texts(variables: Sequence[str], env_files: Sequence[str], *, inherit: bool) -> dict[str, str]:
    """Return the variables to set, references unresolved; the later ones win."""
    texts = {name: text for name, text in os.environ.items() if inherit and _references(text)}
    for path in env_files:
        texts |= read_dotenv(path)
    for name, text in map(_assignment, variables):
        if not _references(text):
            raise SettingsError(
                f"--env {name} is not a keeper:// reference (not shown: it may be a secret)",
                hint=f"write --env {name}=keeper://RECORD/field/NAME",
            )
        texts[name] = text
    return texts


def _references(text: str) -> list[Reference]:
    if text.startswith(PREFIX):
        return [Reference.parse(text)]
    return references_in(text, bare=False)


def _value(resolver: Resolver, text: str, name: str) -> str:
    if text.startswith(PREFIX):
        value = resolver.text(Reference.parse(text), name=name)
    else:
        value = resolver.render(text, name=name, bare=False)
    if "\0" in value:
        raise SettingsError(
            f"the value of {name} contains a NUL byte", hint=f"pass it as a file: --file {name}=..."
        )
    return value


def _assignment(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise SettingsError("a variable must be NAME=keeper://... (not shown)")
    _validate_name(name, "a variable")
    return name, value


def _validate_name(name: str, what: str) -> None:
    if not _VARIABLE_NAME.fullmatch(name):
        raise SettingsError(f"{what} must have a name of letters, digits and '_'")


def _environment(file: SealedFile, keep: Sequence[str]) -> dict[str, str]:
    """Return our environment without the configuration and what may open it."""
    providers = {recipient.key.provider for recipient in file.envelope().header.recipients}
    removed = {name for provider in providers for name in _CREDENTIALS.get(provider, ())}
    removed -= set(keep)
    return {
        name: value
        for name, value in os.environ.items()
        if name not in removed and not (name.startswith(_OURS) and name not in keep)
    }


def _refuse_empty(program: Sequence[str]) -> None:
    if not program[0]:
        raise click.UsageError("the program name is empty")


def _restore_signals() -> None:
    # Python ignores these; an ignored signal would stay ignored in the program.
    for name in ("SIGPIPE", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
