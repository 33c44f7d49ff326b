"""A Celery worker that has the proxy for its broker and for its results."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import celery
import pytest
from installation import eventually
from proxied import Proxied
from real_engines import kill_all_under

from cachestead.proxy.configuration import Layout

JOBS = """
import os

from celery import Celery

app = Celery("jobs", broker=os.environ["URL"], backend=os.environ["URL"])
prefix = {"global_keyprefix": os.environ["PREFIX"]}
app.conf.update(
    broker_transport_options=prefix,
    result_backend_transport_options=prefix,
    task_acks_late=True,
    broker_connection_retry_on_startup=True,
)


@app.task
def add(a, b):
    return a + b


@app.task(bind=True, max_retries=3)
def succeed_at_last(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return self.request.retries


@app.task
def fail():
    raise ValueError("on purpose")


@app.task
def total(numbers):
    return sum(numbers)
"""


@pytest.fixture
def jobs(proxied: Proxied, tmp_path: Path) -> Iterator[celery.Celery]:
    """An application whose jobs a worker process carries out."""
    # BRPOP waits for several keys: in a cluster they must share a slot.
    prefix = "{jobs}:" if proxied.layout is Layout.CLUSTER else "jobs:"
    url = f"redis://{proxied.endpoint}/0"
    (tmp_path / "jobs.py").write_text(JOBS)
    with (tmp_path / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "jobs", "worker", "-c", "2", "--loglevel", "info"],
            cwd=tmp_path,
            env=os.environ | {"URL": url, "PREFIX": prefix},
            stdout=log,
            stderr=log,
        )
    app = celery.Celery("jobs", broker=url, backend=url, set_as_current=False)
    options = {"global_keyprefix": prefix}
    app.conf.update(broker_transport_options=options, result_backend_transport_options=options)
    try:
        eventually(lambda: app.control.inspect(timeout=1).ping(), 60)
        yield app
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            kill_all_under(tmp_path)
            print((tmp_path / "worker.log").read_text()[-3000:])
            app.close()


def test_jobs_are_done_and_results_come_back(jobs: celery.Celery):
    results = [jobs.send_task("jobs.add", (number, 1)) for number in range(100)]
    assert [result.get(timeout=60) for result in results] == [number + 1 for number in range(100)]

    assert jobs.send_task("jobs.succeed_at_last").get(timeout=60) == 2
    with pytest.raises(ValueError, match="on purpose"):
        jobs.send_task("jobs.fail").get(timeout=60)

    later = jobs.send_task("jobs.add", (1, 1), countdown=0.5)
    assert later.get(timeout=60) == 2

    parts = celery.group(jobs.signature("jobs.add", (number, number)) for number in range(10))
    whole = celery.chord(parts, app=jobs)(jobs.signature("jobs.total"))
    assert whole.get(timeout=60) == 90

    assert jobs.control.inspect(timeout=5).active() is not None
    assert jobs.control.purge() == 0
