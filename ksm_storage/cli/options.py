"""The options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from ..errors import SettingsError
from ..keys.discovery import find_plugin
from ..keys.setting_sources import environment_name, refuse_unknown
from ..storage.sources import refuse_configuration

Command = Callable[..., Any]


def path_argument(command: Command) -> Command:
    """Add the argument PATH, which every command on one file takes."""
    return click.argument("path", type=click.Path(), callback=_path)(command)


def key_option(command: Command) -> Command:
    """Add ``--key``, to be given once or more."""
    return click.option(
        "--key",
        "keys",
        multiple=True,
        metavar="URI",
        help="A key, as in key-file:///etc/ksm/app.key or aws-kms://ARN; repeatable.",
    )(command)


def trusted_key_option(command: Command) -> Command:
    """Add ``--key`` in its meaning for existing envelopes: the keys that are trusted."""
    return click.option(
        "--key",
        "keys",
        multiple=True,
        metavar="URI",
        help="Trust this key only; repeatable. Without it each key in the file is tried.",
    )(command)


def context_option(command: Command) -> Command:
    """Add ``--context``."""
    return click.option(
        "--context",
        "context",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_context,
        help="A label bound to the envelope, never secret; repeatable.",
    )(command)


def setting_option(command: Command) -> Command:
    """Add ``--setting``."""
    return click.option(
        "--setting",
        "settings",
        multiple=True,
        metavar="PROVIDER.OPTION=VALUE",
        callback=_settings,
        help="A setting of a plugin, as in aws-kms.region=eu-west-1; repeatable.",
    )(command)


def profile_option(command: Command) -> Command:
    """Add ``--profile``."""
    return click.option(
        "--profile",
        envvar="KSM_CLI_PROFILE",
        metavar="NAME",
        help="The profile, where the file has several.",
    )(command)


def json_option(command: Command) -> Command:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON.")(command)


def _path(_ctx: click.Context, _param: click.Parameter, path: str) -> str:
    # Here, because each command names the path in its messages.
    refuse_configuration(path)
    return path


def _context(
    _ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]
) -> dict[str, str] | None:
    pairs: dict[str, str] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or name in pairs:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE, or names a label again")
        pairs[name] = value
    return pairs or None


def _settings(
    _ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]
) -> Mapping[str, Mapping[str, object]]:
    settings: dict[str, dict[str, object]] = {}
    for text in given:
        name, separator, value = text.partition("=")
        provider, dot, option = name.partition(".")
        if not separator or not dot:
            # The text is not shown: it may be a secret that was meant for another option.
            raise click.BadParameter("a setting is written PROVIDER.OPTION=VALUE")
        _refuse_unusable(provider, option)
        settings.setdefault(provider, {})[option] = value
    return settings


def _refuse_unusable(provider: str, option: str) -> None:
    declared = find_plugin(provider).options()
    # Also where no key of the provider comes up: a setting that is ignored helps nobody.
    refuse_unknown(provider, declared, [option], source="argument")
    if any(o.secret and o.name == option for o in declared):
        raise SettingsError(
            f"the setting {provider}.{option} is secret and does not belong on a command line",
            hint=f"give it in ${environment_name(provider, option)} or in the settings file",
        )
