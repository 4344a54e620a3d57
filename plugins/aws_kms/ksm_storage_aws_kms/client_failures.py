"""What each exception of the AWS client itself means, by the name of its class.

Names and not classes, because importing the module must not import the client. A class that is
not named here is told as the nearest one that it derives from.
Source: botocore, ``botocore.exceptions``.
"""

from __future__ import annotations

from collections.abc import Mapping

from ksm_storage.plugin import (
    AuthenticationError,
    PermissionDeniedError,
    ProviderError,
    SettingsError,
    ThrottledError,
    UnavailableError,
)

from .refusal import Refusal

UNTRUSTED_CERTIFICATE = Refusal(
    ProviderError,
    "the certificate of the AWS endpoint is not trusted",
    "for a private endpoint or an inspecting proxy, name its authority with the option 'ca_file'",
)
UNREADABLE_FILE = Refusal(
    SettingsError,
    "a file that the AWS configuration names cannot be read",
    "check the option 'ca_file', AWS_CA_BUNDLE and AWS_WEB_IDENTITY_TOKEN_FILE",
)

_UNREACHABLE = Refusal(
    UnavailableError,
    "cannot reach KMS in {place}",
    "check the network, the region, the proxy settings and the option 'endpoint'",
)
_TOO_SLOW = Refusal(
    UnavailableError,
    "KMS in {place} did not answer in time",
    "try again; the options 'connect_timeout', 'read_timeout' and 'deadline' set the limits",
)
_CUT_OFF = Refusal(
    UnavailableError,
    "the connection to KMS in {place} was cut off",
    "try again; if it stays, look at the proxies between here and KMS",
)
_NO_CREDENTIALS = Refusal(
    AuthenticationError,
    "no AWS credentials were found",
    "set the option 'profile', the AWS_* variables, or give the machine a role; for SSO: "
    "aws sso login",
)
_UNUSABLE_CREDENTIALS = Refusal(
    AuthenticationError,
    "the AWS credentials are incomplete, expired or cannot be obtained",
    "check the profile, the process or the token they come from; for SSO: aws sso login",
)
_NO_REGION = Refusal(
    SettingsError,
    "the region of the key {key} is not known",
    "name the key by its ARN, or set the option 'region'",
)
_BAD_CONFIGURATION = Refusal(
    SettingsError,
    "the AWS configuration cannot be used",
    "check the AWS configuration files and the AWS_* variables",
)

CLIENT_FAILURES: Mapping[str, Refusal] = {
    # Credentials.
    "NoCredentialsError": _NO_CREDENTIALS,
    "NoAuthTokenError": _NO_CREDENTIALS,
    "PartialCredentialsError": _UNUSABLE_CREDENTIALS,
    "CredentialRetrievalError": _UNUSABLE_CREDENTIALS,
    "TokenRetrievalError": _UNUSABLE_CREDENTIALS,
    "SSOError": _UNUSABLE_CREDENTIALS,
    "LoginError": _UNUSABLE_CREDENTIALS,
    "LoginInsufficientPermissions": Refusal(
        PermissionDeniedError,
        "the AWS sign-in may not issue credentials for this caller",
        "ask for the permission to sign in, or use another profile",
    ),
    "RefreshWithMFAUnsupportedError": _UNUSABLE_CREDENTIALS,
    "MetadataRetrievalError": _UNUSABLE_CREDENTIALS,
    # Configuration.
    "ProfileNotFound": Refusal(
        SettingsError,
        "the AWS profile that is asked for does not exist",
        "'aws configure list-profiles' lists the profiles; see the option 'profile' and "
        "AWS_PROFILE",
    ),
    "NoRegionError": _NO_REGION,
    "InvalidRegionError": Refusal(
        SettingsError, "{place} has no usable name", "see the option 'region'"
    ),
    "ConfigNotFound": _BAD_CONFIGURATION,
    "ConfigParseError": _BAD_CONFIGURATION,
    "InvalidConfigError": _BAD_CONFIGURATION,
    "InvalidRetryConfigurationError": _BAD_CONFIGURATION,
    "InvalidProxiesConfigError": _BAD_CONFIGURATION,
    "InvalidIMDSEndpointError": _BAD_CONFIGURATION,
    "InvalidIMDSEndpointModeError": _BAD_CONFIGURATION,
    "InvalidEndpointConfigurationError": _BAD_CONFIGURATION,
    "InvalidDefaultsMode": _BAD_CONFIGURATION,
    "BaseEndpointResolverError": _BAD_CONFIGURATION,
    "EndpointProviderError": _BAD_CONFIGURATION,
    "UnknownCredentialError": _BAD_CONFIGURATION,
    "MissingDependencyException": Refusal(
        SettingsError,
        "the AWS credentials of this kind need a package that is not installed",
        "pip install 'botocore[crt]'",
    ),
    "OSError": UNREADABLE_FILE,
    # Network.
    "EndpointConnectionError": _UNREACHABLE,
    "ProxyConnectionError": _UNREACHABLE,
    "ConnectionError": _UNREACHABLE,
    "ConnectTimeoutError": _TOO_SLOW,
    "ReadTimeoutError": _TOO_SLOW,
    "ConnectionClosedError": _CUT_OFF,
    "SSLError": _CUT_OFF,
    "HTTPClientError": _CUT_OFF,
    "IncompleteReadError": _CUT_OFF,
    "ChecksumError": _CUT_OFF,
    "FlexibleChecksumError": _CUT_OFF,
    # Anything else that the client raises on purpose.
    "BotoCoreError": Refusal(
        ProviderError,
        "the AWS client could not make the call for the key {key}",
        "report it with the output of: pip list",
    ),
}


def refusal_for_status(status: int, code: str) -> Refusal:
    """Return the meaning of a reply whose code is in no table, by its HTTP status."""
    if status >= 500:
        return Refusal(UnavailableError, f"AWS failed on its side ({code})", "try again later")
    if status == 429:
        return Refusal(ThrottledError, f"AWS asks for fewer requests ({code})", "try again later")
    return Refusal(ProviderError, f"AWS refused the request for the key {{key}} ({code})")
