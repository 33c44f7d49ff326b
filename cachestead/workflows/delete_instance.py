"""Remove an instance.

Before: the record is DELETING. After: no process, folder, address or Sentinel entry is left, and the record is
DELETED. A failure is tried again by the stuck-work reconciler: there is no way back for a deletion.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from cachestead.domain.instances import Event, Instance, advance
from cachestead.domain.jobs import Job
from cachestead.workflows.steps import release_records, remove_nodes, unwatch_instance
from cachestead.workflows.workflow import Step, Workflow


def _succeed(instance: Instance, _job: Job, at: datetime) -> Instance:
    # What was secret is not kept for an instance that is gone.
    return replace(advance(instance, Event.DELETED, at), secrets="", nodes=(), proxies=())


def _fail(instance: Instance, job: Job, at: datetime) -> Instance:
    return replace(instance, fail_reason=job.fail_reason, updated_at=at)


DELETE_INSTANCE = Workflow(
    "delete-instance",
    job_type="deleteInstanceJob",
    steps=(Step(unwatch_instance), Step(remove_nodes), Step(release_records)),
    succeed=_succeed,
    fail=_fail,
)
