"""Runs workflows durably.

A job row says what is to be done; the DBOS workflow of the same id does it, each step and each undo a checkpoint.
First run, retry and recovery take one road: a loop starts whatever job is not final, and starting one that already
runs or ran is harmless. The last transaction saves the instance and the job together.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import structlog
from dbos import DBOS, DBOSConfig, SetWorkflowID, WorkflowStatus

from cachestead.domain.instances import Instance
from cachestead.domain.jobs import Job, JobStatus
from cachestead.store import instances as instance_store
from cachestead.store import jobs as job_store
from cachestead.store import networks
from cachestead.store import proxies as proxy_store
from cachestead.store.database import Database, Tx
from cachestead.workflows.machinery import Machinery
from cachestead.workflows.workflow import Step, StepContext, Workflow

log = structlog.get_logger()

_LOOK_SECONDS = 5.0
"""Pause between two looks at the jobs when nobody nudges."""
_ENDED = frozenset({"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"})
"""States of a DBOS workflow that does nothing more."""


class Runner:
    """Starts and runs jobs. One per process: DBOS is."""

    def __init__(
        self, machinery: Machinery, workflows: Sequence[Workflow], dbos: DBOSConfig, *, at_once: int
    ) -> None:
        self._machinery = machinery
        self._database: Database = machinery.database
        self._workflows = {workflow.name: workflow for workflow in workflows}
        self._slots = asyncio.Semaphore(at_once)
        self._started: set[str] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._nudged = asyncio.Event()
        self._finished: dict[str, asyncio.Event] = {}
        self._loop: asyncio.Task[None] | None = None
        DBOS(config=dbos)

        @DBOS.workflow(name="job")
        async def run_job(job_id: str) -> None:
            await self._run_job(job_id)

        self._workflow = run_job

    async def start(self) -> None:
        """Continue what was interrupted, and begin to look for jobs."""
        DBOS.launch()
        self._loop = asyncio.create_task(self._keep_starting(), name="job starter")

    def nudge(self) -> None:
        """There may be new jobs."""
        self._nudged.set()

    async def wait(self, job_id: str, seconds: float) -> Job | None:
        """The job once it is final, or None if it is not by then."""
        finished = self._finished.setdefault(job_id, asyncio.Event())
        try:
            async with asyncio.timeout(seconds):
                job = await self._job(job_id)
                if job is None or not job.status.is_final:
                    await finished.wait()
                    job = await self._job(job_id)
        except TimeoutError:
            return None
        finally:
            self._finished.pop(job_id, None)
        return job

    async def forget(self, job_ids: Sequence[str]) -> list[str]:
        """Drop the workflows' records of jobs that have ended; returns the jobs that have none any more.

        All attempts at a job go together, and none while one of them has not ended.
        """
        known = await self._attempts_at(job_ids)
        busy = {_job_of(one.workflow_id) for one in known if one.status not in _ENDED}
        over = [one.workflow_id for one in known if _job_of(one.workflow_id) not in busy]
        if over:
            await DBOS.delete_workflows_async(over)
        return [job_id for job_id in job_ids if job_id not in busy]

    async def close(self, grace_seconds: float) -> None:
        """Start nothing more and wait for what runs, for a while; what is left continues at the next start."""
        if self._loop:
            self._loop.cancel()
        try:
            async with asyncio.timeout(grace_seconds):
                await self._idle.wait()
        except TimeoutError:
            log.info("stopping with jobs under way", jobs=len(self._started))

    async def _keep_starting(self) -> None:
        while True:
            self._nudged.clear()
            try:
                await self._start_waiting()
            except Exception:
                log.exception("looking for jobs failed")
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._nudged.wait()
            except TimeoutError:
                continue

    async def _start_waiting(self) -> None:
        async with self._database.reading() as tx:
            waiting = await job_store.list_any_unfinished(tx)
        for job in waiting:
            # It may have ended since it was listed; one that leaves `_started` is final on record before.
            if job.id not in self._started and await self._is_unfinished(job.id):
                attempt = await self._attempt(job.id)
                self._note_start(job.id)
                with SetWorkflowID(attempt):
                    await DBOS.start_workflow_async(self._workflow, job.id)

    @staticmethod
    async def _attempts_at(job_ids: Sequence[str]) -> list[WorkflowStatus]:
        """The workflows there are of these jobs; their numbers have no gaps."""
        known: list[WorkflowStatus] = []
        asked = list(job_ids)
        for number in itertools.count(1):
            if not asked:
                break
            found = await DBOS.list_workflows_async(workflow_ids=asked, load_input=False, load_output=False)
            known += found
            asked = [_attempt_id(_job_of(one.workflow_id), number) for one in found]
        return known

    @staticmethod
    async def _attempt(job_id: str) -> str:
        """The id of the job's workflow: the job's own, or a further attempt's.

        A workflow that ended before its job did (the database was away) never runs again under its id.
        """
        for number in itertools.count():
            attempt = _attempt_id(job_id, number)
            known = await DBOS.get_workflow_status_async(attempt)
            if known is None or known.status not in _ENDED:
                return attempt
        raise AssertionError("numbers do not end")

    async def _run_job(self, job_id: str) -> None:
        """The DBOS workflow."""
        self._note_start(job_id)
        try:
            async with self._slots:
                await self._run_steps(job_id)
        finally:
            self._started.discard(job_id)
            if not self._started:
                self._idle.set()
            if job_id in self._finished:
                self._finished[job_id].set()

    def _note_start(self, job_id: str) -> None:
        self._started.add(job_id)
        self._idle.clear()

    async def _run_steps(self, job_id: str) -> None:
        kind = await self._checkpoint("begin", self._begin, job_id)
        if kind is None:
            return
        workflow = self._workflows[kind]
        for index, step in enumerate(workflow.steps):
            reason = await self._checkpoint(step.name, self._do, job_id, index)
            if reason is not None:
                await self._give_up(job_id, workflow, index, reason)
                return
        await self._checkpoint("succeed", self._succeed, job_id)

    async def _give_up(self, job_id: str, workflow: Workflow, failed_at: int, reason: str) -> None:
        for index in range(failed_at, -1, -1):
            step = workflow.steps[index]
            if step.undo:
                await self._checkpoint(f"undo {step.name}", self._undo, job_id, index)
        await self._checkpoint("fail", self._fail, job_id, reason)

    async def _checkpoint(self, name: str, act: Any, *args: Any) -> Any:
        return await DBOS.run_step_async({"name": name}, act, *args)

    async def _begin(self, job_id: str) -> str | None:
        """The kind of the job, which is RUNNING now; None if there is nothing left to do."""
        job = await self._job(job_id)
        if job is None or job.status.is_final or job.kind not in self._workflows:
            return None
        begun = replace(job, status=JobStatus.RUNNING, updated_at=self._machinery.now())
        if not self._workflows[job.kind].changes_instance:
            await self._save_job(begun)
            return job.kind
        async with self._machinery.turns.beginning(job.instance_id or ""):
            await self._save_job(begun)
        return job.kind

    async def _do(self, job_id: str, index: int) -> str | None:
        """Run a step; the sentence of what went wrong, or None. Failures are values, so that they can be kept."""
        ctx, workflow = await self._context(job_id)
        step = workflow.steps[index]
        progress = index * 100 // len(workflow.steps)
        begun = replace(ctx.job, step=step.name, progress=max(progress, ctx.job.progress), step_detail=None)
        await self._save_job(replace(begun, updated_at=self._machinery.now()))
        log.debug("step", job=job_id, step=step.name, instance=ctx.instance.id)
        try:
            await step.run(ctx)
        except Exception as failure:  # noqa: BLE001 - whatever it was, the steps are undone and the job says so
            log.warning("step failed", job=job_id, step=step.name, instance=ctx.instance.id, reason=str(failure))
            return f"{step.name}: {failure or type(failure).__name__}"
        return None

    async def _undo(self, job_id: str, index: int) -> None:
        ctx, workflow = await self._context(job_id)
        step: Step = workflow.steps[index]
        assert step.undo is not None
        try:
            await step.undo(ctx)
        except Exception:
            # The rest is undone all the same; what stays behind is found by the orphan reconciler.
            log.exception("undo failed", job=job_id, step=step.name, instance=ctx.instance.id)

    async def _succeed(self, job_id: str) -> None:
        async with self._database.writing() as tx:
            job, instance, workflow = await self._load(tx, job_id, instance_store.lock_any_instance)
            if job.status.is_final:
                return
            now = self._machinery.now()
            if workflow.succeed is not None:
                after = replace(workflow.succeed(instance, job, now), task=None, updated_at=now)
                await self._save_end(tx, instance, after)
            ended = replace(job, progress=100, step=None, step_detail=None, updated_at=now, ended_at=now)
            done = replace(ended, status=JobStatus.SUCCESS)
            await job_store.save_job(tx, done)
            if workflow.settle is not None:
                await workflow.settle(tx, done, now)
        log.info("job done", job=job_id, kind=job.kind, instance=instance.id)

    async def _fail(self, job_id: str, reason: str) -> None:
        async with self._database.writing() as tx:
            job, instance, workflow = await self._load(tx, job_id, instance_store.lock_any_instance)
            if job.status.is_final:
                return
            now = self._machinery.now()
            failed = replace(job, status=JobStatus.FAIL, fail_reason=reason, updated_at=now, ended_at=now)
            if workflow.fail is not None:
                after = replace(workflow.fail(instance, failed, now), task=None, updated_at=now)
                await self._save_end(tx, instance, after)
            await job_store.save_job(tx, failed)
            if workflow.settle is not None:
                await workflow.settle(tx, failed, now)
        log.warning("job failed", job=job_id, kind=job.kind, instance=instance.id, reason=reason)

    async def _save_end(self, tx: Tx, before: Instance, after: Instance) -> None:
        """The instance as its workflow leaves it. Nodes that left free their address if nobody keeps it."""
        await instance_store.save_instance(tx, after)
        kept = {node.id: node for node in after.nodes}
        for node in before.nodes:
            if node.id not in kept:
                await instance_store.remove_node(tx, node.id)
                if node.address != after.ip:
                    await networks.remove_address(tx, node.address)
            elif kept[node.id] != node:
                await instance_store.save_node(tx, kept[node.id])
        await self._save_proxies(tx, before, after)
        flavor = self._machinery.flavors.get(after.spec_code, after.capacity_gb)
        await instance_store.save_promised_memory(tx, after.id, flavor.promised_memory)

    @staticmethod
    async def _save_proxies(tx: Tx, before: Instance, after: Instance) -> None:
        kept = {proxy.id: proxy for proxy in after.proxies}
        for proxy in before.proxies:
            if proxy.id not in kept:
                await proxy_store.remove_proxy(tx, proxy.id)
                await networks.remove_address(tx, proxy.address)
            elif kept[proxy.id] != proxy:
                await proxy_store.save_proxy(tx, kept[proxy.id])

    async def _context(self, job_id: str) -> tuple[StepContext, Workflow]:
        async with self._database.reading() as tx:
            job, instance, workflow = await self._load(tx, job_id, instance_store.find_any_instance)
        return StepContext(self._machinery, instance, job, partial(self._report, job_id)), workflow

    async def _report(self, job_id: str, progress: int, sentence: str) -> None:
        async with self._database.writing() as tx:
            job = await job_store.find_any_job(tx, job_id)
            if job is not None and not job.status.is_final:
                now = self._machinery.now()
                told = replace(job, progress=max(progress, job.progress), step_detail=sentence, updated_at=now)
                await job_store.save_job(tx, told)

    async def _load(
        self, tx: Tx, job_id: str, read: Callable[[Tx, str], Awaitable[Instance | None]]
    ) -> tuple[Job, Instance, Workflow]:
        job = await job_store.find_any_job(tx, job_id)
        assert job is not None, "a job's record outlives its workflow"
        instance = await read(tx, job.instance_id or "")
        assert instance is not None, "an instance's record is kept for good"
        return job, instance, self._workflows[job.kind]

    async def _is_unfinished(self, job_id: str) -> bool:
        job = await self._job(job_id)
        return job is not None and not job.status.is_final

    async def _job(self, job_id: str) -> Job | None:
        async with self._database.reading() as tx:
            return await job_store.find_any_job(tx, job_id)

    async def _save_job(self, job: Job) -> None:
        async with self._database.writing() as tx:
            await job_store.save_job(tx, job)


def _attempt_id(job_id: str, number: int) -> str:
    return f"{job_id}.{number}" if number else job_id


def _job_of(attempt: str) -> str:
    return attempt.partition(".")[0]
