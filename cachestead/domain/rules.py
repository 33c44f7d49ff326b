"""What callers may write in the fields of an instance, each rule with its documented code.

Every function returns the value in the form the product keeps, or raises the catalogued error with a sentence that
names the field. Reference: sections 4.1.1, 4.1.6, 4.2.2, 4.2.3 and `service-limits` 5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cachestead import errors
from cachestead.domain.commands import COMMAND_NAMES

MAX_BATCH_IDS = 50
RENAMEABLE = ("command", "keys", "flushdb", "flushall", "hgetall", "scan", "hscan", "sscan", "zscan")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_NEW_COMMAND = re.compile(r"[A-Za-z][A-Za-z0-9_-]{3,63}")
_TAG_KEY = re.compile(r"[\w .:=+@-]+")
_TAG_VALUE = re.compile(r"[\w .:=+@/-]*")
_PASSWORD_SPECIALS = "`~!@#$^&*()-_=+\\|{},<.>/?"  # noqa: S105 - the documented set, not a password
_HOUR = re.compile(r"([0-9]{2})(?::00(?::00)?)?")
_HOUR_SLOT = re.compile(r"([0-9]{2}):00-([0-9]{2}):00")
_OFFSET = re.compile(r"[+-]?(?:(?:0[0-9]|1[01])[0-5][0-9]|1200)")
_LONG_WINDOWS = {2, 6, 10, 14, 18, 22}
_MAX_TAGS = 20


def check_name(name: str, count: int = 1) -> str:
    """An instance name: 4-64 characters, 4-56 when a number is appended to it."""
    longest = 64 if count == 1 else 56
    if not 4 <= len(name) <= longest or not _NAME.fullmatch(name):
        raise errors.InvalidName(
            f"name: 4-{longest} characters, letters, digits, _ and -, beginning with a letter or digit"
        )
    return name


def check_description(description: str | None) -> str | None:
    """Free text of at most 1024 characters."""
    if description is not None and (len(description) > 1024 or "\x00" in description):
        raise errors.InvalidDescription("description")
    return description


def check_password(password: str, field: str = "password") -> str:
    """8-64 characters of at least three kinds. The SDK's text says 32; the reference's tables say 64."""
    kinds = (
        any(c.islower() and c.isascii() for c in password),
        any(c.isupper() and c.isascii() for c in password),
        any(c.isdigit() and c.isascii() for c in password),
        any(c in _PASSWORD_SPECIALS for c in password),
    )
    known = all(c.isascii() and (c.isalnum() or c in _PASSWORD_SPECIALS) for c in password)
    if not 8 <= len(password) <= 64 or sum(kinds) < 3 or not known:
        raise errors.WeakPassword(
            f"{field}: 8-64 characters with three of lower case, upper case, digits and {_PASSWORD_SPECIALS}"
        )
    return password


def check_port(port: int) -> int:
    """A TCP port."""
    if not 1 <= port <= 65535:
        raise errors.InvalidParameter("port: 1-65535", name="port")
    return port


def check_maintenance_window(begin: str | None, end: str | None) -> tuple[str, str] | None:
    """Both ends as HH:00:00, or None when neither is given.

    The documents offer one-hour windows, older clients send the four-hour ones: both are taken.
    """
    if begin is None and end is None:
        return None
    first, last = _HOUR.fullmatch(begin or ""), _HOUR.fullmatch(end or "")
    if not first or not last:
        raise errors.InvalidMaintenanceWindow("maintain_begin and maintain_end: both, as HH:00:00")
    start, stop = int(first[1]), int(last[1])
    hours = (stop - start) % 24
    if start > 23 or stop > 23 or not (hours == 1 or (hours == 4 and start in _LONG_WINDOWS)):
        raise errors.InvalidMaintenanceWindow("maintain_begin and maintain_end: one of the windows on offer")
    return f"{start:02}:00:00", f"{stop:02}:00:00"


def check_backup_policy(policy: Mapping[str, Any]) -> dict[str, Any]:
    """A backup policy as kept: type, days and weekly plan. A manual policy may leave the plan out."""
    kind = policy.get("backup_type")
    if kind not in ("auto", "manual"):
        raise errors.InvalidBackupType("instance_backup_policy.backup_type: auto or manual")
    days, plan = policy.get("save_days"), policy.get("periodical_backup_plan")
    kept: dict[str, Any] = {"backup_type": kind}
    if days is not None or kind == "auto":
        kept["save_days"] = _check_save_days(days)
    if plan is not None or kind == "auto":
        kept["periodical_backup_plan"] = _check_plan(plan)
    return kept


def _check_save_days(days: Any) -> int:
    number = _whole(days)
    if number is None or not 1 <= number <= 7:
        raise errors.InvalidSaveDays("instance_backup_policy.save_days: 1-7")
    return number


def _check_plan(plan: Any) -> dict[str, Any]:
    where = "instance_backup_policy.periodical_backup_plan"
    plan = plan if isinstance(plan, Mapping) else {}
    if plan.get("period_type") != "weekly":
        raise errors.InvalidPeriodType(f"{where}.period_type: weekly")
    days = plan.get("backup_at")
    numbers = [_whole(day) for day in days] if isinstance(days, list) else []
    if not numbers or any(day is None or not 1 <= day <= 7 for day in numbers) or len(set(numbers)) < len(numbers):
        raise errors.InvalidBackupAt(f"{where}.backup_at: weekdays 1-7, each once")
    begin = plan.get("begin_at")
    slot = _HOUR_SLOT.fullmatch(begin) if isinstance(begin, str) else None
    if not slot or int(slot[1]) > 23 or int(slot[2]) not in ((int(slot[1]) + 1) % 24, int(slot[1]) + 1):
        raise errors.InvalidBeginAt(f"{where}.begin_at: one whole hour, as 00:00-01:00")
    kept = {"period_type": "weekly", "backup_at": sorted(day for day in numbers if day), "begin_at": begin}
    offset = plan.get("timezone_offset")
    if offset is not None:
        if not isinstance(offset, str) or not _OFFSET.fullmatch(offset):
            raise errors.InvalidParameter(f"{where}.timezone_offset: -1200 to +1200", name="timezone_offset")
        kept["timezone_offset"] = offset
    return kept


def check_rename_commands(renames: Mapping[str, Any]) -> dict[str, str]:
    """New names for commands, by lower-case command; null or an empty name leaves a command as it is."""
    kept: dict[str, str] = {}
    for command, new in renames.items():
        if command not in RENAMEABLE:
            raise _bad_rename(f"{command[:64]!r} cannot be renamed; these can: {', '.join(RENAMEABLE)}")
        if new in (None, ""):
            continue
        if not isinstance(new, str) or not _NEW_COMMAND.fullmatch(new):
            raise _bad_rename(f"{command}: 4-64 letters, digits, _ and -, beginning with a letter")
        if new.lower() in COMMAND_NAMES:
            # The engine would refuse to start.
            raise _bad_rename(f"{command}: {new[:64]!r} is a command already")
        kept[command] = new
    names = [name.lower() for name in kept.values()]
    if len(set(names)) < len(names):
        raise _bad_rename("two commands cannot have one name")
    return kept


def _bad_rename(detail: str) -> errors.InvalidParameter:
    return errors.InvalidParameter(f"rename_commands: {detail}", name="rename_commands")


def check_tags(tags: Iterable[Mapping[str, Any]], key_length: int = 36, value_length: int = 43) -> dict[str, str]:
    """Tags by key, at most as many as an instance may have. Creation allows 36 and 43 characters."""
    kept: dict[str, str] = {}
    for tag in tags:
        key, value = _tag_text(tag, "key"), _tag_text(tag, "value")
        if (
            not 1 <= len(key) <= key_length
            or not _TAG_KEY.fullmatch(key)
            or key != key.strip()
            or key.startswith("_sys_")
        ):
            raise _bad_tag(f"key: 1-{key_length} letters, digits, spaces and _.:=+-@, not beginning with _sys_")
        if len(value) > value_length or not _TAG_VALUE.fullmatch(value) or value != value.strip():
            raise _bad_tag(f"value: up to {value_length} letters, digits, spaces and _.:=+-@/")
        if key in kept:
            raise _bad_tag(f"key {key!r} is there twice")
        kept[key] = value
    if len(kept) > _MAX_TAGS:
        raise _bad_tag(f"at most {_MAX_TAGS} tags")
    return kept


def check_tag_changes(tags: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Tags to be added or removed, by key, at least one; these may be longer. No value is an empty one."""
    if not tags:
        raise _bad_tag("at least one")
    return check_tags(tags, key_length=128, value_length=255)


