"""What routes need, built once by `bootstrap` and found on the application."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from cachestead.api.iam.room import Identity
from cachestead.operations.audit import Trail
from cachestead.operations.service import Service
from cachestead.settings import Settings


@dataclass(frozen=True)
class Services:
    """The application's collaborators."""

    settings: Settings
    service: Service
    identity: Identity
    trail: Trail
    """Where traces of calls go."""
    registry: CollectorRegistry
    """The service's own figures."""
    scrape_token: str = field(repr=False)
    """Opens `/metrics`."""


async def _service_of(request: Request) -> Service:
    # A coroutine, though it awaits nothing: FastAPI runs plain functions in a thread.
    services: Services = request.app.state.services
    return services.service


Use = Annotated[Service, Depends(_service_of)]
"""How a route asks for the operations' collaborators."""
