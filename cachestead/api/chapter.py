"""Chapters: one router per chapter of the reference, with the house rules built in.

A route is refused at start when it has no docstring, no access parameter or no id of the contract as its name, so
that what is routed is also documented and guarded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

from fastapi import APIRouter
from fastapi.params import Depends

Route = TypeVar("Route", bound=Callable[..., Any])


class Chapter:
    """A chapter's routes. Function name = operation id of the contract."""

    def __init__(self, section: str, title: str) -> None:
        self.section, self.title = section, title
        self.router = APIRouter(tags=[title], redirect_slashes=False)

    def get(self, path: str, status: int = 200) -> Callable[[Route], Route]:
        """A query."""
        return self._route("GET", path, status)

    def post(self, path: str, status: int = 200) -> Callable[[Route], Route]:
        """A creation or an action."""
        return self._route("POST", path, status)

    def put(self, path: str, status: int = 200) -> Callable[[Route], Route]:
        """A change."""
        return self._route("PUT", path, status)

    def delete(self, path: str, status: int = 200) -> Callable[[Route], Route]:
        """A removal."""
        return self._route("DELETE", path, status)

    def _route(self, method: str, path: str, status: int) -> Callable[[Route], Route]:
        def register(function: Route) -> Route:
            if not function.__doc__:
                raise TypeError(f"route {function.__name__} has no docstring")
            if not _has_access_parameter(function):
                raise TypeError(f"route {function.__name__} does not say who may call it")
            self.router.add_api_route(
                path,
                function,
                methods=[method],
                status_code=status,
                operation_id=function.__name__,
                name=function.__name__,
                summary=function.__doc__.splitlines()[0],
            )
            return function

        return register


def _has_access_parameter(function: Callable[..., Any]) -> bool:
    hint = get_type_hints(function, include_extras=True).get("caller")
    return any(isinstance(extra, Depends) for extra in getattr(hint, "__metadata__", ()))
