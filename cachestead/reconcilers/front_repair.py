"""Bringing fronts back: what speaks TLS for a node whose engine cannot is started anew when it has ended.

A front has nothing to lose but its connections, and nobody's role depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from cachestead.domain.instances import Instance
from cachestead.runtime.interface import NodeNotStarted, NodeSighting, front_id
from cachestead.workflows.machinery import Machinery, front_of

log = structlog.get_logger()


async def ensure_fronts(machinery: Machinery, instance: Instance, sightings: Mapping[str, NodeSighting]) -> None:
    """Each node that runs has its front, if it shall have one. What cannot start is tried again later."""
    for node in instance.nodes if instance.enable_ssl else ():
        if _runs(sightings, front_id(node.id)) or not _runs(sightings, node.id):
            continue
        if (front := front_of(machinery, instance, node)) is None:
            return
        try:
            # Only the front: whether a node that has just ended is to be started is for others to decide.
            await machinery.runtime.ensure_node(front)
        except NodeNotStarted as error:
            log.warning("healing failed", instance=instance.id, reason=str(error))
            continue
        log.info("front started again", instance=instance.id, node=node.id)


def _runs(sightings: Mapping[str, NodeSighting], node: str) -> bool:
    return node in sightings and sightings[node].running
