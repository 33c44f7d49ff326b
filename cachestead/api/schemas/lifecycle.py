"""Bodies of chapter 4.1, Lifecycle Management."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from cachestead import errors
from cachestead.api.bodies import Refused, RequestBody
from cachestead.api.formats import flag_text, iso_time
from cachestead.domain.flavors import Flavor
from cachestead.domain.instances import Instance
from cachestead.domain.names import domain_name, has_readonly_name, readonly_domain_name
from cachestead.domain.orders import Network, Order
from cachestead.domain.resizing import ResizeWish
from cachestead.domain.sizes import capacity_text, minor_gb, whole_gb
from cachestead.operations.instances import Edit, Outcome


def _finite(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic reports ValueError only
    try:
        number = float(value) if isinstance(value, str) and len(value) < 32 else value
    except ValueError:  # whose text repeats what was written: it may be anything, a password too
        raise ValueError("must be a number") from None
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError("must be a finite number")
    return number


def _not_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must not be true or false")  # noqa: TRY004 - see above
    return value


Number = Annotated[float, BeforeValidator(_finite)]
Whole = Annotated[int, BeforeValidator(_not_flag)]
"""Whole numbers; some clients send them as text."""
Text = Annotated[str, BeforeValidator(_not_flag)]


class Tag(BaseModel):
    """A tag of an instance."""

    key: str
    value: str


class SpecParam(RequestBody):
    """Shape by counts, from the SDK; it may only repeat what the flavor says."""

    sharding_count: Whole | None = None
    replica_count: Whole | None = None
    cache_mode: str | None = None


class BssParam(RequestBody):
    """Billing options. Nothing is billed here: only pay-per-use, the default, is taken."""

    charging_mode: str | None = None
    is_auto_renew: str | bool | None = None
    is_auto_pay: str | bool | None = None
    period_type: str | None = None
    period_num: Whole | None = None


class CreateInstance(RequestBody):
    """Body of create_instance."""

    name: Annotated[Text, Refused(errors.InvalidName)]
    engine: Annotated[Text, Refused(errors.EngineNotSupported)]
    engine_version: Annotated[Text | None, Refused(errors.EngineVersionNotSupported)] = None
    capacity: Annotated[Number, Refused(errors.InvalidCapacity)]
    spec_code: Annotated[Text, Refused(errors.InvalidSpecCode)]
    az_codes: Annotated[list[Text], Refused(errors.ZoneNotFound)]
    vpc_id: Annotated[Text, Refused(errors.InvalidVpcId)]
    subnet_id: Annotated[Text, Refused(errors.InvalidSubnetId)]
    security_group_id: Annotated[Text | None, Refused(errors.InvalidSecurityGroupId)] = None
    publicip_id: str | None = None
    enterprise_project_id: Annotated[str | None, Field(max_length=36)] = None
    enterprise_project_name: Annotated[str | None, Field(max_length=255)] = None
    description: Annotated[Text | None, Refused(errors.InvalidDescription)] = None
    enable_ssl: bool | None = None
    private_ip: str | None = None
    instance_num: Whole = 1
    maintain_begin: Annotated[Text | None, Refused(errors.InvalidMaintenanceWindow)] = None
    maintain_end: Annotated[Text | None, Refused(errors.InvalidMaintenanceWindow)] = None
    password: Annotated[Text | None, Refused(errors.InvalidPassword)] = None
    no_password_access: Annotated[bool | None, Refused(errors.InvalidNoPasswordAccess)] = None
    bss_param: BssParam | None = None
    instance_backup_policy: Annotated[dict[str, Any] | None, Refused(errors.InvalidBackupType)] = None
    tags: list[dict[str, Any]] | None = None
    access_user: Annotated[str | None, Refused(errors.InvalidAccessUser)] = None
    enable_publicip: bool | None = None
    port: Whole | None = None
    rename_commands: dict[str, Any] | None = None
    template_id: str | None = None
    spec_param: SpecParam | None = None

    def to_order(self) -> Order:
        """The order; refuses what only other installations of the service have."""
        if self.access_user:
            raise errors.InvalidAccessUser("access_user: empty for Redis")
        if self.bss_param and self.bss_param.charging_mode not in (None, "postPaid"):
            raise errors.InvalidParameter("bss_param.charging_mode: postPaid", name="charging_mode")
        for name in ("enable_ssl", "enable_publicip", "publicip_id"):
            if getattr(self, name):
                raise errors.InvalidParameter(f"{name}: reserved, leave it at its default", name=name)
        return Order(
            name=self.name,
            engine=self.engine,
            engine_version=self.engine_version,
            capacity_gb=self.capacity,
            spec_code=self.spec_code,
            az_codes=tuple(self.az_codes),
            vpc_id=self.vpc_id,
            subnet_id=self.subnet_id,
            security_group_id=self.security_group_id,
            description=self.description,
            count=self.instance_num,
            private_ip=self.private_ip,
            port=self.port,
            password=self.password,
            no_password_access=bool(self.no_password_access),
            maintain_begin=self.maintain_begin,
            maintain_end=self.maintain_end,
            backup_policy=self.instance_backup_policy,
            tags=self.tags or (),
            rename_commands=self.rename_commands or {},
            template_id=self.template_id,
            enterprise_project_id=self.enterprise_project_id,
            enterprise_project_name=self.enterprise_project_name,
            spec_param=self.spec_param.model_dump() if self.spec_param else None,
        )


class ResizeInstance(RequestBody):
    """Body of resize_instance."""

    spec_code: Annotated[Text, Refused(errors.InvalidSpecCode)]
    new_capacity: Annotated[Number, Refused(errors.InvalidCapacity)]
    bss_param: BssParam | None = None
    reserved_ip: list[Text] | None = None
    change_type: str | None = None
    available_zones: Annotated[list[Text] | None, Refused(errors.InvalidZones)] = None
    node_list: Annotated[list[Text] | None, Refused(errors.InvalidNodeList)] = None
    execute_immediately: bool | None = None
    enable_ipv6: bool | None = None

    def to_wish(self) -> ResizeWish:
        """What the domain judges."""
        return ResizeWish(
            spec_code=self.spec_code,
            capacity_gb=self.new_capacity,
            change_type=self.change_type or "",
            zones=tuple(self.available_zones or ()),
            node_list=tuple(self.node_list or ()),
            reserved_ip=tuple(self.reserved_ip or ()),
        )


class UpdateInstance(RequestBody):
    """Body of update_instance."""

    name: Annotated[Text | None, Refused(errors.InvalidName)] = None
    description: Annotated[Text | None, Refused(errors.InvalidDescription)] = None
    port: Whole | None = None
    rename_commands: dict[str, Any] | None = None
    maintain_begin: Annotated[Text | None, Refused(errors.InvalidMaintenanceWindow)] = None
    maintain_end: Annotated[Text | None, Refused(errors.InvalidMaintenanceWindow)] = None
    security_group_id: Annotated[Text | None, Refused(errors.InvalidSecurityGroupId)] = None
    instance_backup_policy: Annotated[dict[str, Any] | None, Refused(errors.InvalidBackupType)] = None

    def to_edit(self) -> Edit:
        """What is to change; raises `EmptyBody` for nothing."""
        if not self.model_fields_set & set(type(self).model_fields):
            raise errors.EmptyBody("one of " + ", ".join(type(self).model_fields))
        return Edit(
            name=self.name,
            description=self.description,
            port=self.port,
            rename_commands=self.rename_commands,
            maintain_begin=self.maintain_begin,
            maintain_end=self.maintain_end,
            security_group_id=self.security_group_id,
            backup_policy=self.instance_backup_policy,
        )


class InstanceIds(RequestBody):
    """Body of batch_delete_instances."""

    instances: Annotated[list[Any] | None, Refused(errors.InstancesMissing)] = None


class CreatedInstance(BaseModel):
    """An instance that is being made."""

    instance_id: str
    instance_name: str


class CreateInstanceOut(BaseModel):
    """Answer of create_instance."""

    instances: list[CreatedInstance]
    order_id: str | None = None

    @classmethod
    def of(cls, made: list[Instance]) -> CreateInstanceOut:
        """The answer for what was made."""
        return cls(instances=[CreatedInstance(instance_id=one.id, instance_name=one.name) for one in made])


class BatchResult(BaseModel):
    """What became of one instance of a batch."""

    instance: str
    result: str


class BatchOut(BaseModel):
    """Answer of the batch operations."""

    results: list[BatchResult]

    @classmethod
    def of(cls, outcomes: list[Outcome]) -> BatchOut:
        """The answer for these outcomes."""
        return cls(
            results=[
                BatchResult(instance=one.instance_id, result="success" if one.done else "failed")
                for one in outcomes
            ]
        )


class Features(BaseModel):
    """What the instance supports; each turns true with the operations that act on it."""

    support_acl: bool = False
    support_transparent_client_ip: bool = False
    support_ssl: bool = False
    support_audit_log: bool = False


_FEATURES, _WITH_SSL = Features(), Features(support_ssl=True)


class InstanceSummary(BaseModel):
    """Fields that the list and the details share."""

    instance_id: str
    name: str
    engine: str
    engine_version: str
    status: str
    sub_status: str = "normal"
    capacity: int
    capacity_minor: str | None
    ip: str
    port: int
    domain_name: str
    readonly_domain_name: str | None
    spec_code: str
    charging_mode: int = 0
    vpc_id: str
    vpc_name: str
    subnet_id: str
    security_group_id: str | None
    user_id: str
    user_name: str
    created_at: str | None
    max_memory: int
    used_memory: int
    maintain_begin: str
    maintain_end: str
    no_password_access: str
    access_user: str | None = None
    enable_ssl: bool = False
    enable_publicip: bool = False
    publicip_id: str | None = None
    publicip_address: str | None = None
    order_id: str | None = None
    service_upgrade: bool = False
    service_task_id: str | None = None
    enterprise_project_id: str
    description: str | None
    cpu_type: str
    az_codes: list[str]
    tags: list[Tag]
    features: Features


def _shared(
    instance: Instance, flavor: Flavor, network: Network, *, dns_zone: str, has_ssl: bool
) -> dict[str, Any]:
    return {
        "instance_id": instance.id,
        "name": instance.name,
        "engine": instance.engine,
        "engine_version": instance.engine_version,
        "status": instance.state.value,
        "capacity": whole_gb(instance.capacity_gb),
        "capacity_minor": minor_gb(instance.capacity_gb),
        "ip": instance.ip,
        "port": instance.port,
        "domain_name": domain_name(instance.id, dns_zone),
        "readonly_domain_name": (
            readonly_domain_name(instance.id, dns_zone) if has_readonly_name(instance.mode) else None
        ),
        "spec_code": instance.spec_code,
        "vpc_id": instance.vpc_id,
        "vpc_name": network.vpc_name,
        "subnet_id": instance.subnet_id,
        "security_group_id": instance.security_group_id or network.security_group_id,
        "user_id": instance.user_id,
        "user_name": instance.user_name,
        "created_at": iso_time(instance.created_at),
        "max_memory": flavor.max_memory,
        "used_memory": instance.used_memory,
        "maintain_begin": instance.maintain_begin,
        "maintain_end": instance.maintain_end,
        "no_password_access": flag_text(instance.no_password_access),
        "enable_ssl": instance.enable_ssl,
        "enterprise_project_id": instance.enterprise_project_id,
        "description": instance.description,
        "cpu_type": instance.cpu_type,
        "az_codes": list(instance.az_codes),
        # One for all: a default that is a model would be copied for each instance.
        "features": _WITH_SSL if has_ssl else _FEATURES,
        "tags": [Tag.model_construct(key=key, value=value) for key, value in instance.tags.items()],
    }


class InstanceListed(InstanceSummary):
    """An instance of the list. Here the last change is `updated_at`, in the details `update_at`."""

    updated_at: str | None

    @classmethod
    def of(
        cls, instance: Instance, flavor: Flavor, network: Network, *, dns_zone: str, has_ssl: bool
    ) -> InstanceListed:
        """The listed form. Values are the record's own, so they are not checked again."""
        shared = _shared(instance, flavor, network, dns_zone=dns_zone, has_ssl=has_ssl)
        return cls.model_construct(**shared, updated_at=iso_time(instance.updated_at))


