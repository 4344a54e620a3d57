"""Say why a text is not a configuration, and how to get the configuration out of it.

Loaded only for a text that was not recognised. No message contains a part of the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from .document import SOPS_VALUE, InvalidConfigError
from .fields import FIELDS

_IMPORT = "ksm-storage profile import NEW --key URI"
_EXTRACT = f"pipe the configuration alone into: {_IMPORT}"
_MANIFEST = re.compile(rb"^(?:apiVersion|kind):", re.MULTILINE)
_YAML_LINE = re.compile(rb"(?:- )?[\w.-]+:(?:\s.*)?")
_INI_LINE = re.compile(rb"[\w.-]+\s*=.*")
_ASSIGNED_TOKEN = re.compile(rb"(?:[\w:$]+\s*=\s*)?[\"']?[A-Za-z0-9.-]{2,253}:[\w-]{43}[\"']?")
_COMMENTS = (b"#", b";", b"//", b"/*")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{43,}=*")
_BINARY = re.compile(rb"[\0-\x08\x0e-\x1f\x7f]")
_COMMENT_LINE = re.compile(rb"^\s*(?://|/\*|#)", re.MULTILINE)
_CONFLICT = re.compile(rb"^<{7} ", re.MULTILINE)
_TYPOGRAPHIC_QUOTES = ("\u201c".encode(), "\u201d".encode())

# Short names that other programs use too, in their own case, are not taken for errors.
_BY_LOOSE_NAME = {name.lower(): name for name in FIELDS if len(name) > 3}
_SEPARATORS = re.compile(r"[_\s-]")
_CREDENTIALS = ("clientId", "clientKey", "privateKey", "appKey")
# What templates and manuals write; no base64 has these forms.
_PLACEHOLDER = re.compile(
    r"<[^<>]*>|\[[^\[\]]*\]|\{\{.*\}\}|\$\{.*\}|\$\(.*\)|\$\w+|%\w+%|\.{3,}|\u2026|\*{3,}|x{3,16}"
    r"|(?:your|insert|replace|enter)[ _-].*|todo|change[ _-]?me|placeholder",
    re.IGNORECASE | re.DOTALL,
)

_SOPS = InvalidConfigError("is encrypted with SOPS", f"decrypt it: sops -d FILE | {_IMPORT}")
# What the file of another program begins with, what the message calls it, and what to do.
_FOREIGN: tuple[tuple[re.Pattern[bytes], str, str], ...] = tuple(
    (re.compile(beginning, re.IGNORECASE | re.DOTALL), what, cure.format(to=_IMPORT))
    for beginning, what, cure in (
        (
            rb"age-encryption\.org/|-----BEGIN AGE ",
            "is encrypted with age",
            "decrypt it: age -d -i IDENTITY FILE | {to}",
        ),
        (
            rb"\$ANSIBLE_VAULT;",
            "is encrypted with Ansible Vault",
            "decrypt it: ansible-vault view FILE | {to}",
        ),
        (
            rb"-----BEGIN PGP MESSAGE|\x85[\x00-\x04].\x03|\x84.\x03|\x8c\r\x04",
            "is encrypted with OpenPGP",
            "decrypt it: gpg -d FILE | {to}",
        ),
        (
            rb"Salted__|U2FsdGVkX1",
            "is encrypted with openssl enc",
            "decrypt it with openssl enc -d, and pipe the result into: {to}",
        ),
        (rb"\0GITCRYPT\0", "is encrypted with git-crypt", "decrypt it: git-crypt unlock"),
        (rb"\x1f\x8b", "is compressed with gzip", "unpack it: gunzip -c FILE | {to}"),
        (rb"BZh\d1AY", "is compressed with bzip2", "unpack it: bunzip2 -c FILE | {to}"),
        (rb"\xfd7zXZ\0", "is compressed with xz", "unpack it: xz -dc FILE | {to}"),
        (rb"\x28\xb5\x2f\xfd", "is compressed with zstd", "unpack it: zstd -dc FILE | {to}"),
        (rb"PK\x03\x04", "is a ZIP archive", "unpack it: unzip -p FILE | {to}"),
        (rb".{257}ustar", "is a tar archive", "unpack it: tar -xOf FILE | {to}"),
        (
            rb"-----BEGIN ",
            "is a key or certificate in PEM form",
            "give the path of the Keeper configuration",
        ),
        (rb"version https://git-lfs", "is a Git LFS pointer", "fetch the file: git lfs pull"),
        (
            rb"<!doctype html|<html",
            "is an HTML page, such as the error page of a proxy",
            "download or copy the configuration again",
        ),
        (rb"(?:#[^\n]*\n|\s)*(?-i:ARG[^\n]*\n\s*)*(?-i:FROM)\s+\S", "is a Dockerfile", _EXTRACT),
        (
            rb"(?:[#;][^\n]*\n|\s)*\[(?:Unit|Service|Socket|Timer|Container)\]",
            "is a systemd unit",
            _EXTRACT,
        ),
        (rb"<\?xml", "is XML", "download or copy the configuration again"),
        (rb"HTTP/\d", "is an HTTP response with its headers", "keep only its body"),
        (rb"data:[a-z/]*", "is a data URL", "keep only the base64 behind the comma"),
    )
)


def foreign_format(raw: bytes) -> InvalidConfigError | None:
    """Return the error for a file that another program encrypted, packed or sent, or None."""
    text = raw.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    for beginning, what, cure in _FOREIGN:
        if beginning.match(text):
            return InvalidConfigError(what, cure)
    if _CONFLICT.search(text):
        return InvalidConfigError(
            "has unresolved merge conflicts",
            "keep one side: git checkout --ours FILE, or --theirs",
        )
    if SOPS_VALUE in raw:
        return _SOPS
    return None


def explained_json(text: bytes, wrong: InvalidConfigError) -> InvalidConfigError:
    """Return the error for a text in braces that is not JSON, with what mends it."""
    if "repeats" in str(wrong):
        cure = "keep one of the values"
    elif any(quote in text for quote in _TYPOGRAPHIC_QUOTES):
        cure = "replace the typographic quotes by straight ones"
    elif _COMMENT_LINE.search(text):
        cure = "remove the comments"
    elif re.match(rb"\{\s*'", text):
        cure = "write names and values in double quotes"
    elif re.search(rb",\s*\}", text):
        cure = "remove the comma before the closing brace"
    elif not text.endswith(b"}"):
        cure = "it is cut off, or text follows it: copy the whole configuration again"
    else:
        cure = "correct it at that place, or export the configuration again"
    return InvalidConfigError(str(wrong), wrong.hint or cure)


def explained(text: bytes) -> InvalidConfigError:
    """Return the error for a text in none of the forms of a configuration."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    content = [line for line in lines if not line.startswith(_COMMENTS)]
    if text.startswith(b"ksm-storage envelope v"):
        return InvalidConfigError(
            "is sealed already",
            "use it as it is; to give it another key: ksm-storage rewrap FILE --add-key URI",
        )
    if _MANIFEST.search(text):
        return _manifest()
    if content != lines and b"".join(content).startswith(b"{"):
        return InvalidConfigError("is JSON with comments", "remove the comments")
    if len(content) == 1 and _ASSIGNED_TOKEN.fullmatch(content[0]):
        return InvalidConfigError(
            "is a one-time token, not a configuration",
            "bind a device with it: ksm-storage init PATH --key URI",
        )
    if content and all(map(_INI_LINE.fullmatch, content)):
        return InvalidConfigError(
            "has assignments without a [section], and none of KSM_CONFIG",
            "as a keeper.ini, it must begin with [_default]; otherwise " + _EXTRACT,
        )
    if content and _YAML_LINE.fullmatch(content[0]):
        return InvalidConfigError("is YAML", _EXTRACT)
    if _BASE64.fullmatch(b"".join(text.split())):
        return InvalidConfigError(
            "is base64 that is cut off, or of something else", "copy the whole configuration again"
        )
    if _BINARY.search(text):
        # A ciphertext of AWS KMS has no documented form.
        return InvalidConfigError(
            "is not text: a file of Keeper's AWS package, or of another program",
            "if Keeper's package sealed it, give its key: "
            "ksm-storage protect FILE --from-key URI --key URI",
        )
    return InvalidConfigError("is not a Keeper configuration")


