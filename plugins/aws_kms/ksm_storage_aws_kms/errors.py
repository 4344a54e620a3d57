"""What KMS, the credential services and the AWS client report, and what it means.

Sources: AWS KMS API Reference, "Encrypt" and "Decrypt" (Errors) and "Common Errors"; AWS STS API
Reference, "AssumeRole" and "AssumeRoleWithWebIdentity" (Errors); botocore, ``botocore.exceptions``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ksm_storage import plugin as kit

from .credentials import (
    ANY_SOURCE,
    CREDENTIAL_REFUSALS,
    CREDENTIAL_SOURCES,
    CredentialSourceError,
    source_of,
)
from .key_wrapper import request_id_of

_KMS_OPERATIONS = (
    *("Encrypt", "Decrypt", "DescribeKey", "GetKeyRotationStatus"),
    *("GetPublicKey", "Sign", "CreateKey", "CreateAlias"),
)
# All others are calls for credentials, which the AWS client makes before ours.
_OUR_OPERATIONS = (*_KMS_OPERATIONS, "GetCallerIdentity")

_REFUSED = (
    "AWS refused to issue credentials ({detail})",
    "check the role, its trust policy, the external id and the credentials used to assume it",
)

# Without the ending ``Exception``, which some services send and some do not.
SERVICE_CODES = {
    **kit.error_rules(
        kit.KeyStateError,
        {
            "Disabled": ("the key {key} is disabled", "run: aws kms enable-key --key-id ID"),
            "KMSInvalidState": (
                "the key {key} cannot be used in its current state: pending deletion, pending "
                "import, being created, or its key store is disconnected",
                "run: aws kms describe-key --key-id ID; cancel a pending deletion with: aws kms "
                "cancel-key-deletion",
            ),
            "InvalidKeyUsage": (
                "the key {key} does not support the algorithm",
                "for an RSA key set the option 'algorithm' to RSAES_OAEP_SHA_256; keys for "
                "signing, key agreement or MACs cannot wrap",
            ),
        },
    ),
    **kit.error_rules(
        kit.KeyNotFoundError,
        {
            "NotFound InvalidArn": (
                "the key {key} was not found in {place}",
                "check the key id and the region; only an ARN reaches another account's key",
            )
        },
    ),
    **kit.error_rules(
        kit.DecryptionError,
        {
            "InvalidCiphertext": (
                "cannot decrypt the wrapped data key: altered data or another context",
                "restore the file from a backup",
            ),
            "IncorrectKey": (
                "the data key was not wrapped by the key {key}",
                "if this is an alias, it now points to a different key: use the ARN that "
                "'ksm-storage inspect' shows",
            ),
        },
    ),
    **kit.error_rules(
        kit.UnavailableError,
        {
            "KeyUnavailable": (
                "the key {key} is temporarily unavailable",
                "retry later; check that a custom or external key store is connected",
            ),
            "DependencyTimeout KMSInternal InternalFailure InternalError InternalServerError "
            "ServiceUnavailable RequestTimeout RequestAborted": (
                "AWS reported an internal error",
                "retry later",
            ),
            "IDPCommunicationError": (
                "AWS cannot reach the identity provider of the web identity token",
                "retry later; check that the issuer's keys are served to the internet",
            ),
        },
    ),
    **kit.error_rules(
        kit.ThrottledError,
        {
            "Throttling Throttled LimitExceeded RequestLimitExceeded TooManyRequests "
            "RequestThrottled SlowDown": (
                "AWS is throttling requests: the account's quota is used up",
                "retry later, or request a higher quota for KMS cryptographic operations",
            )
        },
    ),
    **kit.error_rules(
        kit.PermissionDeniedError,
        {
            "AccessDenied NotAuthorized UnauthorizedOperation InvalidGrantToken": (
                "not allowed to use {permission} on the key {key}, or the key does not exist",
                "AWS does not tell the two apart: check the key id and region, then the key "
                "policy and the caller's IAM policies, including their conditions on the "
                "encryption context",
            )
        },
        permission="{permission}",
    ),
    **kit.error_rules(
        kit.AuthenticationError,
        {
            "ExpiredToken RequestExpired": (
                "the AWS credentials have expired",
                "renew them (for SSO: aws sso login), and check the clock of this host",
            ),
            "UnrecognizedClient InvalidClientTokenId InvalidAccessKeyId InvalidCredentials": (
                "AWS does not recognize the access key id",
                "the access key was deleted, is mistyped, or belongs to another AWS partition",
            ),
            "InvalidSignature SignatureDoesNotMatch IncompleteSignature": (
                "AWS rejected the signature of the request",
                "check the secret access key, and the clock of this host",
            ),
            "MissingAuthenticationToken": (
                "the request reached AWS without usable credentials",
                "check the credentials, and that no proxy removes the Authorization header",
            ),
            "InvalidIdentityToken IDPRejectedClaim Unauthorized": _REFUSED,
            "OptInRequired SubscriptionRequired": (
                "the AWS account is not signed up for {place}",
                "sign up, or enable the region for the account",
            ),
        },
    ),
    **kit.error_rules(
        kit.SettingsError,
        {
            "RegionDisabled": (
                "the region is disabled for the AWS account: {place}",
                "enable it for the account, or use another region",
            )
        },
    ),
    **kit.error_rules(
        kit.ProviderError,
        {
            "Validation ValidationError Serialization MalformedHttpRequest UnknownOperation "
            "InvalidAction UnsupportedOperation DryRunOperation": (
                "{place} rejected the request for the key {key} as invalid",
                "check the key id; an emulator or a proxy may not support all of KMS",
            )
        },
    ),
}


# What STS says so is about the credentials with which a role is assumed.
_OF_THE_CALLER = (
    *("ExpiredToken", "RequestExpired", "UnrecognizedClient", "InvalidClientTokenId"),
    *("InvalidSignature", "SignatureDoesNotMatch", "MissingAuthenticationToken"),
)


_BAD_CONFIGURATION = (
    "invalid AWS configuration{detail}",
    "check the options 'region', 'endpoint' and 'profile', the AWS files, and AWS_ENDPOINT_URL, "
    "AWS_MAX_ATTEMPTS and the other AWS_* variables",
)

# By the names of classes, the more telling ones first; those of the network are the kit's.
CLIENT_FAILURES: Mapping[str, kit.ErrorRule] = {
    **kit.error_rules(
        kit.AuthenticationError,
        {
            "MalformedCredentialsError": (
                "the AWS credentials contain a line break, a space, a quotation mark or another "
                "character that no AWS credential has",
                "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the file "
                "or process they come from",
            ),
            "NoCredentialsError NoAuthTokenError": (
                "no AWS credentials found",
                "set the option 'profile' or the AWS_* variables, or give the host a role; for "
                "SSO: aws sso login",
            ),
        },
    ),
    **kit.error_rules(
        kit.PermissionDeniedError,
        {
            "LoginInsufficientPermissions": (
                "the AWS sign-in is not allowed to issue credentials for this caller",
                "request the permission to sign in, or use another profile",
            )
        },
    ),
    **kit.error_rules(
        kit.SettingsError,
        {
            "HelperNotFoundError": (
                "cannot run the credential_process of the AWS profile",
                "check that the program exists and is executable; use its full path",
            ),
            "ProfileNotFound": (
                "AWS profile not found{detail}",
                "run: aws configure list-profiles; check the option 'profile', AWS_PROFILE and "
                "AWS_CONFIG_FILE, where its section is [profile NAME]",
            ),
            "ConfigParseError ConfigNotFound": (
                "cannot parse an AWS config or credentials file{detail}",
                "check the files that AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name, or "
                "~/.aws/config and ~/.aws/credentials",
            ),
            "InfiniteLoopConfigError": (
                "the roles of the AWS profiles form a loop{detail}",
                "check source_profile in the AWS config file",
            ),
            "UnknownCredentialError": (
                "unknown credential_source{detail}",
                "use Environment, Ec2InstanceMetadata or EcsContainer as credential_source",
            ),
            "InvalidConfigError": (
                "invalid AWS profile{detail}",
                "check role_arn, source_profile, credential_source, credential_process and the "
                "sso_* settings of the profile",
            ),
            "InvalidIMDSEndpointError InvalidIMDSEndpointModeError": (
                "the address of the instance metadata service is not a URL",
                "check AWS_EC2_METADATA_SERVICE_ENDPOINT and its AWS_EC2_METADATA_SERVICE_ENDPOINT_"
                "MODE",
            ),
            "InvalidSTSRegionalEndpointsConfigError": (
                "invalid setting of the regional endpoints of STS",
                "set AWS_STS_REGIONAL_ENDPOINTS to regional, or unset it",
            ),
            "NoRegionError": (
                "no region for the key {key}",
                "use the key's ARN, or set the option 'region' or AWS_REGION",
            ),
            "InvalidRegionError": (
                "not a valid region name: {place}",
                "check the option 'region'",
            ),
            "InvalidRetryConfigurationError InvalidProxiesConfigError InvalidDefaultsMode "
            "InvalidEndpointConfigurationError BaseEndpointResolverError "
            "EndpointProviderError": _BAD_CONFIGURATION,
            "MissingDependencyException": (
                "these AWS credentials need a package that is not installed",
                "pip install 'botocore[crt]'",
            ),
        },
    ),
    # Not the client's on purpose: a reply of another form than the service's.
    **kit.error_rules(
        kit.UnavailableError,
        {
            "ResponseParserError": (
                "invalid reply from AWS",
                "retry; if it persists, check the proxy between this host and AWS",
            )
        },
    ),
    **kit.NETWORK_RULES,
    **dict.fromkeys(("ChecksumError", "FlexibleChecksumError"), kit.NETWORK_RULES["ProtocolError"]),
    # After the network: a credential service that is down is worth a retry. The source of the
    # credentials says more.
    **kit.error_rules(
        kit.AuthenticationError,
        {
            "PartialCredentialsError CredentialRetrievalError TokenRetrievalError SSOError "
            "LoginError RefreshWithMFAUnsupportedError MetadataRetrievalError": ANY_SOURCE
        },
    ),
    # Anything else that the client raises on purpose.
    "BotoCoreError": kit.ErrorRule(
        kit.ProviderError,
        "the AWS client failed ({detail}) for the key {key}",
        "check the AWS files and the AWS_* variables, and upgrade botocore",
    ),
}
# Their source says more, where it is known.
_VAGUE = (None, CLIENT_FAILURES["SSOError"], CLIENT_FAILURES["BotoCoreError"], kit.UNREADABLE_FILE)
_FROM_STS = ("assume-role", "assume-role-with-web-identity", "ksm-storage-role")


def call_of(operation: str, key: str, region: str | None) -> kit.Call:
    """Return how a call, or a step before it, is named in errors."""
    place = f"AWS KMS ({region})" if region else "AWS KMS"
    if operation == "GetCredentials":
        place = "the AWS credential service"
    return kit.Call(operation, key, place, f"{_service_of(operation)}:{operation}")


def translated(
    exc: Exception, call: kit.Call, *, profile: str | None = None
) -> kit.KsmStorageError:
    """Return the documented error for a failed call, none of the client's text copied."""
    from botocore.exceptions import ClientError

    if isinstance(exc, CredentialSourceError) and isinstance(exc.__cause__, ClientError):
        exc = exc.__cause__
    if isinstance(exc, ClientError):
        return _from_reply(exc.response, str(exc.operation_name), call)
    rule = kit.rule_for_failure(exc, CLIENT_FAILURES)
    source = source_of(exc)
    if source == "assume-role-with-web-identity" and rule is CLIENT_FAILURES["InvalidConfigError"]:
        # Set by variables, there is no profile.
        rule = kit.ErrorRule(kit.SettingsError, *CREDENTIAL_SOURCES[source])
    if rule in _VAGUE and (source or call.operation == "GetCredentials"):
        rule = _rule_of_source(source, exc, rule)
    elif rule is None and call.operation == "Connect":
        rule = kit.ErrorRule(kit.SettingsError, *_BAD_CONFIGURATION)
    if rule is None:
        return kit.unreadable_reply(call)
    if rule is CLIENT_FAILURES["BotoCoreError"]:
        return rule.error(call, detail=type(exc).__name__)
    return rule.error(call, detail=_file_and_profile(exc, profile))


