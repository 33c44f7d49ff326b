"""What a workflow is: steps in order, each with its undo, on one instance.

A step may run twice, so it looks first and does what is missing. What the end means for the instance is a pure
function (`succeed`, `fail`), saved together with the job by the runner, and with what it means for other records.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from cachestead.domain.instances import Event, Instance, advance
from cachestead.domain.jobs import Job
from cachestead.store.database import Tx
from cachestead.workflows.machinery import Machinery

Report = Callable[[int, str], Awaitable[None]]


@dataclass(frozen=True)
class StepContext:
    """What a step works with: the instance as it is on record now, its job, and the machinery."""

    machinery: Machinery
    instance: Instance
    job: Job
    report: Report
    """Tells callers how far a long step is: percent of the whole job, and a sentence."""


StepFunction = Callable[[StepContext], Awaitable[None]]


@dataclass(frozen=True)
class Step:
    """One step and how to take it back. The undo must do for a step that stopped half-way."""

    run: StepFunction
    undo: StepFunction | None = None

    @property
    def name(self) -> str:
        """The step's name in jobs and logs."""
        return self.run.__name__


@dataclass(frozen=True)
class Workflow:
    """A kind of long work."""

    name: str
    job_type: str
    """`job_type` of section 4.12.3."""
    steps: tuple[Step, ...]
    succeed: Callable[[Instance, Job, datetime], Instance] | None = None
    """The instance after all steps; None where the record stays as others have it."""
    fail: Callable[[Instance, Job, datetime], Instance] | None = None
    """The instance after a failure, its steps undone; the job says why. None is the same."""
    settle: Callable[[Tx, Job, datetime], Awaitable[None]] | None = None
    """What the job's end, which it has come to, means for other records than the instance's."""
    task: str | None = None
    """Its name in the background task list; None is not listed."""
    lock: str | None = None
    """The instance's `task` while this runs, for work that has no state of its own."""

    @property
    def changes_instance(self) -> bool:
        """Whether it is a change of the instance; others may be under way beside what is none."""
        return self.succeed is not None


def stays(instance: Instance, _job: Job, _at: datetime) -> Instance:
    """The instance as it is, whatever became of it meanwhile: the work was not about it."""
    return instance


def change_done(instance: Instance, _job: Job, at: datetime) -> Instance:
    """A change that leaves nothing else on the record: the instance is RUNNING."""
    return advance(instance, Event.CHANGE_DONE, at)


def change_failed(instance: Instance, _job: Job, at: datetime) -> Instance:
    """The same where it failed and was undone; the job says why."""
    return advance(instance, Event.CHANGE_FAILED, at)
