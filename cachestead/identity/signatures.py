"""Signed requests: SDK-HMAC-SHA256 and its relatives, as the public clients really compute them.

Pure: a request and a secret key go in, nothing or a refusal comes out. Three schemes are understood, told apart by
the `Authorization` header:

- `SDK-HMAC-SHA256 Access=…`: the vendor's SDKs and Terraform provider; the secret key signs;
- `SDK-HMAC-SHA256 Credential=…/sdk_request`: the older form of OTC's Terraform provider, with a chain of keys;
- `V11-HMAC-SHA256 Credential=…`: the SDK's derived key (HKDF).

The promise: what is verified is what the application sees. Path and query are decoded the way the framework
decodes them, the body is hashed byte for byte, and every value of a repeated key or signed header counts.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from urllib.parse import quote, quote_plus, unquote_to_bytes

from cachestead.errors import IncorrectAuthentication

Headers = Sequence[tuple[bytes, bytes]]
"""As ASGI has them: lower-case names, values as sent, repeated ones in order."""

_DATE = "x-sdk-date"
_CONTENT_HASH = "x-sdk-content-sha256"
_UNSIGNED = "UNSIGNED-PAYLOAD"
_EMPTY_HASH = hashlib.sha256(b"").hexdigest()
_PLAIN_PATH = re.compile(rb"[A-Za-z0-9\-_.~/]*")
_DATE_FORM = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_DATE_COMPLAINT = "X-Sdk-Date must be of the form YYYYMMDDTHHMMSSZ."
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_DECLARED = re.compile(rf"[0-9a-f]{{64}}|{_UNSIGNED}")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_ACCESS_KEY = re.compile(r"[!-+\--.0-~]{1,64}")  # printable, without comma and slash


class Scheme(Enum):
    """How the signing key is made from the secret key."""

    DIRECT = "SDK-HMAC-SHA256 Access"
    CHAINED = "SDK-HMAC-SHA256 Credential"
    DERIVED = "V11-HMAC-SHA256 Credential"

    @property
    def algorithm(self) -> str:
        """First line of the string to sign."""
        return self.value.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class Claim:
    """What an `Authorization` header says: whose key signed which headers."""

    scheme: Scheme
    access_key: str
    scope: str
    """Everything after the access key in `Credential=`; empty for `Access=`."""
    signed_headers: tuple[str, ...]
    signature: str


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """The parts of a request that a signature may cover, as they came over the wire."""

    method: str
    raw_path: bytes
    query: bytes
    headers: Headers
    body: bytes | None
    """None for one that comes later: what was declared of it is taken for true, and has to be checked then."""


def refusal(reason: str = "verify aksk signature fail", detail: str | None = None) -> IncorrectAuthentication:
    """The gateway's answer to a signature that does not hold."""
    return IncorrectAuthentication(detail, name=reason)


def parse_authorization(value: str) -> Claim:
    """Read the header; raises `IncorrectAuthentication` if it is none of the three schemes."""
    algorithm, _, rest = value.strip().partition(" ")
    parts: dict[str, str] = {}
    for piece in rest.split(","):
        key, _, text = piece.strip().partition("=")
        if key in parts:
            raise refusal(detail=f"{key} stands twice in the Authorization header.")
        parts[key] = text
    scheme = _scheme_of(algorithm, parts)
    if scheme is Scheme.DIRECT:
        access_key, scope = parts["Access"], ""
    else:
        access_key, _, scope = parts["Credential"].partition("/")
    signed = tuple(parts.get("SignedHeaders", "").split(";"))
    signature = parts.get("Signature", "")
    if not _ACCESS_KEY.fullmatch(access_key) or not _SIGNATURE.fullmatch(signature):
        raise refusal(detail="The Authorization header is malformed.")
    if not all(_HEADER_NAME.fullmatch(name) for name in signed):
        raise refusal(detail="SignedHeaders is malformed.")
    if _DATE not in signed:
        raise refusal(detail="X-Sdk-Date must be one of the signed headers.")
    return Claim(scheme, access_key, scope, signed, signature)


