"""Links to objects that go through this service: whoever has one may read that object until it expires."""

from __future__ import annotations

import hmac
from urllib.parse import quote, urlencode

PATH = "/objects"


class Links:
    """Signs links and checks them."""

    def __init__(self, base: str, key: str) -> None:
        self._base, self._key = base, key.encode()

    def sign(self, bucket: str, key: str, expires: int) -> str:
        """The link. `expires` is in seconds since 1970."""
        query = urlencode({"expires": expires, "signature": self._signature(bucket, key, str(expires))})
        return f"{self._base}{PATH}/{quote(bucket)}/{quote(key)}?{query}"

    def is_signed(self, bucket: str, key: str, expires: str, signature: str) -> bool:
        """Whether exactly this was signed here. Says nothing about the time."""
        expected = self._signature(bucket, key, expires)
        return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogatepass"))

    def _signature(self, bucket: str, key: str, expires: str) -> str:
        text = f"GET\n{bucket}\n{key}\n{expires}"
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256").hex()
