"""What every identity route works with: the router, its two spellings of a path, and the collaborators.

Each path answers with and without a slash at its end, because clients sign what they send and do not follow
redirects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request

from cachestead.api.iam.errors import IamRoute
from cachestead.identity.authentication import Authenticator
from cachestead.identity.sign_in import SignIn
from cachestead.store.database import Database

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True)
class Identity:
    """What the identity routes work with; `bootstrap` puts one into `app.state.identity`."""

    database: Database
    authenticator: Authenticator
    sign_in: SignIn
    public_url: str

    @property
    def region(self) -> str:
        """Id of the region."""
        return self.authenticator.region


def _identity(request: Request) -> Identity:
    found: Identity = request.app.state.identity
    return found


Room = Annotated[Identity, Depends(_identity)]


def new_router() -> APIRouter:
    """A router of the identity API."""
    return APIRouter(route_class=IamRoute, tags=["identity"])


def answers_at(router: APIRouter, path: str, *methods: str, status: int = 200) -> Callable[[Endpoint], Endpoint]:
    """Register a route under its path, and under its path with a slash at the end."""

    def register(endpoint: Endpoint) -> Endpoint:
        for shown, each in ((True, path), (False, f"{path}/")):
            router.add_api_route(
                each,
                endpoint,
                methods=list(methods),
                status_code=status,
                include_in_schema=shown,
                operation_id=endpoint.__name__ if shown else None,
            )
        return endpoint

    return register