def _scheme_of(algorithm: str, parts: dict[str, str]) -> Scheme:
    for scheme in Scheme:
        name, _, owner = scheme.value.partition(" ")
        if algorithm == name and owner in parts:
            return scheme
    raise refusal(detail="Sign with SDK-HMAC-SHA256; other algorithms are not supported.")


def verify(claim: Claim, request: SignedRequest, secret_key: str, now: float, skew_seconds: float) -> None:
    """Nothing if the signature holds; raises `IncorrectAuthentication` with the gateway's reason if not."""
    headers = _signed_values(claim, request.headers)
    date = _the_date(headers)
    if abs(now - _epoch(date)) > skew_seconds:
        raise refusal("calc ak sk signature fail:signature expired", "X-Sdk-Date is too far from the time here.")
    if claim.scheme is not Scheme.DIRECT and not _is_scope(claim, date):
        raise refusal(detail="The credential's scope does not fit X-Sdk-Date.")
    key = signing_key(claim, secret_key)
    head = _header_block(claim, headers)
    found = False
    for path, query, payload in _variants(claim, request, headers):
        text = "\n".join((request.method, path, query, head, ";".join(claim.signed_headers), payload))
        expected = _signature(claim, key, date, text)
        found |= hmac.compare_digest(expected, claim.signature)
    if not found:
        raise refusal()


def canonical_path(raw_path: bytes) -> str:
    """Decoded, every segment encoded again, with a slash at the end."""
    if _PLAIN_PATH.fullmatch(raw_path):
        path = raw_path.decode("ascii")
    else:
        path = quote(unquote_to_bytes(raw_path), safe="/~")
    return path if path.endswith("/") else path + "/"


def canonical_query(query: bytes) -> str:
    """Every pair, sorted by decoded key and then by decoded value, encoded again."""
    if not query:
        return ""
    return "&".join(f"{quote(key, safe='~')}={quote(value, safe='~')}" for key, value in sorted(_pairs(query)))


def signing_key(claim: Claim, secret_key: str) -> bytes:
    """The key that signs, made from the secret key as the scheme has it."""
    secret = secret_key.encode()
    if claim.scheme is Scheme.DIRECT:
        return secret
    if claim.scheme is Scheme.CHAINED:
        key = b"SDK" + secret
        for part in claim.scope.split("/"):
            key = _hmac(key, part.encode())
        return key
    # HKDF-SHA256 to one block: extract with the access key as salt, then expand.
    extracted = _hmac(claim.access_key.encode(), secret)
    return _hmac(extracted, claim.scope.encode() + b"\x01").hex().encode()


def _signature(claim: Claim, key: bytes, date: str, canonical_request: str) -> str:
    digest = hashlib.sha256(canonical_request.encode("utf-8", "surrogateescape")).hexdigest()
    lines = [claim.scheme.algorithm, date, digest]
    if claim.scheme is not Scheme.DIRECT:
        lines.insert(2, claim.scope)
    return _hmac(key, "\n".join(lines).encode()).hex()


def _variants(
    claim: Claim, request: SignedRequest, headers: dict[str, list[str]]
) -> Iterable[tuple[str, str, str]]:
    """The (path, query, payload hash) that clients may have signed for this request.

    Nearly always one. An empty body with UNSIGNED-PAYLOAD is hashed by Python and named by Go; Node encodes the
    path without decoding it; OTC's Go client hashes the query of a POST without a body.
    """
    path = canonical_path(request.raw_path)
    query = _chained_query(request.query) if claim.scheme is Scheme.CHAINED else canonical_query(request.query)
    payloads = _payload_hashes(request.body, headers.get(_CONTENT_HASH))
    for payload in payloads:
        yield path, query, payload
    if b"%" in request.raw_path:
        undecoded = quote(request.raw_path, safe="/~")
        yield undecoded if undecoded.endswith("/") else undecoded + "/", query, payloads[0]
    if claim.scheme is Scheme.CHAINED and request.method == "POST" and not request.body:
        yield path, "", hashlib.sha256(_go_encoded(request.query).encode()).hexdigest()