def add_tags(present: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """An instance's tags with more of them; a key that is there takes the new value."""
    together = {**present, **added}
    if len(together) > _MAX_TAGS:
        raise _bad_tag(f"{len(together)} in all, at most {_MAX_TAGS} are allowed")
    return together


def remove_tags(present: Mapping[str, str], removed: Mapping[str, str]) -> dict[str, str]:
    """An instance's tags without some: those of a key, or only with that very value where there is one."""
    return {key: value for key, value in present.items() if removed.get(key) not in ("", value)}


def _tag_text(tag: Mapping[str, Any], field: str) -> str:
    """A text, or a number as the reference's example has it; nothing and null are an empty text."""
    given = tag.get(field)
    if isinstance(given, bool) or not isinstance(given, str | int | None):
        raise _bad_tag(f"{field}: a text")
    return "" if given is None else str(given)


def _bad_tag(detail: str) -> errors.InvalidParameter:
    return errors.InvalidParameter(f"tags: {detail}", name="tags")


def check_instance_ids(ids: Iterable[Any] | None) -> list[str]:
    """Instance ids of a batch call: at least one, at most 50, each once."""
    if ids is None:
        raise errors.InstancesMissing("instances")
    found = list(ids)
    if not found:
        raise errors.InstancesMissing("instances")
    if len(found) > MAX_BATCH_IDS:
        raise errors.TooManyInstances(f"instances: {len(found)}")
    if any(not isinstance(one, str) for one in found):
        raise errors.InvalidInstanceId("instances: texts")
    return list(dict.fromkeys(found))


def _whole(value: Any) -> int | None:
    """A whole number given as a number or as text; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}", value):
        return int(value)
    return None
