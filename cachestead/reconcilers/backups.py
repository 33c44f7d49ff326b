"""Makes backups by plan, removes those whose time is up, and finishes removals that were cut off."""

from __future__ import annotations

from datetime import timedelta

import structlog

from cachestead.domain.backups import BackupStatus
from cachestead.objects.errors import ObjectsError
from cachestead.operations import backup_plans as plans
from cachestead.operations.service import Service
from cachestead.workflows.leaving_backups import finish_leaving

log = structlog.get_logger()


class Backups:
    """The backups reconciler."""

    def __init__(self, service: Service, keep: timedelta) -> None:
        self._service = service
        self._keep = keep
        """How long records of what is over stay."""

    async def run_pass(self) -> None:
        """Look at every plan and every backup once. A store that is away keeps nobody from being backed up."""
        await self._begin_due()
        await plans.expire(self._service)
        try:
            await self._remove()
        except ObjectsError as failure:
            # The store is no better for the next one: each of them is asked for again at the next pass.
            log.warning("backups could not be removed", reason=str(failure))

    async def _begin_due(self) -> None:
        for instance in await plans.list_due(self._service):
            begun = await plans.back_up_by_plan(self._service, instance)
            if begun is not None and begun.status is BackupStatus.FAILED:
                log.warning("not backed up by plan", instance=instance, reason=begun.reason)
            elif begun is not None:
                log.info("backed up by plan", instance=instance, backup=begun.id)

    async def _remove(self) -> None:
        for backup in await plans.list_leaving(self._service):
            await finish_leaving(self._service.machinery, backup)
            log.info("backup removed", backup=backup.id, instance=backup.instance_id, state=backup.leaves_as)
        for backup in await plans.list_old(self._service, self._keep):
            await plans.drop_record(self._service, backup)
