"""All that a plugin author imports: the contract and the kit."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .contract.key_wrapper import DEK_BYTES, Aad, KeyWrapper, ReadsOfficialFormat, WrappedDek
from .contract.settings import (
    CredentialKind,
    Option,
    Settings,
    certificates_of,
    credential_kind,
    validate_authorities,
)
from .errors import (
    AuthenticationError,
    DecryptionError,
    KeyNotFoundError,
    KeyStateError,
    KsmStorageError,
    PermissionDeniedError,
    ProviderError,
    SettingsError,
    ThrottledError,
    UnavailableError,
)
from .plugin_kit.exception_chain import HiddenError, chain_of, raise_from, translating

if TYPE_CHECKING:
    from .contract.abilities import (
        CreatesSigningKey,
        DescribesKey,
        KeyDescription,
        KeyState,
        Need,
        PermissionProbe,
        ProbesPermissions,
        SigningKey,
        SignsDigest,
    )
    from .contract.hookspecs import hookimpl
    from .contract.redaction import shown_path
    from .network import (
        Connection,
        direct_call_option,
        endpoint_setting,
        is_plain_http,
        proxies_for,
        proxy_for,
        standard_options,
        validate_endpoint,
    )
    from .plugin_kit.direct_calls import DirectCalls
    from .plugin_kit.error_table import (
        NETWORK_RULES,
        UNREADABLE_FILE,
        Call,
        ErrorRule,
        error_for,
        error_rules,
        incomplete_reply,
        is_final_failure,
        other_key_error,
        proxy_refusal,
        rule_for_failure,
        rule_for_status,
        shown_code,
        unreadable_reply,
        unresolved_name,
    )
    from .plugin_kit.foreign_code import HelperNotFoundError, ask_person, start_helper
    from .plugin_kit.http_api import (
        HttpApi,
        HttpReply,
        RedirectRefusedError,
        exchange_form,
        exchange_json,
        exchange_with_token,
        from_base64,
        only_regular,
        read_ini,
        to_base64,
    )
    from .plugin_kit.key_names import KeyName, KeyNames
    from .plugin_kit.pin import PinSource, RefusedPins, pin_options
    from .plugin_kit.service_client import (
        Deadline,
        DeadlinePassedError,
        NotDirectError,
        ServiceClient,
        current_deadline,
        deadline_of,
        first_unwrap,
        lock_held,
        quiet_logs,
        require_direct,
        require_texts,
        seconds_left,
        text_member,
        uncounted,
        within_deadline,
    )
    from .plugin_kit.signatures import (
        der_of_pem,
        der_signature,
        key_exists,
        not_a_signing_key,
        public_key_of_point,
        refuse_version,
        require_version,
        rsa_signature,
        signed_web_token,
    )
    from .process import gc_pause

# Resolved at first use: no opening needs all of it, and each start would pay.
_LAZY = {
    name: module
    for module, names in {
        "contract.abilities": "CreatesSigningKey DescribesKey KeyDescription KeyState Need "
        "PermissionProbe ProbesPermissions SigningKey SignsDigest",
        "contract.hookspecs": "hookimpl",
        "contract.redaction": "shown_path",
        "network": "Connection direct_call_option "
        "endpoint_setting is_plain_http proxies_for proxy_for standard_options validate_endpoint",
        "process": "gc_pause",
        "plugin_kit.direct_calls": "DirectCalls",
        "plugin_kit.error_table": "NETWORK_RULES UNREADABLE_FILE Call ErrorRule error_for "
        "error_rules incomplete_reply is_final_failure other_key_error proxy_refusal "
        "rule_for_failure rule_for_status shown_code unreadable_reply unresolved_name",
        "plugin_kit.foreign_code": "HelperNotFoundError ask_person start_helper",
        "plugin_kit.http_api": "HttpApi HttpReply RedirectRefusedError exchange_form exchange_json "
        "exchange_with_token from_base64 only_regular read_ini to_base64",
        "plugin_kit.key_names": "KeyName KeyNames",
        "plugin_kit.pin": "PinSource RefusedPins pin_options",
        "plugin_kit.signatures": "der_of_pem der_signature key_exists not_a_signing_key "
        "public_key_of_point refuse_version require_version rsa_signature signed_web_token",
        "plugin_kit.service_client": "Deadline DeadlinePassedError NotDirectError ServiceClient "
        "current_deadline "
        "deadline_of first_unwrap lock_held quiet_logs require_direct "
        "require_texts seconds_left text_member uncounted within_deadline",
    }.items()
    for name in names.split()
}

__all__ = [
    "DEK_BYTES",
    "NETWORK_RULES",
    "UNREADABLE_FILE",
    "Aad",
    "AuthenticationError",
    "Call",
    "Connection",
    "CreatesSigningKey",
    "CredentialKind",
    "Deadline",
    "DeadlinePassedError",
    "DecryptionError",
    "DescribesKey",
    "DirectCalls",
    "ErrorRule",
    "HelperNotFoundError",
    "HiddenError",
    "HttpApi",
    "HttpReply",
    "KeyDescription",
    "KeyName",
    "KeyNames",
    "KeyNotFoundError",
    "KeyState",
    "KeyStateError",
    "KeyWrapper",
    "KsmStorageError",
    "Need",
    "NotDirectError",
    "Option",
    "PermissionDeniedError",
    "PermissionProbe",
    "PinSource",
    "ProbesPermissions",
    "ProviderError",
    "ReadsOfficialFormat",
    "RedirectRefusedError",
    "RefusedPins",
    "ServiceClient",
    "Settings",
    "SettingsError",
    "SigningKey",
    "SignsDigest",
    "ThrottledError",
    "UnavailableError",
    "WrappedDek",
    "ask_person",
    "certificates_of",
    "chain_of",
    "credential_kind",
    "current_deadline",
    "deadline_of",
    "der_of_pem",
    "der_signature",
    "direct_call_option",
    "endpoint_setting",
    "error_for",
    "error_rules",
    "exchange_form",
    "exchange_json",
    "exchange_with_token",
    "first_unwrap",
    "from_base64",
    "gc_pause",
    "hookimpl",
    "incomplete_reply",
    "is_final_failure",
    "is_plain_http",
    "key_exists",
    "lock_held",
    "not_a_signing_key",
    "only_regular",
    "other_key_error",
    "pin_options",
    "proxies_for",
    "proxy_for",
    "proxy_refusal",
    "public_key_of_point",
    "quiet_logs",
    "raise_from",
    "read_ini",
    "refuse_version",
    "require_direct",
    "require_texts",
    "require_version",
    "rsa_signature",
    "rule_for_failure",
    "rule_for_status",
    "seconds_left",
    "shown_code",
    "shown_path",
    "signed_web_token",
    "standard_options",
    "start_helper",
    "text_member",
    "to_base64",
    "translating",
    "uncounted",
    "unreadable_reply",
    "unresolved_name",
    "validate_authorities",
    "validate_endpoint",
    "within_deadline",
]


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f".{_LAZY[name]}", __package__), name)
    return found
