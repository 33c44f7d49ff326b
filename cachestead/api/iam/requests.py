"""What clients send to sign in. Unknown keys are ignored: clients send more than is needed here."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from cachestead.api.iam.errors import bad_request
from cachestead.identity.sign_in import DomainScope, EarlierToken, Password, ProjectScope, Reference

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