class ListInstancesOut(BaseModel):
    """Answer of list_instances."""

    instance_num: int
    instances: list[InstanceListed]


class BackupPolicy(BaseModel):
    """The backup policy of an instance."""

    backup_policy_id: str
    created_at: str | None
    updated_at: str | None
    tenant_id: str
    policy: dict[str, Any]


class DomainNameInfo(BaseModel):
    """What resolves the instance's names."""

    support_public_resolve: bool = False
    is_latest_rules: bool = True
    zone_name: str
    history_domain_names: list[dict[str, Any]] | None = None


class BandwidthInfo(BaseModel):
    """Bandwidth of the flavor; nothing was raised."""

    begin_time: int | None = None
    end_time: int | None = None
    current_time: int
    bandwidth: int
    assured_bandwidth: int
    max_bandwidth_for_node: int
    next_expand_time: int | None = None
    expand_count: int = 0
    expand_effect_time: int | None = None
    expand_interval_time: int | None = None
    max_expand_count: int | None = None
    task_running: bool = False


class InstanceOut(InstanceSummary):
    """Answer of show_instance."""

    update_at: str | None
    launched_at: str | None
    cache_mode: str
    security_group_name: str
    subnet_name: str
    subnet_cidr: str
    available_zones: list[str]
    enterprise_project_name: str
    instance_backup_policy: BackupPolicy | None
    backend_addrs: str | None
    domain_name_info: DomainNameInfo
    transparent_client_ip_enable: bool = False
    product_type: str
    storage_type: str = "DRAM"
    support_slow_log_flag: str = "true"
    db_number: int
    replica_count: int
    sharding_count: int
    bandwidth_info: BandwidthInfo
    cloud_service_type_code: str = "hws.service.type.dcs"
    cloud_resource_type_code: str = "hws.resource.type.dcs3"
    inquery_spec_code: str
    free: str | None = None
    is_free: str | None = None
    libos: str = "false"
    crr_role: str | None = None
    active_active: dict[str, Any] | None = None
    task: str | None
    proxy_links: list[dict[str, Any]] | None = None
    fail_reason: str | None = None
    """Why the last long work failed; an addition to the reference."""

    @classmethod
    def of(
        cls,
        instance: Instance,
        flavor: Flavor,
        network: Network,
        *,
        dns_zone: str,
        has_ssl: bool,
        zone_ids: dict[str, str],
        now: datetime,
    ) -> InstanceOut:
        """The details."""
        return cls(
            **_shared(instance, flavor, network, dns_zone=dns_zone, has_ssl=has_ssl),
            update_at=iso_time(instance.updated_at),
            launched_at=iso_time(instance.launched_at),
            cache_mode=instance.mode.value,
            security_group_name=network.security_group_name,
            subnet_name=network.subnet_name,
            subnet_cidr=network.cidr,
            available_zones=[zone_ids[code] for code in instance.az_codes if code in zone_ids],
            enterprise_project_name=instance.enterprise_project_name,
            instance_backup_policy=_policy(instance),
            backend_addrs=None,
            domain_name_info=DomainNameInfo(zone_name=dns_zone),
            product_type=flavor.edition,
            db_number=flavor.db_number,
            replica_count=flavor.replica_count,
            sharding_count=flavor.sharding_num,
            bandwidth_info=BandwidthInfo(
                current_time=round(now.timestamp() * 1000),
                bandwidth=flavor.max_bandwidth_mbit,
                assured_bandwidth=flavor.assured_bandwidth_mbit,
                max_bandwidth_for_node=flavor.max_bandwidth_mbit // flavor.sharding_num,
            ),
            inquery_spec_code=instance.spec_code,
            task=instance.task,
            fail_reason=instance.fail_reason,
        )


