"""What identity refuses, in the words of its own interface: status, code and sentence."""

from __future__ import annotations


class IamError(Exception):
    """A refusal of the identity API."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status, self.code, self.message = status, code, message
        super().__init__(message)


def bad_request(message: str) -> IamError:
    """The request cannot be understood."""
    return IamError(400, "IAM.0011", message)


def unauthorized(message: str) -> IamError:
    """The credentials are not good enough."""
    return IamError(401, "IAM.0001", message)


def forbidden(message: str) -> IamError:
    """The caller may not do this."""
    return IamError(403, "IAM.0002", message)


def not_found(message: str) -> IamError:
    """There is no such thing, or not for this caller."""
    return IamError(404, "IAM.0004", message)


def conflict(message: str) -> IamError:
    """Something is in the way."""
    return IamError(409, "IAM.0009", message)


def too_many(message: str) -> IamError:
    """Not so often."""
    return IamError(429, "IAM.0012", message)
