"""What each error code of KMS and of the credential services means.

Sources: AWS KMS API Reference, "Encrypt" and "Decrypt" (Errors) and "Common Errors"; AWS STS API
Reference, "AssumeRole" and "AssumeRoleWithWebIdentity" (Errors). The codes stand here without
the ending ``Exception``, which some services send and some do not.
"""

from __future__ import annotations

from collections.abc import Mapping

from ksm_storage.plugin import (
    AuthenticationError,
    DecryptionError,
    KeyNotFoundError,
    KeyStateError,
    PermissionDeniedError,
    ProviderError,
    SettingsError,
    ThrottledError,
    UnavailableError,
)

from .refusal import Refusal

_DENIED = Refusal(
    PermissionDeniedError,
    "the caller may not use the key {key}, or there is no such key in {place}",
    "AWS does not tell the two apart: check the key's name and region, then the key policy and "
    "the caller's policies, their conditions on the encryption context included",
    about_permission=True,
)
_UNKNOWN_CALLER = Refusal(
    AuthenticationError,
    "AWS does not know the access key id that signed the request",
    "the access key was deleted, is mistyped, or belongs to another AWS partition",
)
_WRONG_SIGNATURE = Refusal(
    AuthenticationError,
    "AWS does not accept the signature of the request",
    "check the secret access key, and the clock of this machine",
)
_EXPIRED = Refusal(
    AuthenticationError,
    "the AWS credentials have expired",
    "get new ones (for SSO: aws sso login), and check the clock of this machine",
)
_NO_SIGNATURE = Refusal(
    AuthenticationError,
    "the request reached AWS without usable credentials",
    "check the credentials, and that no proxy drops the header Authorization",
)
_THROTTLED = Refusal(
    ThrottledError,
    "AWS is asked for more than the quota of the account in {place} allows",
    "try again later, or ask AWS for a higher quota of cryptographic operations",
)
_FAILING = Refusal(
    UnavailableError,
    "AWS failed on its side",
    "try again later",
)
_INVALID_REQUEST = Refusal(
    ProviderError,
    "AWS does not accept the form of the request for the key {key}",
    "check the key's name; an emulator or a proxy may not know all of KMS",
)

CREDENTIALS_REFUSED = Refusal(
    AuthenticationError,
    "AWS refused to issue the credentials for the key {key}",
    "check the role, its trust policy, the external id and the credentials it is assumed with",
)

SERVICE_CODES: Mapping[str, Refusal] = {
    # KMS: the key.
    "Disabled": Refusal(
        KeyStateError,
        "the key {key} is disabled",
        "enable it: aws kms enable-key --key-id ID",
    ),
    "KMSInvalidState": Refusal(
        KeyStateError,
        "the key {key} is in a state that forbids its use: pending deletion, pending import, "
        "being created, or its key store is disconnected",
        "look: aws kms describe-key --key-id ID; a deletion that is pending can be cancelled "
        "(aws kms cancel-key-deletion), one that happened cannot be undone",
    ),
    "InvalidKeyUsage": Refusal(
        KeyStateError,
        "the key {key} is not of the kind that the algorithm asks for",
        "for an RSA key set the option 'algorithm' to RSAES_OAEP_SHA_256; keys that sign, "
        "agree or make MACs cannot wrap",
    ),
    "NotFound": Refusal(
        KeyNotFoundError,
        "there is no key {key} in {place}",
        "check the name and the region; a bare alias or key id is looked up in the caller's "
        "account",
    ),
    "InvalidArn": Refusal(
        KeyNotFoundError,
        "KMS in {place} does not accept {key} as the ARN of a key",
        "check the ARN, its partition and its region",
    ),
    "KeyUnavailable": Refusal(
        UnavailableError,
        "the key {key} is not available at the moment",
        "try again later; for a key in a custom or external key store, look whether the store is "
        "connected",
    ),
    # KMS: the ciphertext.
    "InvalidCiphertext": Refusal(
        DecryptionError,
        "the wrapped DEK does not decrypt: altered data or another context",
        "restore the file from a backup",
    ),
    "IncorrectKey": Refusal(
        DecryptionError,
        "the wrapped DEK was not made by the key {key}",
        "if that is an alias, it was pointed at another key since the wrap: name the key by the "
        "ARN that 'ksm-storage inspect' shows",
    ),
    # KMS: the service.
    "DependencyTimeout": _FAILING,
    "KMSInternal": _FAILING,
    "InternalFailure": _FAILING,
    "InternalError": _FAILING,
    "InternalServerError": _FAILING,
    "ServiceUnavailable": _FAILING,
    "RequestTimeout": _FAILING,
    "RequestAborted": _FAILING,
    "IDPCommunicationError": _FAILING,
    "Throttling": _THROTTLED,
    "Throttled": _THROTTLED,
    "LimitExceeded": _THROTTLED,
    "RequestLimitExceeded": _THROTTLED,
    "TooManyRequests": _THROTTLED,
    "RequestThrottled": _THROTTLED,
    "SlowDown": _THROTTLED,
    # The caller.
    "AccessDenied": _DENIED,
    "NotAuthorized": _DENIED,
    "UnauthorizedOperation": _DENIED,
    "InvalidGrantToken": _DENIED,
    "ExpiredToken": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "UnrecognizedClient": _UNKNOWN_CALLER,
    "InvalidClientTokenId": _UNKNOWN_CALLER,
    "InvalidAccessKeyId": _UNKNOWN_CALLER,
    "InvalidSignature": _WRONG_SIGNATURE,
    "SignatureDoesNotMatch": _WRONG_SIGNATURE,
    "IncompleteSignature": _WRONG_SIGNATURE,
    "MissingAuthenticationToken": _NO_SIGNATURE,
    "InvalidIdentityToken": CREDENTIALS_REFUSED,
    "IDPRejectedClaim": CREDENTIALS_REFUSED,
    "Unauthorized": CREDENTIALS_REFUSED,
    "OptInRequired": Refusal(
        AuthenticationError,
        "the AWS account is not signed up for KMS in {place}",
        "sign up, or enable the region for the account",
    ),
    "RegionDisabled": Refusal(
        SettingsError,
        "the AWS account has {place} switched off",
        "enable it in the account, or use another region",
    ),
    # The request.
    "Validation": _INVALID_REQUEST,
    "ValidationError": _INVALID_REQUEST,
    "Serialization": _INVALID_REQUEST,
    "MalformedHttpRequest": _INVALID_REQUEST,
    "UnknownOperation": _INVALID_REQUEST,
    "InvalidAction": _INVALID_REQUEST,
    "UnsupportedOperation": _INVALID_REQUEST,
    "DryRunOperation": _INVALID_REQUEST,
}
