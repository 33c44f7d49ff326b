"""The public contract as data (`../shared/contract` beside the repository), and what an answer must be to keep it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("CACHESTEAD_CONTRACT", Path(__file__).resolve().parents[2] / "shared" / "contract"))
MISSING = "" if FOLDER.is_dir() else f"the contract is not beside the repository ({FOLDER})"

EVERY_FIELD = "*"
NULLS: dict[str, set[str]] = {
    # The contract marks what examples show as null. Here is what is null for other reasons.
    "ConfigTemplatesListInfo": {"created_at"},  # of the system's
    "ShowConfigTemplateResponse": {"created_at"},
    "BandwidthInfo": {  # nothing was expanded
        "begin_time", "end_time", "next_expand_time", "expand_effect_time", "expand_interval_time", "max_expand_count",
    },
    "DetailsBody": {EVERY_FIELD},  # only what the task changed is set
    "SingleBackgroundTask": {"params"},
    "ListCenterTasksResp": {"params"},
    "ShowJobInfoResponse": {"end_time"},  # it runs
    "ShowInstanceResponse": {"launched_at"},  # it is being made
    "ShowBackgroundTaskProgressResponse": {"remain_time"},
    "ShowInstanceVersionResponse": {"proxy_minor_version", "latest_proxy_minor_version"},  # it has no proxy
    "StepDetail": {"end_time"},
    "UpdateSslSwitchResponse": {"result"},  # it has only begun
    "ShowInstanceSslDetailResponse": {"ipv6"},  # addresses are IPv4
    "BackupFilesBody": {"bucket_name", "backup_id"},  # one of them says what is imported
    "Files": {"size", "update_at"},  # as the caller gave them
    "SourceInstanceBody": {"password"},  # nobody is told one
    "TargetInstanceBody": {"password"},
    "MigrationTaskList": {"ecs_tenant_private_ip", "released_at", "version", "resume_mode"},  # of online migration
    "ShowMigrationTaskResponse": {
        "ecs_tenant_private_ip", "network_type", "source_instance", "released_at", "version", "resume_mode",
        "bandwidth_limit_mb", "tenant_vpc_id", "tenant_subnet_id", "tenant_security_group_id",
    },
    "ShowMigrationTaskStatsResponse": {"source_dbsize", "target_dbsize", "target_input_kbps", "target_ops"},
}  # fmt: skip
"""Fields that may be null although the contract shows no sign of it, by schema."""

ADDITIONS: dict[str, set[str]] = {
    "ShowInstanceResponse": {"fail_reason"},
    "SingleBackgroundTask": {"error_code", "job_id"},  # the SDK's ListCenterTasksResp has them
    "QueryRedisConfig": {"need_restart"},  # what Terraform reads
    "ShowConfigTemplateResponse": {"params"},  # the same
    "DeleteIpFromDomainNameResponse": {"jobId"},  # what Terraform reads
    "ShowMigrationTaskResponse": {"error_message"},  # its list has it
    "ErrorResponse": {"request_id"},  # of 401, as the public gateway answers
}
"""Fields that the contract does not have."""

EMPTY_OBJECTS = {"create_acl_account"}
"""Operations that answer `{}` where the contract has no body: Terraform reads one."""

OPEN_ENUMS = {
    # The reference names some of the words only; these lists are not closed.
    ("SingleBackgroundTask", "name"),
    ("ListCenterTasksResp", "name"),
    ("ShowJobInfoResponse", "job_type"),
    (
        "InstanceReplicationDimensionsInfo",
        "name",
    ),  # its table is of replicas; a proxy's is among `monitored_dimensions`
    ("FlavorsItems", "engine"),  # its example shows redis in lower case
    ("FlavorsItems", "product_type"),  # the Chinese text of 4.1.4 adds enterprise
}


def contract_file(name: str) -> Path:
    """A file of the contract; the test is skipped where there is none."""
    if MISSING:
        pytest.skip(MISSING)
    return FOLDER / name


def _load(name: str, otherwise: Any) -> Any:
    return otherwise if MISSING else json.loads((FOLDER / name).read_text())


OPERATIONS: dict[str, dict[str, Any]] = {one["id"]: one for one in _load("operations.json", [])}
SCHEMAS: dict[str, dict[str, Any]] = _load("schemas.json", {})
STATUSES: set[str] = {
    word
    for kind in ("short", "long")
    for word, _ in _load("enums.json", {}).get("instance_statuses", {}).get(kind, {}).get("values", [])
}


def success_of(operation: dict[str, Any]) -> dict[int, str | None]:
    """Documented statuses of success, each with the schema of its answer (None: no body)."""
    return {int(code): one["schema"] for code, one in operation["responses"].items() if code.startswith("2")}


def departures(value: Any, kind: str, where: str = "answer") -> Iterator[str]:
    """Everything in which a value is not of this type of the contract, in words."""
    if kind.startswith("Array<"):
        if not isinstance(value, list):
            yield f"{where}: {value!r} is no list"
            return
        for place, item in enumerate(value):
            yield from departures(item, kind[6:-1], f"{where}[{place}]")
    elif kind in SCHEMAS and SCHEMAS[kind]["kind"] == "any":
        return
    elif kind in SCHEMAS:
        yield from _object_departures(value, kind, where)
    elif not _is_a(value, kind):
        yield f"{where}: {value!r} is no {kind}"


def _object_departures(value: Any, schema: str, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: {value!r} is no {schema}"
        return
    fields = {one["name"]: one for one in SCHEMAS[schema]["fields"]}
    for name in value.keys() - fields.keys() - ADDITIONS.get(schema, set()):
        yield f"{where}.{name}: not a field of {schema}"
    for name, field in fields.items():
        place = f"{where}.{name}"
        if name not in value:
            yield f"{place}: missing"
        elif value[name] is None:
            nulls = NULLS.get(schema, set())
            if not (field["nullable"] or name in nulls or EVERY_FIELD in nulls):
                yield f"{place}: null"
        else:
            yield from departures(value[name], field["type"], place)
            yield from _word_departures(value[name], schema, field, place)


def _word_departures(value: Any, schema: str, field: dict[str, Any], where: str) -> Iterator[str]:
    known = field["enum"]
    if known and (schema, field["name"]) not in OPEN_ENUMS:
        words = value if isinstance(value, list) else [value]
        yield from (f"{where}: {word!r} is none of {known}" for word in words if word not in known)
    if "instance_statuses" in (field["notes"] or "") and value not in STATUSES:
        yield f"{where}: {value!r} is no state of an instance"


def _is_a(value: Any, kind: str) -> bool:
    match kind:
        case "String":
            return isinstance(value, str)
        case "Integer" | "Long":
            return isinstance(value, int) and not isinstance(value, bool)
        case "Float" | "Double":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "Boolean":
            return isinstance(value, bool)
        case "Object" | "Map<String,String>":
            return isinstance(value, dict)
        case "Any":
            return True
    raise LookupError(f"the contract has no type {kind}")
