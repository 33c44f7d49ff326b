"""Records whose time is over are dropped, and no others. The clock is moved; everything else is as it runs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dbos import DBOS, SetWorkflowID
from examples import INSTANCE_ID as ONE
from examples import PROJECT_ID as PROJECT
from examples import instance_like
from installation import free_port
from postgresql import NewDatabase
from real_engines import eventually

from cachestead import bootstrap
from cachestead.bootstrap import Application
from cachestead.domain.instances import Node, Role, State
from cachestead.domain.jobs import Job, JobStatus
from cachestead.domain.parameters import ConfigStatus, ParameterChange
from cachestead.domain.sizes import MiB
from cachestead.reconcilers.leftovers import Leftovers
from cachestead.settings import load_settings
from cachestead.store import instances, jobs, parameters, sessions
from cachestead.store.jobs import TaskFilter
from cachestead.store.sessions import SessionList
from cachestead.workflows.scan_clients import SCAN_CLIENTS
from cachestead.workflows.workflow import Step, StepContext, Workflow

NOW = datetime(2025, 5, 1, 12, tzinfo=UTC)
INSTANCE = instance_like(
    state=State.DELETED,
    ip="",
    nodes=(Node("n" * 32, ONE, 0, 0, "127.64.0.9", 6379, "az1", Role.MASTER),),
)

OTHER = "6" * 8 + ONE[8:]
LIVING = instance_like(
    id=OTHER, name="living", nodes=(replace(INSTANCE.nodes[0], id="m" * 32, instance_id=OTHER),)
)


@pytest.fixture
async def application(tmp_path: Path, new_database: NewDatabase) -> AsyncIterator[Application]:
    """The product, built; a list of sessions is kept for two hours, and a job for three days."""
    made = await bootstrap.build(
        load_settings(
            data_dir=tmp_path / "data",
            server={"port": free_port()},
            store={"database_url": new_database()},
            region={"subnet_cidr": f"127.{random.randint(130, 150)}.{random.randint(0, 15) * 16}.0/20"},
            jobs={"keep_days": 3},
            sessions={"keep_hours": 2},
        )
    )
    async with made.database.writing() as tx:
        await instances.add_instance(tx, INSTANCE, MiB(0))
        # It is deleted, so that there is nothing else to reconcile.
        await instances.remove_nodes(tx, ONE)
    await made.runner.start()
    yield made
    await made.runner.close(0)
    DBOS.destroy()
    await made.machinery.sentinels.close()
    await made.machinery.connections.close()
    await made.database.close()


def leftovers_at(application: Application, moment: datetime) -> Leftovers:
    """The reconciler, at another time."""
    machinery = replace(application.machinery, now=lambda: moment)
    keep = bootstrap._retention(application.settings)
    return Leftovers(machinery, application.runner, application.sentinels.ids, keep)


async def add_job(
    application: Application, name: str, status: JobStatus, ended: datetime | None, kind: str = "no-such-workflow"
) -> None:
    job = Job(
        id=name.ljust(32, "0"), project_id=PROJECT, instance_id=ONE, kind=kind, type="t", status=status,
        user_id="u", user_name="U", created_at=NOW - timedelta(days=90), updated_at=NOW, task="EXTEND", ended_at=ended,
    )  # fmt: skip
    async with application.database.writing() as tx:
        await jobs.add_job(tx, job)


async def tasks(application: Application) -> set[str]:
    async with application.database.reading() as tx:
        _, found = await jobs.list_tasks(tx, PROJECT, TaskFilter(ONE), offset=0, limit=100)
    return {one.id.rstrip("0") for one in found}


async def test_tasks_are_kept_for_so_long_after_their_end(application: Application) -> None:
    await add_job(application, "done", JobStatus.SUCCESS, NOW)
    await add_job(application, "failed", JobStatus.FAIL, NOW)
    await add_job(application, "later", JobStatus.SUCCESS, NOW + timedelta(hours=1))
    await add_job(application, "running", JobStatus.RUNNING, None)
    await leftovers_at(application, NOW + timedelta(days=3)).run_pass()
    assert await tasks(application) == {"done", "failed", "later", "running"}
    await leftovers_at(application, NOW + timedelta(days=3, seconds=1)).run_pass()
    assert await tasks(application) == {"later", "running"}
    await leftovers_at(application, NOW + timedelta(days=3000)).run_pass()
    assert await tasks(application) == {"running"}


async def attempts(name: str) -> dict[str, int]:
    """How many steps the workflows of a job have on record, by the number of the attempt."""
    found = await DBOS.list_workflows_async(workflow_id_prefix=name.ljust(32, "0"))
    return {
        one.workflow_id.partition(".")[2]: len(await DBOS.list_workflow_steps_async(one.workflow_id))
        for one in found
    }


async def add_attempts(application: Application, name: str, count: int) -> None:
    """So many workflows did the job, one after the other; they find it done."""
    job_id = name.ljust(32, "0")
    for attempt in [job_id, *(f"{job_id}.{number}" for number in range(1, count))]:
        with SetWorkflowID(attempt):
            handle = await DBOS.start_workflow_async(application.runner._workflow, job_id)
        await handle.get_result()


async def test_what_is_kept_of_how_jobs_were_done_goes_with_them(application: Application) -> None:
    await add_job(application, "over", JobStatus.SUCCESS, NOW)
    await add_attempts(application, "over", 3)
    await add_job(application, "other", JobStatus.SUCCESS, NOW + timedelta(days=1))
    await add_attempts(application, "other", 2)
    await leftovers_at(application, NOW + timedelta(days=3)).run_pass()
    assert await attempts("over") == {"": 1, "1": 1, "2": 1}
    for _ in range(2):
        await leftovers_at(application, NOW + timedelta(days=3, seconds=1)).run_pass()
        assert await attempts("over") == {}
        assert await DBOS.list_workflow_steps_async("over".ljust(32, "0")) == []
        assert await attempts("other") == {"": 1, "1": 1}
        assert await tasks(application) == {"other"}


async def test_a_job_outlives_its_workflow(application: Application) -> None:
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def wait(_: StepContext) -> None:
        begun.set()
        await goes_on.wait()

    application.runner._workflows["waits"] = Workflow("waits", job_type="t", steps=(Step(wait),))
    await add_job(application, "ended", JobStatus.RUNNING, None, "waits")
    application.runner.nudge()
    await asyncio.wait_for(begun.wait(), 20)
    async with application.database.writing() as tx:
        job = await jobs.find_any_job(tx, "ended".ljust(32, "0"))
        assert job is not None
        await jobs.save_job(tx, replace(job, status=JobStatus.SUCCESS, ended_at=NOW))
    late = leftovers_at(application, NOW + timedelta(days=4))
    await late.run_pass()
    assert await attempts("ended") == {"": 1}
    assert await tasks(application) == {"ended"}
    goes_on.set()

    async def gone() -> bool:
        await late.run_pass()
        return not await tasks(application)

    await eventually(gone)
    assert await attempts("ended") == {}


async def test_a_job_whose_workflows_are_gone_already_is_dropped(application: Application) -> None:
    await add_job(application, "half", JobStatus.SUCCESS, NOW)
    await add_attempts(application, "half", 2)
    # As if the service had been killed here.
    assert await application.runner.forget(["half".ljust(32, "0")])
    assert await attempts("half") == {}
    await leftovers_at(application, NOW + timedelta(days=4)).run_pass()
    assert await tasks(application) == set()


async def test_many_jobs_go_at_once(application: Application) -> None:
    names = [f"many-{number:03d}-x" for number in range(450)]
    for name in names:
        await add_job(application, name, JobStatus.FAIL, NOW)
    await leftovers_at(application, NOW + timedelta(days=4)).run_pass()
    assert await tasks(application) == set()


async def test_lists_of_sessions_are_kept_for_so_long_and_the_jobs_that_took_them(
    application: Application,
) -> None:
    async with application.database.writing() as tx:
        await sessions.save_list(tx, SessionList("n" * 32, ONE, "j" * 32, NOW), [])
    await add_job(application, "scan", JobStatus.SUCCESS, NOW, SCAN_CLIENTS.name)
    await add_job(application, "other", JobStatus.SUCCESS, NOW)
    for moment, kept in ((timedelta(hours=2), True), (timedelta(hours=2, seconds=1), False)):
        await leftovers_at(application, NOW + moment).run_pass()
        async with application.database.reading() as tx:
            assert (await sessions.find_list(tx, "n" * 32) is not None) is kept
        assert await tasks(application) == ({"scan", "other"} if kept else {"other"})


async def test_changes_of_parameters_are_kept_as_long_as_tasks_and_the_newest_longer(
    application: Application,
) -> None:
    async with application.database.writing() as tx:
        await instances.add_instance(tx, LIVING, MiB(0))
        for owner in (ONE, LIVING.id):
            for number, status in enumerate(("SUCCESS", "UPDATING", "FAILURE", "SUCCESS")):
                at = NOW + timedelta(minutes=number)
                one = ParameterChange(f"{owner[:8]}-{number}", owner, "j" * 32, ConfigStatus(status), (), at, at)
                await parameters.add_change(tx, one)

    async def kept(moment: datetime, owner: str) -> list[str]:
        await leftovers_at(application, moment).run_pass()
        async with application.database.reading() as tx:
            _, found = await parameters.list_changes(tx, owner, offset=0, limit=100)
        return [one.id[-1] for one in found]

    assert await kept(NOW + timedelta(days=3), LIVING.id) == ["3", "2", "1", "0"]
    assert await kept(NOW, ONE) == []
    assert await kept(NOW + timedelta(days=3, seconds=1), LIVING.id) == ["3", "2", "1"]
    assert await kept(NOW + timedelta(days=3000), LIVING.id) == ["3", "1"]