def explained_object(content: dict[str, object]) -> InvalidConfigError | None:
    """Return the error for an object that holds a configuration deeper inside, or None."""
    if "kind" in content and "apiVersion" in content:
        return _manifest()
    if "sops" in content:
        return _SOPS
    for member, service, command in _SECRET_STORES:
        if member in content:
            return InvalidConfigError(f"is a response of {service}", f"{command} | {_IMPORT}")
    if content.get("type") == "service_account":
        return InvalidConfigError(
            "is the key of a Google service account", "give the path of the Keeper configuration"
        )
    if "data" in content:
        return InvalidConfigError("is a response of a secret store", _EXTRACT)
    return None


# The member that holds the secret, for what prints it, and the command that prints it alone.
_SECRET_STORES = (
    (
        "SecretString",
        "AWS Secrets Manager",
        "aws secretsmanager get-secret-value --secret-id NAME --query SecretString --output text",
    ),
    (
        "Parameter",
        "AWS Systems Manager",
        "aws ssm get-parameter --name NAME --with-decryption --query Parameter.Value --output text",
    ),
    (
        "payload",
        "Google Secret Manager",
        "gcloud secrets versions access latest --secret NAME",
    ),
    (
        "attributes",
        "Azure Key Vault",
        "az keyvault secret show --vault-name VAULT --name NAME --query value --output tsv",
    ),
    ("request_id", "Vault", "vault kv get -field=FIELD PATH"),
)


def unusable(config: Mapping[str, str]) -> InvalidConfigError | None:
    """Return the error for a configuration that no client of Keeper can use, or None."""
    for name, value in config.items():
        if name in _CREDENTIALS and _PLACEHOLDER.fullmatch(value.strip()):
            return InvalidConfigError(
                f"has a placeholder instead of the value of {name!r}",
                "it is a template: export the configuration from Keeper again",
            )
    return misnamed(config)


def misnamed(config: Mapping[str, object]) -> InvalidConfigError | None:
    """Return the error for a field whose name is written in another way, or None."""
    for name in config:
        right = _BY_LOOSE_NAME.get(_SEPARATORS.sub("", name).lower())
        if right is not None and right not in config:
            return InvalidConfigError(
                f"has a field {name!r}, which must be named {right!r}",
                "correct the name: the clients of Keeper know this one only",
            )
    return None


def is_array(raw: bytes) -> bool:
    """Tell whether the bytes are a JSON array."""
    try:
        return isinstance(json.loads(raw), list)
    except (ValueError, RecursionError):
        return False


def other_encoding(raw: bytes) -> str | None:
    """Return the name of the Unicode encoding that the bytes have instead of UTF-8, or None."""
    if raw.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "UTF-32"
    # Without a byte order mark, each second byte of ASCII is a NUL.
    pairs = (raw[0:4:2], raw[1:4:2])
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or (len(raw) >= 4 and b"\0\0" in pairs):
        return "UTF-16" if pairs[0] != pairs[1] else None
    return None


def _manifest() -> InvalidConfigError:
    return InvalidConfigError(
        "is a Kubernetes manifest",
        f"kubectl get secret NAME -o jsonpath='{{.data.KEY}}' | {_IMPORT}",
    )
