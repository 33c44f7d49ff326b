"""Encrypted connections (SSL) of instances: the switch, what clients see of it, and whom they have to trust.

Reference: section 4.11.
"""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from cachestead import errors
from cachestead.domain.instances import Event, Instance, Mode, Node
from cachestead.domain.jobs import Job
from cachestead.domain.names import domain_name
from cachestead.domain.ssl import (
    ARCHIVE_NAME,
    CERTIFICATE_NAME,
    LINK_SECONDS,
    Endpoint,
    check_ssl,
    may_have_ssl,
)
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.errors import EngineMissing
from cachestead.engine.tls import Shown, look_at_certificate
from cachestead.identity.authority import Authority
from cachestead.identity.callers import Caller
from cachestead.objects.errors import ObjectMissing, ObjectsError
from cachestead.operations.changes import Change, change
from cachestead.operations.service import Service
from cachestead.store import instances as store
from cachestead.workflows.change_ssl import CHANGE_SSL, KEEP_SSL
from cachestead.workflows.machinery import engine_of

_LOOKS_AT_ONCE = 16


@dataclass(frozen=True)
class Certificate:
    """Where the archive with the authority's certificate is."""

    file_name: str
    link: str
    bucket: str


def supports_ssl(service: Service, instance: Instance) -> bool:
    """Whether the instance can have SSL: its type, its version and the engine that it runs on."""
    try:
        engine = engine_of(service.machinery, instance)
    except EngineMissing:
        return False
    # Before an engine without TLS stands a front; but then nodes of a cluster would not tell clients its ports.
    return may_have_ssl(instance) and (engine.has_tls or instance.mode is not Mode.CLUSTER)


async def switch_ssl(service: Service, caller: Caller, instance_id: str, *, enabled: bool) -> Job:
    """SSL is on its way on or off, by a restart; an instance that has it so is only looked at.

    Raises `SslNotSupported`, or the code of what else is being done to the instance.
    """
    async with service.database.writing() as tx:
        instance = await store.lock_instance(tx, caller.project, instance_id)
        _check_supported(service, instance)
        details = {"enable_ssl": True} if enabled else None
        if instance.enable_ssl is enabled:
            wanted = Change(KEEP_SSL, Event.CHANGE_ASKED, {"enabled": enabled}, details)
        else:
            wanted = Change(CHANGE_SSL, Event.RESTART_ASKED, {"enabled": enabled}, details)
        job = await change(tx, service, caller, instance, wanted)
    service.worker.nudge()
    return job


def _check_supported(service: Service, instance: Instance) -> None:
    check_ssl(instance)
    if not supports_ssl(service, instance):
        raise errors.SslNotSupported(
            f"instance {instance.id}: a cluster on {instance.binary}, which was built without TLS"
        )


async def describe_ssl(service: Service, caller: Caller, instance_id: str) -> Endpoint | None:
    """How clients reach the instance by TLS, and what its nodes show them now; None while SSL is off."""
    async with service.database.reading() as tx:
        instance = await store.get_instance(tx, caller.project, instance_id)
    check_ssl(instance)
    if not instance.enable_ssl:
        return None
    turns, authority = asyncio.Semaphore(_LOOKS_AT_ONCE), service.machinery.authority.certificate

    async def look(node: Node) -> Shown | None:
        async with turns:
            return await look_at_certificate(NodeAddress(node.address, instance.port), authority)

    seen = await asyncio.gather(*(look(node) for node in instance.nodes))
    shown = [one for one in seen if one is not None]
    return Endpoint(
        ip=instance.ip,
        port=instance.port,
        domain_name=domain_name(instance.id, service.region.dns_zone),
        expires_at=min((one.expires_at for one in shown), default=None),
        is_valid=bool(shown) and len(shown) == len(seen) and all(one.is_trusted for one in shown),
    )


async def link_certificate(service: Service, caller: Caller, instance_id: str) -> Certificate:
    """A link to what clients of the instance have to trust; good also before SSL is on."""
    async with service.database.reading() as tx:
        instance = await store.get_instance(tx, caller.project, instance_id)
    _check_supported(service, instance)
    authority, objects, now = service.machinery.authority, service.objects, service.now()
    key = f"ssl-{authority.fingerprint[:16]}/{ARCHIVE_NAME}"
    try:
        try:
            link = await objects.link(key, LINK_SECONDS, now)
        except ObjectMissing:
            await objects.put(key, _archive(authority, now))
            link = await objects.link(key, LINK_SECONDS, now)
    except ObjectsError as failure:
        raise errors.InternalError(f"instance {instance.id}: {failure}") from failure
    return Certificate(ARCHIVE_NAME, link, objects.bucket)


async def _archive(authority: Authority, now: datetime) -> AsyncIterator[bytes]:
    """The certificate in a zip, as clients expect it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo(CERTIFICATE_NAME, now.timetuple()[:6]), authority.certificate)
    yield packed.getvalue()
