"""Ends scripts that run for too long, where tenants want that (`auto-kill-timeout-lua-process`).

How long is too long the engines know: from `lua-time-limit` on they say that they are busy. A script that has
written cannot be ended; its node is, if there is a file to come back with, and the health reconciler mends that.
"""

from __future__ import annotations

import asyncio

import structlog

from cachestead.domain.instances import Instance, Node, State
from cachestead.engine.errors import EngineError
from cachestead.engine.scripts import Ending, end_busy_script
from cachestead.store import instances as store
from cachestead.workflows.machinery import Machinery, client_of, keeps_file

log = structlog.get_logger()

PARAMETER = "auto-kill-timeout-lua-process"
_STATES = (State.RUNNING, State.ERROR)
"""With a node that answers nobody an instance may be in ERROR: that is to end, too."""


class Scripts:
    """The reconciler of scripts."""

    def __init__(self, machinery: Machinery) -> None:
        self._machinery = machinery

    async def run_pass(self) -> None:
        """Look at every node of the instances whose tenants want it."""
        async with self._machinery.database.reading() as tx:
            found = await store.list_any_with_parameter(tx, _STATES, PARAMETER, "yes")
        await asyncio.gather(*(self._look_at(one, node) for one in found for node in one.nodes))

    async def _look_at(self, instance: Instance, node: Node) -> None:
        try:
            ending = await end_busy_script(client_of(self._machinery, instance, node))
        except EngineError:
            # A node that does not answer is the health reconciler's.
            return
        if ending is Ending.ENDED:
            log.info("script ended", instance=instance.id, node=node.id)
        elif ending is Ending.STUCK and keeps_file(self._machinery, instance):
            log.warning("node is ended with the script that it cannot end", instance=instance.id, node=node.id)
            await self._machinery.runtime.kill_node(node.id)
