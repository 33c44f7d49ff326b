"""What clients send to identity. Unknown keys are ignored: clients send more than is needed here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from cachestead.identity.refusals import bad_request
from cachestead.identity.sign_in import DomainScope, EarlierToken, Password, ProjectScope, Reference
from cachestead.operations.roles import RoleOrder
from cachestead.operations.users import UserChanges

Text = Annotated[str, Field(max_length=255, pattern=r"^[^\x00]*$")]
"""A name or an id; no database takes NUL."""


class Body(BaseModel):
    """Part of a request. Values never appear in an error: they may be secret."""

    model_config = ConfigDict(hide_input_in_errors=True, strict=True, frozen=True)


class Named(Body):
    """Something by id, by name, or by both."""

    id: Text | None = None
    name: Text | None = None

    def reference(self) -> Reference:
        """The same as a value; an empty text says nothing."""
        return Reference(self.id or None, self.name or None)


class InDomain(Named):
    """Something whose name is unique within its domain only."""

    domain: Named | None = None

    def domain_reference(self) -> Reference:
        """The domain; nothing is said by leaving it out or by null."""
        return self.domain.reference() if self.domain else Reference()


class PasswordUser(InDomain):
    """The user and its password."""

    password: Annotated[SecretStr, Field(max_length=1024)]


class PasswordMethod(Body):
    """The `password` section."""

    user: PasswordUser


class TokenMethod(Body):
    """The `token` section."""

    id: SecretStr


class Proof(Body):
    """Who is signing in, and how it is proved."""

    methods: list[str]
    password: PasswordMethod | None = None
    token: TokenMethod | None = None


class Scope(Body):
    """What the token is to be for."""

    project: InDomain | None = None
    domain: Named | None = None


class Auth(Body):
    """The whole request, below `auth`."""

    identity: Proof
    scope: Scope | str | None = None


class SignInBody(Body):
    """`POST /v3/auth/tokens`."""

    auth: Auth

    def proof(self) -> Password | EarlierToken:
        """The proof that is offered; a password before a token."""
        given = self.auth.identity
        if "password" in given.methods and given.password is not None:
            user = given.password.user
            return Password(user.reference(), user.domain_reference(), user.password.get_secret_value())
        if "token" in given.methods and given.token is not None:
            return EarlierToken(given.token.id.get_secret_value())
        raise bad_request("Request body is invalid: auth.identity must have the method password or token.")

    def scope(self) -> ProjectScope | DomainScope:
        """The scope that is asked for; a project before a domain, the region's project without either."""
        given = self.auth.scope
        if not isinstance(given, Scope):
            return ProjectScope()
        if given.project is not None:
            return ProjectScope(given.project.reference(), given.project.domain_reference())
        if given.domain is not None:
            return DomainScope(given.domain.reference())
        return ProjectScope()


# --- users ----------------------------------------------------------------------------------------------------

Secret = Annotated[SecretStr, Field(max_length=1024)]
_PROFILE = ("description", "email", "areacode", "phone", "access_mode", "pwd_status", "xuser_id", "xuser_type")


class ChangedUser(Body):
    """What a user is to be; what is left out stays."""

    name: Text | None = None
    domain_id: Text | None = None
    password: Secret | None = None
    enabled: bool | None = None
    description: Text | None = None
    email: Text | None = None
    areacode: Text | None = None
    phone: Text | None = None
    access_mode: Literal["default", "programmatic"] | None = None
    """There is no console here that a user could be for."""
    pwd_status: bool | None = None
    xuser_id: Annotated[str, Field(max_length=128)] | None = None
    xuser_type: Literal["TenantIdp", ""] | None = None

    def changes(self) -> UserChanges:
        """The same as a value."""
        profile = {name: getattr(self, name) for name in _PROFILE if getattr(self, name) is not None}
        return UserChanges(
            self.name, self.password.get_secret_value() if self.password else None, self.enabled, profile
        )


class ChangedUserBody(Body):
    """`PUT /v3.0/OS-USER/users/{user_id}` and `PATCH /v3/users/{user_id}`."""

    user: ChangedUser


class NewUser(ChangedUser):
    """A user that is to be made."""

    name: Text


class NewUserBody(Body):
    """`POST /v3.0/OS-USER/users` and `POST /v3/users`."""

    user: NewUser


class NewPassword(Body):
    """The old password and the new one."""

    original_password: Secret
    password: Secret


class NewPasswordBody(Body):
    """`POST /v3/users/{user_id}/password`."""

    user: NewPassword


# --- groups ---------------------------------------------------------------------------------------------------


class ChangedGroup(Body):
    """What a group is to be."""

    name: Text | None = None
    description: Text | None = None
    domain_id: Text | None = None


class ChangedGroupBody(Body):
    """`PATCH /v3/groups/{group_id}`."""

    group: ChangedGroup


class NewGroup(ChangedGroup):
    """A group that is to be made."""

    name: Text


class NewGroupBody(Body):
    """`POST /v3/groups`."""

    group: NewGroup


# --- policies -------------------------------------------------------------------------------------------------


class RoleBody(Body):
    """A custom policy, below `role`."""

    display_name: Text
    type: Text
    description: Text
    description_cn: Text | None = None
    policy: dict[str, Any]


class RoleOrderBody(Body):
    """`POST /v3.0/OS-ROLE/roles` and `PATCH /v3.0/OS-ROLE/roles/{role_id}`."""

    role: RoleBody

    def order(self) -> RoleOrder:
        """The same as a value."""
        given = self.role
        return RoleOrder(given.display_name, given.type, given.description, given.policy)


# --- access keys ----------------------------------------------------------------------------------------------


class NewCredential(Body):
    """An access key that is to be made."""

    user_id: Text
    description: Text | None = None


class NewCredentialBody(Body):
    """`POST /v3.0/OS-CREDENTIAL/credentials`."""

    credential: NewCredential


class ChangedCredential(Body):
    """What an access key is to be."""

    status: Literal["active", "inactive"] | None = None
    description: Text | None = None


class ChangedCredentialBody(Body):
    """`PUT /v3.0/OS-CREDENTIAL/credentials/{access_key}`."""

    credential: ChangedCredential


class Life(Body):
    """The `token` section: which token asks, and for how long."""

    id: SecretStr | None = None
    duration_seconds: int | None = None


class TemporaryIdentity(Body):
    """Who asks for a temporary key, and beyond what it is not to reach."""

    methods: list[str]
    token: Life | None = None
    policy: dict[str, Any] | None = None


class TemporaryAuth(Body):
    """The whole request, below `auth`."""

    identity: TemporaryIdentity


class TemporaryKeyBody(Body):
    """`POST /v3.0/OS-CREDENTIAL/securitytokens`."""

    auth: TemporaryAuth
