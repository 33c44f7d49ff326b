"""What every answer tells browsers, and how often a caller may ask.

Middleware around the routes. Limits are buckets: each caller's fills at a steady rate up to a burst, every request
takes one out, and who finds it empty is told when to come again. Who is not signed in is known by address.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cachestead.api.access import caller_in, send_refusal
from cachestead.errors import TooManyRequests
from cachestead.settings import LimitSettings

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
"""Answers are data, for programs: nothing is to be run, framed or kept."""
STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000")
_CALLERS = 10_000
"""Buckets that are kept; who has not called for longest is forgotten first, and has a full one then."""


class SecurityHeaders:
    """Adds to every answer the headers that it does not have."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        wanted = (*HEADERS, STRICT_TRANSPORT) if scope["scheme"] == "https" else HEADERS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                there = {name.lower() for name, _ in own}
                message["headers"] = own + [one for one in wanted if one[0] not in there]
            await send(message)

        await self._app(scope, receive, send_with_headers)


@dataclass
class _Bucket:
    left: float
    at: float


class Buckets:
    """How many requests each caller has left."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        """`rate` is per second, and 0 is without end; `clock` tells seconds."""
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, caller: str) -> float:
        """Take one out; 0, or the seconds until there is one again."""
        if not self._rate:
            return 0.0
        now = self._clock()
        bucket = self._buckets.pop(caller, None) or _Bucket(self._burst, now)
        self._buckets[caller] = bucket
        if len(self._buckets) > _CALLERS:
            self._buckets.popitem(last=False)
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.left >= 1:
            bucket.left -= 1
            return 0.0
        return (1 - bucket.left) / self._rate


class RateLimit:
    """Refuses who asks too often, after it is known who asks and before any route runs."""

    def __init__(self, app: ASGIApp, limits: LimitSettings, clock: Callable[[], float]) -> None:
        self._app = app
        self._callers = Buckets(limits.requests_per_second, limits.burst, clock)
        self._strangers = Buckets(limits.unsigned_per_second, limits.unsigned_burst, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        wait = self._take(scope) if scope["type"] == "http" else 0.0
        if not wait:
            await self._app(scope, receive, send)
            return
        again = str(math.ceil(wait))
        refusal = TooManyRequests(f"try again in {again} s")
        await send_refusal(refusal, scope, send, [(b"retry-after", again.encode())])

    def _take(self, scope: Scope) -> float:
        caller = caller_in(scope)
        if caller is not None:
            return self._callers.take(caller.user_id)
        address, _ = scope.get("client") or ("", 0)
        return self._strangers.take(address)