def _payload_hashes(body: bytes | None, declared: list[str] | None) -> tuple[str, ...]:
    """What may stand for the body; `declared` are the values of a *signed* X-Sdk-Content-Sha256."""
    if body is None:
        if declared is None or len(declared) != 1 or not _DECLARED.fullmatch(declared[0]):
            raise refusal(detail="Sign X-Sdk-Content-Sha256: the content's hash, or UNSIGNED-PAYLOAD.")
        return (declared[0],)
    if not body:
        return (_EMPTY_HASH, _UNSIGNED) if declared == [_UNSIGNED] else (_EMPTY_HASH,)
    if declared == [_UNSIGNED]:
        return (_UNSIGNED,)
    # Any other declared value would have to be the real hash, so the real hash is what counts.
    return (hashlib.sha256(body).hexdigest(),)


def _signed_values(claim: Claim, headers: Headers) -> dict[str, list[str]]:
    """The values of the signed headers, by name."""
    wanted = {name.lower().encode(): name for name in claim.signed_headers}
    found: dict[str, list[str]] = {}
    for name, value in headers:
        if name in wanted:
            # Bytes that are not UTF-8 survive as surrogates and are hashed as they came.
            text = value.strip(b" \t").decode("utf-8", "surrogateescape")
            found.setdefault(wanted[name].lower(), []).append(text)
    for signed in claim.signed_headers:
        if signed.lower() not in found:
            raise refusal(detail=f"The signed header {signed} is not in the request.")
    return found


def _header_block(claim: Claim, headers: dict[str, list[str]]) -> str:
    lines = []
    for name in claim.signed_headers:
        for value in sorted(headers[name.lower()]):
            text = re.sub(r"\s+", " ", value) if claim.scheme is Scheme.CHAINED else value
            lines.append(f"{name.lower()}:{text}\n")
    return "".join(lines)


def _the_date(headers: dict[str, list[str]]) -> str:
    if len(headers[_DATE]) != 1:
        raise refusal(detail="X-Sdk-Date stands twice.")
    return headers[_DATE][0]


def _epoch(date: str) -> float:
    if not _DATE_FORM.fullmatch(date):
        raise refusal(detail=_DATE_COMPLAINT)
    try:
        return datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise refusal(detail=_DATE_COMPLAINT) from None


def _is_scope(claim: Claim, date: str) -> bool:
    """Whether the scope is `<date>/<region>/<service>[/sdk_request]` for the date that was signed."""
    parts = claim.scope.split("/")
    if claim.scheme is Scheme.CHAINED:
        return len(parts) == 4 and parts[0] == date[:8] and parts[3] == "sdk_request"
    return len(parts) == 3 and parts[0] == date[:8]


def _pairs(query: bytes) -> list[tuple[bytes, bytes]]:
    pairs = []
    for piece in query.split(b"&"):
        if piece:
            key, _, value = piece.replace(b"+", b" ").partition(b"=")
            pairs.append((unquote_to_bytes(key), unquote_to_bytes(value)))
    return pairs


def _chained_query(query: bytes) -> str:
    """Sorted by key, upper and lower case alike. Clients sign one value of a key: a second never fits."""
    encoded = [(quote(key, safe="~"), quote(value, safe="~")) for key, value in _pairs(query)]
    return "&".join(f"{key}={value}" for key, value in sorted(encoded, key=lambda pair: pair[0].lower()))


def _go_encoded(query: bytes) -> str:
    """The query as Go's `url.Values.Encode` writes it: spaces become `+`."""
    return "&".join(
        f"{quote_plus(key, safe='~')}={quote_plus(value, safe='~')}" for key, value in sorted(_pairs(query))
    )


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
