"""Renews what nodes show to clients by TLS before it ends, without a restart and without a client's notice.

It looks at what is shown, as a client would, so whatever is wrong with a certificate is put right: its end is
near, it is not the authority's, or not for the node's address.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from cachestead.domain.instances import HEALED_MEANWHILE, Instance, Node, State
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.errors import EngineError
from cachestead.engine.tls import look_at_certificate, reload_certificate
from cachestead.store import instances as store
from cachestead.workflows.machinery import Machinery, client_of, front_of, tls_files_of

log = structlog.get_logger()

_STATES = (State.RUNNING, State.ERROR)
_AT_ONCE = 8


class Certificates:
    """The reconciler of certificates."""

    def __init__(self, machinery: Machinery) -> None:
        self._machinery = machinery

    async def run_pass(self) -> None:
        """Look at every node of the instances that have SSL; one that does not answer is somebody else's."""
        async with self._machinery.database.reading() as tx:
            found = [one async for one in store.each_instance(tx, _STATES) if one.enable_ssl]
        turns = asyncio.Semaphore(_AT_ONCE)

        async def look(instance: Instance, node: Node) -> None:
            async with turns:
                await self._look_at(instance, node)

        free = [one for one in found if one.task in HEALED_MEANWHILE]
        await asyncio.gather(*(look(one, node) for one in free for node in one.nodes))

    async def _look_at(self, instance: Instance, node: Node) -> None:
        machinery = self._machinery
        at = NodeAddress(node.address, instance.port)
        shown = await look_at_certificate(at, machinery.authority.certificate)
        early = timedelta(days=machinery.certificates.renew_days)
        if shown is None or (shown.is_trusted and shown.expires_at - machinery.now() > early):
            return
        front = front_of(machinery, instance, node)
        holder = node.id if front is None else front.id
        await machinery.runtime.replace_files(holder, tls_files_of(machinery, instance, node))
        try:
            # A front sees by itself that its file has changed.
            if front is None:
                await reload_certificate(client_of(machinery, instance, node))
        except EngineError as error:
            log.warning("certificate was not renewed", instance=instance.id, node=node.id, reason=str(error))
            return
        log.info("certificate renewed", instance=instance.id, node=node.id)
