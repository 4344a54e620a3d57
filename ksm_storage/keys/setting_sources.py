"""Gather a plugin's settings: argument, then environment, then the user's settings file.

An envelope takes no part in this: it names keys and never configures code.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..contract.key_wrapper import KeyUri
from ..contract.settings import Option, Setting, Settings, checked
from ..errors import SettingsError

Arguments = Mapping[str, Mapping[str, object]]

FILE_VARIABLE = "KSM_STORAGE_SETTINGS"
# A constant on purpose: a variable that names another file could switch the policy off (T6).
POLICY_FILE = "/etc/ksm-storage/policy.toml"


def gather_settings(
    uri: KeyUri, options: Sequence[Option], arguments: Arguments | None = None
) -> Settings:
    """Return the validated settings for one KEK.

    Each source may give settings under the provider's name (``aws-kms``) or under one key's URI,
    which takes precedence. In the environment an option is ``KSM_STORAGE_<PROVIDER>_<OPTION>``,
    as in ``KSM_STORAGE_AWS_KMS_REGION``.

    Raises:
        SettingsError: A setting is unknown or has the wrong type, or the file cannot be trusted.
    """
    declared = {option.name: option for option in options}
    sources = [
        *_sections(arguments or {}, uri, "argument"),
        ("environment", _environment(uri.provider, options)),
        *_sections(_file_settings(), uri, "settings file"),
    ]
    for source, section in sources:
        refuse_unknown(uri.provider, options, section, source=source)
    return Settings(declared, {o.name: _first(o, sources) for o in options})


def refuse_unknown(
    provider: str, options: Sequence[Option], given: Iterable[str], *, source: str
) -> None:
    """Refuse an option that a plugin does not declare.

    Raises:
        SettingsError: One of the names is not an option of the plugin.
    """
    declared = sorted(option.name for option in options)
    for name in given:
        if name not in declared:
            raise SettingsError(
                f"unknown option {name!r} for {provider} (from {source})",
                hint=f"available options: {', '.join(declared) or 'none'}",
                provider=provider,
            )


def environment_name(provider: str, option: str) -> str:
    """Return the environment variable that sets an option of a provider."""
    return f"KSM_STORAGE_{provider}_{option}".replace("-", "_").upper()


def settings_file() -> str:
    """Return the path of the user's settings file; it must exist if the environment names it."""
    return os.environ.get(FILE_VARIABLE) or _default_file()


def settings_file_expected() -> bool:
    """Tell whether there is a settings file to read, or one that the environment names."""
    return bool(os.environ.get(FILE_VARIABLE)) or os.path.exists(_default_file())


def policy_expected() -> bool:
    """Tell whether this machine may have a policy; only a file that does not exist means no policy.

    A folder that this user cannot search hides a policy: to go on without it would let its owner
    switch the policy off by closing the folder (T5).
    """
    try:
        os.lstat(POLICY_FILE)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def file_table(name: str) -> Mapping[str, object]:
    """Return a table of the user's settings file that belongs to no provider; empty if missing.

    Raises:
        SettingsError: The file cannot be read or trusted, or the entry is not a table.
    """
    table = _file_settings().get(name, {})
    if not isinstance(table, Mapping):
        raise SettingsError(f"{name!r} in the settings file must be a table of options")
    return table


def settings_tables() -> Mapping[str, object]:
    """Return all tables of the user's settings file by name; empty if the file does not exist.

    Raises:
        SettingsError: The file cannot be read or trusted.
    """
    return _file_settings()


def _default_file() -> str:
    folder = _config_folder()
    # Without a home the file would be looked for in the current folder, whose content is not the
    # user's word.
    if not os.path.isabs(folder):
        return os.devnull
    return os.path.join(folder, "ksm-storage", "settings.toml")


def _config_folder() -> str:
    if sys.platform == "linux":
        # What platformdirs answers here, too, without the time of importing it at each start.
        given = os.environ.get("XDG_CONFIG_HOME", "")
        return given if given.strip() else os.path.expanduser("~/.config")
    from platformdirs import user_config_dir

    try:
        return user_config_dir()
    except RuntimeError:  # Nobody has a home.
        return ""


def _sections(given: Arguments, uri: KeyUri, source: str) -> list[tuple[str, Mapping[str, object]]]:
    found: list[tuple[str, Mapping[str, object]]] = []
    for name in (str(uri), uri.provider):
        section = given.get(name, {})
        if not isinstance(section, Mapping):
            raise SettingsError(
                f"the settings for {name!r} (from {source}) must be a table of options"
            )
        found.append((source, section))
    return found


