"""The options that several commands share."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import click

from ..errors import SettingsError
from ..files.reading import refuse_configuration
from .commands import PathArgument
from .output import QUIET

Command = Callable[..., Any]
Settings = Mapping[str, Mapping[str, object]]


class GivenPath(click.Path):
    """A path that is not a configuration or a token: each command names it in its messages."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path as it was given."""
        refuse_configuration(os.fsdecode(value))
        return super().convert(value, param, ctx)


# click's own check of whether a path can be read would end with 2, not with 7.
PATH = GivenPath(readable=False)

_CENTURY_SECONDS = 36525 * 86400.0
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def path_argument(command: Command) -> Command:
    """Add the argument PATH, which every command on one file takes."""
    return click.argument("path", type=PATH, cls=PathArgument)(command)


def key_option(command: Command) -> Command:
    """Add ``--key``: the keys to seal under."""
    return click.option(
        "--key",
        "keys",
        multiple=True,
        metavar="URI",
        help="Seal under this key, e.g. key-file:///etc/ksm/app.key or aws-kms://ARN; repeatable.",
    )(command)


def device_key_option(command: Command) -> Command:
    """Add ``--device-key`` and ``--create-device-key``: where the private key stays."""
    command = click.option(
        "--create-device-key",
        is_flag=True,
        help="Create the key that --device-key names; it must not exist yet.",
    )(command)
    return click.option(
        "--device-key",
        metavar="URI",
        help="Sign with this P-256 key in a key service instead of a key in the file.",
    )(command)


def trust_option(command: Command) -> Command:
    """Add ``--trust``: the only keys that may open the file."""
    return click.option(
        "--trust",
        "trust",
        multiple=True,
        metavar="URI",
        help="Open the file with this key only; repeatable. Default: any key in the file.",
    )(command)


def context_option(command: Command) -> Command:
    """Add ``--context``."""
    return click.option(
        "--context",
        "context",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_context,
        help="An authenticated label of the file, never secret; repeatable.",
    )(command)


def setting_option(command: Command) -> Command:
    """Add ``--setting``."""
    return click.option(
        "--setting",
        "settings",
        multiple=True,
        metavar="PROVIDER.OPTION=VALUE",
        callback=_settings,
        help="A plugin setting, e.g. aws-kms.region=eu-west-1; repeatable.",
    )(command)


def profile_option(command: Command) -> Command:
    """Add ``--profile``."""
    return click.option(
        "--profile",
        envvar="KSM_CLI_PROFILE",
        metavar="NAME",
        help="The profile to use if the file has several.",
    )(command)


def time_options(command: Command) -> Command:
    """Add ``--timeout`` and ``--hedge``, which bound how long opening a file may take."""
    timeout = click.option(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="Maximum time to open the file, shared by its keys.",
    )
    hedge = click.option(
        "--hedge",
        type=float,
        metavar="SECONDS",
        help="Also try the next key if one has not answered after this time.",
    )
    return timeout(hedge(command))


def timeout_option(command: Command) -> Command:
    """Add ``--timeout`` without ``--hedge``, for a command that offers no race of its keys."""
    return click.option(
        "--timeout",
        type=float,
        metavar="SECONDS",
        callback=_timeout,
        help="Maximum time for the command.",
    )(command)


def connection_options(command: Command) -> Command:
    """Add ``--ca-file`` and ``--proxy``, which say how the Keeper server is reached."""
    command = click.option(
        "--proxy",
        "proxy",
        metavar="URL",
        callback=_proxy,
        help="An HTTP proxy without credentials; set HTTPS_PROXY for one with a password.",
    )(command)
    return click.option(
        "--ca-file",
        type=GivenPath(dir_okay=False, readable=False),
        metavar="FILE",
        help="The CA certificate of a private server.",
    )(command)


def json_option(command: Command) -> Command:
    """Add ``--json`` and ``--quiet``, which say how a command reports."""
    quiet = click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_quiet,
        help="Print data and errors only.",
    )
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(quiet(command))


def _quiet(ctx: click.Context, _param: click.Parameter, quiet: bool) -> None:
    ctx.meta[QUIET] = quiet


def _timeout(_ctx: click.Context, _param: click.Parameter, seconds: float | None) -> float | None:
    if seconds is not None:
        from ..envelope.hedging import OpenTimeouts

        # Before the command works: it refuses what is not a time.
        OpenTimeouts.of(seconds, None)
    return seconds


def _proxy(_ctx: click.Context, _param: click.Parameter, url: str | None) -> str | None:
    if url is not None and "@" in url:
        # The URL is not repeated: the password would be in it.
        raise SettingsError(
            "proxy credentials must not be on the command line",
            hint="set HTTPS_PROXY instead; other users of this machine cannot see it",
        )
    return url


def _context(
    _ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]
) -> dict[str, str] | None:
    pairs: dict[str, str] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE")
        if name in pairs:
            raise click.BadParameter(f"the label {name!r} is given twice")
        pairs[name] = value
    return pairs or None


def _settings(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> Settings:
    settings: dict[str, dict[str, object]] = {}
    for text in given:
        name, separator, value = text.partition("=")
        provider, dot, option = name.partition(".")
        if not separator or not dot:
            # The text is not shown: it may be a secret that was meant for another option.
            raise click.BadParameter("must be PROVIDER.OPTION=VALUE")
        _validate(provider, option)
        settings.setdefault(provider, {})[option] = value
    return settings


def _validate(provider: str, option: str) -> None:
    # Not before: a start without --setting loads no plugin machinery for it.
    from ..keys.discovery import find_plugin
    from ..keys.setting_sources import environment_name, refuse_unknown

    declared = find_plugin(provider).options()
    # Even if no key of the provider is used: a setting that is ignored helps nobody.
    refuse_unknown(provider, declared, [option], source="argument")
    if any(o.secret and o.name == option for o in declared):
        raise SettingsError(
            f"the setting {provider}.{option} is secret and must not be on the command line",
            hint=f"set ${environment_name(provider, option)} or use the settings file",
        )


def duration(_ctx: click.Context, _param: click.Parameter, text: str) -> float | None:
    """Return the seconds of ``90``, ``90s``, ``10m``, ``2h`` or ``7d``, and None for ``never``."""
    if text == "never":
        return None
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhd]?)", text)
    if found is None or float(found.group(1)) == 0:
        raise click.BadParameter(f"{text!r} is not a valid duration: use 90s, 10m, 2h or 7d")
    # A date has years of four digits, and lists of clients show them.
    if (seconds := float(found.group(1)) * _SECONDS[found.group(2)]) > _CENTURY_SECONDS:
        raise click.BadParameter(f"{text!r} is longer than a hundred years")
    return seconds


def shown_time(milliseconds: int | None) -> str:
    """Return a time as people and programs read it, or ``never``."""
    if milliseconds is None:
        return "never"
    moment = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
