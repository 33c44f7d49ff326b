"""What routes need, built once by `bootstrap` and found on the application."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from cachestead.identity.authentication import Authenticator
from cachestead.operations.service import Service
from cachestead.settings import Settings


@dataclass(frozen=True)
class Services:
    """The application's collaborators."""

    settings: Settings
    authenticator: Authenticator
    service: Service


def _service_of(request: Request) -> Service:
    services: Services = request.app.state.services
    return services.service


Use = Annotated[Service, Depends(_service_of)]
"""How a route asks for the operations' collaborators."""