def _rule_of_source(
    source: str | None, exc: Exception, vague: kit.ErrorRule | None
) -> kit.ErrorRule:
    if source in _FROM_STS and any(isinstance(link, KeyError) for link in kit.chain_of(exc)):
        return CLIENT_FAILURES["ResponseParserError"]
    kind = kit.SettingsError if vague is kit.UNREADABLE_FILE else kit.AuthenticationError
    return kit.ErrorRule(kind, *CREDENTIAL_SOURCES.get(source or "", ANY_SOURCE))


def _file_and_profile(exc: Exception, profile: str | None) -> str:
    """Return what the client says it was about, as the end of a message."""
    named = [getattr(link, "kwargs", {}).get("path") for link in kit.chain_of(exc)]
    path = next(filter(None, named), None)
    shown = f": {kit.shown_path(str(path))}" if path else ""
    return shown + ("" if profile is None else f" (profile {profile!r})")


def _from_reply(reply: Any, operation: str, call: kit.Call) -> kit.KsmStorageError:
    code = str(reply.get("Error", {}).get("Code", ""))
    status = int(reply.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    name = code.removesuffix("Exception")
    own = _rule_of_refusal(operation, name)
    rule = own or SERVICE_CODES.get(name) or kit.rule_for_status(status)
    if own is None and operation not in _OUR_OPERATIONS and not rule.kind.retryable:
        rule = kit.ErrorRule(kit.AuthenticationError, *_REFUSED)
    call = call._replace(permission=f"{_service_of(operation)}:{operation}")
    return rule.error(call, request_id=request_id_of(reply), detail=kit.shown_code(code))


def _rule_of_refusal(operation: str, code: str) -> kit.ErrorRule | None:
    words = CREDENTIAL_REFUSALS.get((operation, code))
    if words is None:
        of_caller = operation == "AssumeRole" and code in _OF_THE_CALLER
        return SERVICE_CODES[code] if of_caller else None
    if "{permission}" in words[0]:
        return kit.ErrorRule(kit.PermissionDeniedError, *words, permission="{permission}")
    return kit.ErrorRule(kit.AuthenticationError, *words)


def _service_of(operation: str) -> str:
    if operation in _KMS_OPERATIONS:
        return "kms"
    return "sso" if operation == "GetRoleCredentials" else "sts"
