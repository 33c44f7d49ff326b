"""Bodies of chapter 4.15, Other APIs."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from cachestead.domain.flavors import Flavor
from cachestead.domain.sizes import capacity_text
from cachestead.operations.service import Zone
from cachestead.settings import QuotaSettings
from cachestead.store.instances import Usage


class FlavorAttribute(BaseModel):
    """A figure of a flavor; all are texts."""

    capacity: str
    name: str
    value: str


class FlavorZones(BaseModel):
    """Where a flavor can be had now."""

    capacity: str
    unit: str = "GB"
    available_zones: list[str]
    az_codes: list[str]


class FlavorOut(BaseModel):
    """A flavor."""

    spec_code: str
    cloud_service_type_code: str = "hws.service.type.dcs"
    cloud_resource_type_code: str = "hws.resource.type.dcs3"
    cache_mode: str
    engine: str
    engine_version: str
    product_type: str
    cpu_type: str
    storage_type: str = "DRAM"
    capacity: list[str]
    billing_mode: list[str] = ["Hourly"]
    tenant_ip_count: int
    pricing_type: str
    is_dec: bool = False
    dec: bool = False
    attrs: list[FlavorAttribute]
    flavors_available_zones: list[FlavorZones]
    replica_count: int
    inquery_spec_code: str
    billing_factor: str = "Duration"

    @classmethod
    def of(cls, flavor: Flavor, zones: Sequence[Zone]) -> FlavorOut:
        """The flavor with the zones that have room for one."""
        size = capacity_text(flavor.capacity_gb)
        return cls(
            spec_code=flavor.spec_code,
            cache_mode=flavor.mode.value,
            engine=flavor.engine,
            engine_version=";".join(flavor.engine_versions),
            product_type=flavor.edition,
            cpu_type=flavor.cpu_type,
            capacity=[size],
            tenant_ip_count=flavor.tenant_ip_count,
            pricing_type=flavor.pricing_type,
            attrs=[FlavorAttribute(capacity=size, name=name, value=value) for name, value in _attributes(flavor)],
            flavors_available_zones=[
                FlavorZones(
                    capacity=size,
                    available_zones=[zone.id for zone in zones],
                    az_codes=[zone.code for zone in zones],
                )
            ],
            replica_count=flavor.replica_count,
            inquery_spec_code=flavor.spec_code,
        )


def _attributes(flavor: Flavor) -> list[tuple[str, str]]:
    return [
        ("max_memory", f"{flavor.max_memory_gb:g}"),
        ("max_connections", str(flavor.max_connections)),
        ("sharding_num", str(flavor.sharding_num)),
        ("proxy_num", str(flavor.proxy_num)),
        ("db_number", str(flavor.db_number)),
        ("max_clients", str(flavor.max_connections)),
        ("max_bandwidth", str(flavor.max_bandwidth_mbit)),
    ]


class FlavorsOut(BaseModel):
    """Answer of list_flavors."""

    flavors: list[FlavorOut]
    billing_factor: str = "Duration"
    spec_type: str


class ZoneOut(BaseModel):
    """An availability zone; its flag is a text."""

    id: str
    code: str
    name: str
    port: str
    resource_availability: str


class ZonesOut(BaseModel):
    """Answer of list_available_zones."""

    region_id: str
    available_zones: list[ZoneOut]


class MaintenanceWindow(BaseModel):
    """A window that can be chosen; hours in UTC."""

    seq: int
    default: bool
    begin: str
    end: str


class MaintenanceWindowsOut(BaseModel):
    """Answer of list_maintenance_windows."""

    maintain_windows: list[MaintenanceWindow]

    @classmethod
    def all(cls) -> MaintenanceWindowsOut:
        """The 24 one-hour windows, the default one first, as the reference lists them."""
        hours = [(18 + n) % 24 for n in range(24)]
        return cls(
            maintain_windows=[
                MaintenanceWindow(
                    seq=seq, default=seq == 1, begin=f"{hour:02}:00:00", end=f"{(hour + 1) % 24:02}:00:00"
                )
                for seq, hour in enumerate(hours, 1)
            ]
        )


class Quota(BaseModel):
    """A quota of the project."""

    type: str
    unit: str | None
    min: int = 1
    max: int
    quota: int
    used: int


class Quotas(BaseModel):
    """The quota block."""

    resources: list[Quota]


class QuotaOut(BaseModel):
    """Answer of show_quota_of_tenant."""

    quotas: Quotas

    @classmethod
    def of(cls, limits: QuotaSettings, usage: Usage) -> QuotaOut:
        """Limits and what is used of them. Memory counts in whole GB, rounded up."""
        return cls(
            quotas=Quotas(
                resources=[
                    Quota(
                        type="instance",
                        unit=None,
                        max=limits.instances,
                        quota=limits.instances,
                        used=usage.instances,
                    ),
                    Quota(
                        type="ram",
                        unit="GB",
                        max=limits.ram_gb,
                        quota=limits.ram_gb,
                        used=-int(-usage.ram_gb // 1),
                    ),
                ]
            )
        )