class InstanceVersionOut(BaseModel):
    """Answer of show_instance_version. There is no minor upgrade yet: the newest is what the instance has."""

    engine_minor_version: str
    latest_engine_minor_version: str
    proxy_minor_version: str | None = None
    latest_proxy_minor_version: str | None = None
    engine_minor_version_upgradable: bool = False
    proxy_minor_version_upgradable: bool = False

    @classmethod
    def of(cls, instance: Instance) -> InstanceVersionOut:
        """Product and version of the engine that the instance really runs on."""
        return cls(engine_minor_version=instance.binary, latest_engine_minor_version=instance.binary)


def _policy(instance: Instance) -> BackupPolicy | None:
    if instance.backup_policy is None:
        return None
    return BackupPolicy(
        backup_policy_id=instance.id,
        created_at=iso_time(instance.backup_policy_created_at),
        updated_at=iso_time(instance.backup_policy_updated_at),
        tenant_id=instance.project_id,
        policy=instance.backup_policy,
    )


def read_capacity(text: str | None) -> float | None:
    """The `capacity` filter; a text that is no size matches nothing."""
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        raise errors.InvalidParameter("capacity: must be a number", name="capacity") from None
    return number if capacity_text(number) != "nan" else -1.0


def read_tag_filter(text: str | None) -> dict[str, str | None]:
    """The `tags` filter: key=value pairs, or keys alone, separated by commas; all must match."""
    found: dict[str, str | None] = {}
    for pair in (text or "").split(","):
        key, separator, value = pair.strip().partition("=")
        if key:
            found[key] = value if separator else None
    return found
