"""Building: the store and the refresher that a profile asks for; each loads what it needs and nothing else."""

from __future__ import annotations

from latchboard.credential.profile import Profile
from latchboard.credential.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from latchboard.credential.port import CredentialStore, Refresher


def store_of(profile: Profile, path: str) -> CredentialStore:
    """Where the grant of a profile is kept: in the keyring of this user, or in the file at `path`."""
    if profile.store == "keyring":
        from latchboard.credential.keychain import KeyringCredentialStore

        return KeyringCredentialStore(profile.name)
    from latchboard.credential.file import FileCredentialStore
    from latchboard.host.secret_file import SecretFile

    return FileCredentialStore(SecretFile(path))


def refresher_of(profile: Profile, environ: Mapping[str, str]) -> Refresher:
    """Who asks the issuer of a profile for a new grant; `environ` is asked for the client's secret each time."""
    from latchboard.credential.oauth import OAuthRefresher

    variable = profile.client_secret_env
    return OAuthRefresher(
        credential=profile.name,
        token_endpoint=profile.token_endpoint,
        client_id=profile.client_id,
        client_secret=(lambda: Secret(environ.get(variable, ""))) if variable else None,
        auth_method=profile.auth_method,
        timeout_s=profile.limits.call_s_max,
    )
