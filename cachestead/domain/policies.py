"""Policies: what a document says, and whether it lets somebody do something.

Nothing is allowed unless a statement allows it, and a statement that denies wins over all that allow. Documents
come in two versions: 1.1, and 5.0, which also names its statements. What is not understood is refused and never
passed over: a condition that nobody looks at would allow more than its author meant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

MAX_LENGTH = 6144
"""Characters of a document, as the public service counts them."""
MAX_STATEMENTS = 8
MAX_CONDITIONS = 10
_MAX_VALUES = 100
_VERSIONS = ("1.1", "5.0")
_ACTION = {
    "1.1": re.compile(r"\*|[A-Za-z0-9_*-]{1,64}(:[A-Za-z0-9_*-]{1,64}){2}"),
    "5.0": re.compile(r"\*|[A-Za-z0-9_*?-]{1,64}(:[A-Za-z0-9_*?-]{1,64}){2}"),
}
_RESOURCE = re.compile(r"\*|[A-Za-z0-9_*-]{1,64}(:[A-Za-z0-9_*-]{0,64}){3}:[^\s\x00]{1,512}")
_TAG = "g:resourcetag/"
_RESOURCE_KEYS = ("g:enterpriseprojectid", _TAG)
_CALLER_KEYS = ("g:userid", "g:username", "g:domainid", "g:projectname")


class PolicyMalformed(Exception):
    """A document is not one, or says something that is not offered; the text names the place."""


class Verdict(Enum):
    """What policies say about one action on one subject."""

    ALLOWED = "allowed"
    DENIED = "denied"
    """A statement denies it."""
    UNSAID = "unsaid"
    """No statement allows it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What somebody wants to act on, and as whom."""

    resource: str
    """`service:region:domain:type:id`; the id is `*` where none is named."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Values of condition keys, by key as `attribute_key` writes it."""


@dataclass(frozen=True, slots=True)
class Condition:
    """The values that one attribute may, or must not, have."""

    operator: str
    key: str
    """As `attribute_key` writes it."""
    values: tuple[str, ...]

    def holds(self, attributes: Mapping[str, str]) -> bool:
        """Whether it does; an attribute that is not there is unlike everything."""
        is_alike, wanted = _OPERATORS[self.operator]
        found = attributes.get(self.key)
        return (found is not None and any(is_alike(value, found) for value in self.values)) is wanted

    @property
    def is_of_resource(self) -> bool:
        """Whether it is about what is acted on rather than about who acts."""
        return self.key.startswith(_RESOURCE_KEYS)


