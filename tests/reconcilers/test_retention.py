"""Records whose time is over are dropped, and no others. The clock is moved; everything else is as it runs."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dbos import DBOS
from examples import INSTANCE_ID as ONE
from examples import PROJECT_ID as PROJECT
from examples import instance_like
from installation import free_port
from postgresql import NewDatabase

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
    yield made
    DBOS.destroy()
    await made.machinery.sentinels.close()
    await made.machinery.connections.close()
    await made.database.close()


def leftovers_at(application: Application, moment: datetime) -> Leftovers:
    """The reconciler, at another time."""
    machinery = replace(application.machinery, now=lambda: moment)
    keep = bootstrap._retention(application.settings)
    return Leftovers(machinery, lambda: None, application.sentinels.ids, keep)


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
