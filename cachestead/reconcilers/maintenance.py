"""Begins what waits for an instance's maintenance window, once that is open."""

from __future__ import annotations

import structlog

from cachestead import errors
from cachestead.operations import resizing
from cachestead.operations.service import Service
from cachestead.store import jobs as job_store

log = structlog.get_logger()


class Maintenance:
    """The maintenance reconciler."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def run_pass(self) -> None:
        """Begin every job whose time has come. One that cannot begin is tried again while its window is open."""
        async with self._service.database.reading() as tx:
            due = await job_store.list_any_due(tx, self._service.now())
        for job in due:
            try:
                await resizing.begin_waiting(self._service, job)
                log.info("begun in the maintenance window", job=job.id, instance=job.instance_id)
            except errors.ServiceError as refusal:
                log.warning("not begun", job=job.id, instance=job.instance_id, reason=str(refusal))
                await resizing.put_off(self._service, job, refusal)