@dataclass(frozen=True, slots=True)
class Statement:
    """Some actions, on some resources, under some conditions."""

    allows: bool
    """False: it denies."""
    actions: tuple[str, ...]
    resources: tuple[str, ...] = ("*",)
    conditions: tuple[Condition, ...] = ()

    def is_about(self, action: str) -> bool:
        """Whether the action is among its own."""
        return any(is_like(pattern.lower(), action.lower()) for pattern in self.actions)

    def applies(self, action: str, subject: Subject) -> bool:
        """Whether it says anything about this."""
        return (
            self.is_about(action)
            and any(is_like(_lower_service(one), _lower_service(subject.resource)) for one in self.resources)
            and all(condition.holds(subject.attributes) for condition in self.conditions)
        )

    @property
    def is_narrow(self) -> bool:
        """Whether it depends on what is acted on."""
        return self.resources != ("*",) or any(condition.is_of_resource for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Policy:
    """A document that was understood."""

    statements: tuple[Statement, ...]


def judge(policies: Iterable[Policy], action: str, subject: Subject) -> Verdict:
    """What the policies say together: a denial wins, and what none allows is not allowed."""
    found = Verdict.UNSAID
    for policy in policies:
        for statement in policy.statements:
            if statement.applies(action, subject):
                if not statement.allows:
                    return Verdict.DENIED
                found = Verdict.ALLOWED
    return found


def depends_on_subject(policies: Iterable[Policy], action: str) -> bool:
    """Whether one has to know what is acted on in order to judge the action."""
    return any(one.is_narrow and one.is_about(action) for policy in policies for one in policy.statements)


def is_like(pattern: str, text: str) -> bool:
    """Whether the text is as the pattern has it: `*` is any characters, `?` is one.

    In steps of pattern times text at most, whatever the pattern: it comes from callers.
    """
    at = place = 0
    star, resume = -1, 0
    while place < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, place
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", text[place]):
            at, place = at + 1, place + 1
        elif star >= 0:
            resume += 1
            at, place = star + 1, resume
        else:
            return False
    return all(letter == "*" for letter in pattern[at:])


def attribute_key(key: str) -> str:
    """A condition key as it is compared: in lower case, but for the key of a tag."""
    name, slash, tag = key.partition("/")
    return name.lower() + slash + tag


def tag_key(key: str) -> str:
    """The condition key of a tag."""
    return _TAG + key


def parse_policy(document: Any) -> Policy:
    """The policy that a document says; raises `PolicyMalformed`."""
    fields = _object(document, "policy", {"Version", "Statement", "Depends"})
    if len(json.dumps(document, separators=(",", ":"), ensure_ascii=False)) > MAX_LENGTH:
        raise PolicyMalformed(f"policy: more than {MAX_LENGTH} characters")
    version = fields.get("Version")
    if version not in _VERSIONS:
        raise PolicyMalformed("policy.Version: 1.1 or 5.0")
    if fields.get("Depends"):
        raise PolicyMalformed("policy.Depends: not offered")
    statements = _list(fields.get("Statement"), "policy.Statement", MAX_STATEMENTS)
    return Policy(tuple(_statement(one, version, f"policy.Statement[{n}]") for n, one in enumerate(statements)))


def _statement(given: Any, version: str, place: str) -> Statement:
    known = {"Effect", "Action", "Resource", "Condition"} | ({"Sid"} if version == "5.0" else set())
    fields = _object(given, place, known)
    if fields.get("Effect") not in ("Allow", "Deny"):
        raise PolicyMalformed(f"{place}.Effect: Allow or Deny")
    if not isinstance(fields.get("Sid", ""), str):
        raise PolicyMalformed(f"{place}.Sid: a text")
    actions = _texts(fields.get("Action"), f"{place}.Action", _ACTION[version])
    resources: tuple[str, ...] = ("*",)
    if fields.get("Resource") is not None:
        resources = _texts(fields["Resource"], f"{place}.Resource", _RESOURCE)
    conditions = _conditions(fields.get("Condition") or {}, f"{place}.Condition")
    return Statement(fields["Effect"] == "Allow", actions, _without_needless(resources), conditions)


def _without_needless(resources: tuple[str, ...]) -> tuple[str, ...]:
    """Without what is meant anyway: `*` is everything."""
    return ("*",) if any(set(one) <= {"*", ":"} for one in resources) else resources


def _conditions(given: Any, place: str) -> tuple[Condition, ...]:
    if not isinstance(given, dict):
        raise PolicyMalformed(f"{place}: an object")
    found = []
    for operator, keys in given.items():
        if operator not in _OPERATORS:
            raise PolicyMalformed(f"{place}: one of {', '.join(_OPERATORS)}")
        if not isinstance(keys, dict) or not keys:
            raise PolicyMalformed(f"{place}.{operator}: an object of keys with their values")
        for key, values in keys.items():
            if not _is_known(attribute_key(key)):
                raise PolicyMalformed(
                    f"{place}.{operator}: keys are g:EnterpriseProjectId, g:ResourceTag/<tag>, g:UserId, "
                    "g:UserName, g:DomainId and g:ProjectName"
                )
            wanted = _list([values] if isinstance(values, str) else values, f"{place}.{operator}.{key}", 10)
            if not all(isinstance(one, str) for one in wanted):
                raise PolicyMalformed(f"{place}.{operator}.{key}: texts")
            found.append(Condition(operator, attribute_key(key), tuple(wanted)))
    if len(found) > MAX_CONDITIONS:
        raise PolicyMalformed(f"{place}: more than {MAX_CONDITIONS} conditions")
    return tuple(found)


def _is_known(key: str) -> bool:
    return key in (*_CALLER_KEYS, "g:enterpriseprojectid") or (key.startswith(_TAG) and len(key) > len(_TAG))


def _object(given: Any, place: str, known: set[str]) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise PolicyMalformed(f"{place}: an object")
    for name in given:
        if name not in known:
            raise PolicyMalformed(f"{place}.{name[:64]}: not offered")
    return given


def _list(given: Any, place: str, most: int) -> list[Any]:
    if not isinstance(given, list) or not 1 <= len(given) <= most:
        raise PolicyMalformed(f"{place}: a list of 1 to {most}")
    return given


def _texts(given: Any, place: str, form: re.Pattern[str]) -> tuple[str, ...]:
    found = _list([given] if isinstance(given, str) else given, place, _MAX_VALUES)
    for one in found:
        if not isinstance(one, str) or not form.fullmatch(one):
            raise PolicyMalformed(f"{place}: texts of the form {_FORMS[place.rpartition('.')[2]]}")
    return tuple(found)


def _lower_service(resource: str) -> str:
    """Names of services are the same in either case; ids are not."""
    service, colon, rest = resource.partition(":")
    return service.lower() + colon + rest


_FORMS = {"Action": "service:type:operation", "Resource": "service:region:domain:type:id"}
_OPERATORS: dict[str, tuple[Callable[[str, str], bool], bool]] = {
    "StringEquals": (str.__eq__, True),
    "StringNotEquals": (str.__eq__, False),
    "StringEqualsIgnoreCase": (lambda value, found: value.lower() == found.lower(), True),
    "StringNotEqualsIgnoreCase": (lambda value, found: value.lower() == found.lower(), False),
    "StringLike": (is_like, True),
    "StringNotLike": (is_like, False),
}
"""How a value and an attribute have to be alike, and whether they have to be."""