def _environment(provider: str, options: Sequence[Option]) -> Mapping[str, object]:
    names = {option.name: environment_name(provider, option.name) for option in options}
    return {
        name: os.environ[variable] for name, variable in names.items() if variable in os.environ
    }


def _first(option: Option, sources: Sequence[tuple[str, Mapping[str, object]]]) -> Setting:
    for source, section in sources:
        # None means "not given", so that a caller may pass on an optional argument.
        if section.get(option.name) is not None:
            return checked(option, section[option.name], source=source)
    return Setting(option.default, "default")


def _file_settings() -> Arguments:
    path = settings_file()
    if path == os.devnull:
        return {}
    try:
        with open(path, "rb") as file:
            _refuse_untrusted(path, os.fstat(file.fileno()))
            raw = file.read()
    except OSError as exc:
        named = bool(os.environ.get(FILE_VARIABLE))
        # A home may not be a folder: for some services it is /dev/null.
        if isinstance(exc, (FileNotFoundError, NotADirectoryError)) and not named:
            return {}
        raise SettingsError(
            f"cannot read the settings file {path!r}: {exc.strerror}", hint=_other_file(named)
        ) from exc
    return parse_toml(raw, name=f"the settings file {path!r}")


def _other_file(named: bool) -> str:
    first = f"correct ${FILE_VARIABLE}" if named else f"set ${FILE_VARIABLE} to your own file"
    return f"{first}, or set it to {os.devnull} to use no settings file"


def _refuse_untrusted(path: str, status: os.stat_result) -> None:
    # A module path or an endpoint from a file that others can write is their code in our process.
    if os.name != "posix":
        return
    is_foreign = status.st_uid not in (0, os.geteuid())
    if not is_foreign and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return
    import shlex

    from ..plugin_kit.file_access import UNMAPPED

    quoted = shlex.quote(path)
    mode = stat.S_IMODE(status.st_mode)
    message = f"the settings file {path!r} is writable by other users (mode {mode:04o})"
    if is_foreign:
        message = f"the settings file {path!r} belongs to another user (uid {status.st_uid})"
    # Where a platform hands the file out, nobody there can change its owner or mode.
    hint = f"copy it: install -m 600 {quoted} COPY, and set ${FILE_VARIABLE} to the copy"
    if not os.statvfs(path).f_flag & os.ST_RDONLY:
        if os.geteuid() == 0 and status.st_uid != UNMAPPED:
            hint = f"run: chown root {quoted} && chmod go-w {quoted}"
        elif not is_foreign and status.st_uid != 0:
            hint = f"run: chmod go-w {quoted}"
    raise SettingsError(message, hint=hint)


def parse_toml(raw: bytes, *, name: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        SettingsError: It is not TOML in UTF-8; the error says where, and quotes nothing.
    """
    import re
    import tomllib

    place = ""
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except tomllib.TOMLDecodeError as exc:
        found = re.search(r"\(at line (\d+), column \d+\)$", str(exc))
        place = f" (line {found[1]})" if found else ""
    except UnicodeDecodeError as exc:
        place = f" (byte {exc.start} is not UTF-8)"
    # Brackets without end exhaust the parser's recursion.
    except RecursionError:
        pass
    # Not in an except block: the parser's exception keeps the text, which may hold a secret.
    raise SettingsError(
        f"{name} is not valid TOML{place}", hint="correct it there; strings stand in quotes"
    )


# Where commands keep the records of the files that they open, if nobody chose a folder.
_folder: ContextVar[str | None] = ContextVar("ksm_storage_command_memory", default=None)


@contextmanager
def command_memory() -> Iterator[None]:
    """Remember each file opened inside the block in the user's state folder."""
    token = _folder.set(_state_folder())
    try:
        yield
    finally:
        _folder.reset(token)


@contextmanager
def no_memory() -> Iterator[None]:
    """Compare no file opened inside the block with an earlier one."""
    token = _folder.set(None)
    try:
        yield
    finally:
        _folder.reset(token)


def current_command_memory() -> str | None:
    """Return the folder, or None outside of a command and where the user has no home."""
    return _folder.get()


def _state_folder() -> str | None:
    if sys.platform == "linux":
        # What platformdirs answers here, too, without the time of importing it at each start.
        given = os.environ.get("XDG_STATE_HOME", "").strip()
        folder = given or os.path.expanduser("~/.local/state")
    else:
        from platformdirs import user_state_dir

        try:
            folder = user_state_dir()
        except RuntimeError:  # Nobody has a home.
            return None
    return os.path.join(folder, "ksm-storage", "memory") if os.path.isabs(folder) else None
