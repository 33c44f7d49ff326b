"""Finds what was left behind: processes and Sentinel entries of nobody, deletions without a job, old records."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from cachestead.domain.instances import Instance, State
from cachestead.domain.jobs import Job, JobStatus
from cachestead.engine.errors import EngineError
from cachestead.runtime.interface import front_id
from cachestead.store import instances as instance_store
from cachestead.store import jobs as job_store
from cachestead.store import parameters as parameter_store
from cachestead.store import proxies as proxy_store
from cachestead.store import sessions as session_store
from cachestead.store import traces as trace_store
from cachestead.store.times import to_ms
from cachestead.workflows.delete_instance import DELETE_INSTANCE
from cachestead.workflows.machinery import Machinery
from cachestead.workflows.runner import Runner
from cachestead.workflows.scan_clients import SCAN_CLIENTS

log = structlog.get_logger()

_AT_A_TIME = 200
"""Jobs that are dropped in one change."""


@dataclass(frozen=True)
class Retention:
    """How long records are kept."""

    jobs: timedelta
    """After their end; changes of parameters, too."""
    session_lists: timedelta
    traces: timedelta


class Leftovers:
    """The leftovers reconciler."""

    def __init__(self, machinery: Machinery, runner: Runner, own_nodes: frozenset[str], keep: Retention) -> None:
        self._machinery = machinery
        self._runner = runner
        self._own_nodes = own_nodes
        self._keep = keep

    async def run_pass(self) -> None:
        """Look at everything once."""
        await self._remove_orphans()
        await self._unwatch_strangers()
        await self._resume_deletions()
        now = self._machinery.now()
        async with self._machinery.database.writing() as tx:
            await session_store.remove_lists_before(tx, now - self._keep.session_lists)
            await parameter_store.remove_ended_before(tx, now - self._keep.jobs)
            await trace_store.remove_traces_before(tx, to_ms(now - self._keep.traces))
        await self._remove_jobs(now - self._keep.jobs)
        # Somebody may take lists all the time: the jobs that did go with them.
        await self._remove_jobs(now - self._keep.session_lists, kind=SCAN_CLIENTS.name)

    async def _remove_jobs(self, moment: datetime, kind: str | None = None) -> None:
        # Workflows' records first: what is left of them without their job would never be found again.
        async with self._machinery.database.reading() as tx:
            ended = await job_store.list_any_ended_before(tx, moment, kind)
        for begin in range(0, len(ended), _AT_A_TIME):
            forgotten = await self._runner.forget(ended[begin : begin + _AT_A_TIME])
            async with self._machinery.database.writing() as tx:
                await job_store.remove_jobs(tx, forgotten)

    async def _remove_orphans(self) -> None:
        # Nodes first, records second: a node that is started in between has its record already.
        present = {one.id: one.owner for one in await self._machinery.runtime.observe_nodes()}
        async with self._machinery.database.reading() as tx:
            known = await instance_store.list_any_node_ids(tx) | await proxy_store.list_any_proxy_ids(tx)
            # Staging engines belong to the job that started them.
            working = {job.id for job in await job_store.list_any_unfinished(tx)}
        orphans = {node for node, owner in present.items() if owner not in working}
        known |= {front_id(node) for node in known}
        for node in orphans - known - self._own_nodes:
            log.warning("removing a node that belongs to nothing", node=node)
            await self._machinery.runtime.remove_node(node)

    async def _unwatch_strangers(self) -> None:
        """No Sentinel watches what is not there: one that was away when an instance went still would."""
        try:
            watched = await self._machinery.sentinels.watched_names()
        except EngineError as error:
            log.warning("the Sentinels could not be asked", reason=str(error))
            return
        async with self._machinery.database.reading() as tx:
            known = await instance_store.list_any_ids_with_nodes(tx)
        for name in watched - known:
            log.warning("unwatching an instance that there is not", instance=name)
            await self._machinery.sentinels.ensure_forgotten(name)

    async def _resume_deletions(self) -> None:
        """A deletion has no way back: one that failed is tried again."""
        async with self._machinery.database.writing() as tx:
            held = {job.instance_id for job in await job_store.list_any_unfinished(tx)}
            stuck = await instance_store.list_any_instances(tx, [State.DELETING])
            for instance in stuck:
                if instance.id not in held:
                    await job_store.add_job(tx, self._deletion(instance))
        if stuck:
            self._runner.nudge()

    def _deletion(self, instance: Instance) -> Job:
        now = self._machinery.now()
        return Job(
            id=uuid.uuid4().hex,
            project_id=instance.project_id,
            instance_id=instance.id,
            kind=DELETE_INSTANCE.name,
            type=DELETE_INSTANCE.job_type,
            status=JobStatus.INIT,
            user_id=instance.user_id,
            user_name=instance.user_name,
            created_at=now,
            updated_at=now,
        )
