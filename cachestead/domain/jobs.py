"""Jobs: the long work that callers can follow.

A job is saved with the change it belongs to and carries the id of its workflow. `task` is its name in the
background task list where the reference has one. Reference: sections 4.12.1 and 4.12.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class JobStatus(StrEnum):
    """States of a job (section 4.12.3)."""

    INIT = "INIT"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAIL = "FAIL"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to the job."""
        return self in (JobStatus.SUCCESS, JobStatus.FAIL)


@dataclass(frozen=True)
class Job:
    """A job as the records have it."""

    id: str
    project_id: str
    instance_id: str | None
    kind: str
    """The workflow's name."""
    type: str
    """The `job_type` that callers see."""
    status: JobStatus
    user_id: str
    user_name: str
    created_at: datetime
    updated_at: datetime
    task: str | None = None
    """Its name in the background task list; None is not listed."""
    step: str | None = None
    """The step under way."""
    step_detail: str | None = None
    """How far the step is, in a sentence; only long steps tell."""
    progress: int = 0
    """Percent."""
    params: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    due_at: datetime | None = None
    """When to try to begin what waits for the maintenance window; None is now."""
    ended_at: datetime | None = None
    fail_reason: str | None = None

    @property
    def task_status(self) -> str:
        """The background task list's word for the state."""
        return "EXECUTING" if not self.status.is_final else self.status.value
