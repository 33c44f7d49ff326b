"""An RQ worker whose queue is behind the proxy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import rq
from installation import eventually
from proxied import Proxied
from real_engines import kill_all_under

from cachestead.proxy.configuration import Layout

JOBS = """
def add(a, b):
    return a + b


def fail():
    raise ValueError("on purpose")
"""


@pytest.fixture
def queue(proxied: Proxied, tmp_path: Path) -> Iterator[rq.Queue]:
    """A queue whose jobs a worker process carries out."""
    name = "{jobs}" if proxied.layout is Layout.CLUSTER else "jobs"
    (tmp_path / "rq_jobs.py").write_text(JOBS)
    with (tmp_path / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "rq.cli", "worker", "--url", f"redis://{proxied.endpoint}/0", name],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            stdout=log,
            stderr=log,
        )
    try:
        with proxied.client(decode_responses=False) as client:
            yield rq.Queue(name, connection=client)
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            kill_all_under(tmp_path)
            print((tmp_path / "worker.log").read_text()[-3000:])


def test_jobs_are_done_and_results_come_back(queue: rq.Queue):
    jobs = [queue.enqueue("rq_jobs.add", number, 1) for number in range(10)]
    eventually(lambda: all(job.get_status(refresh=True) == "finished" for job in jobs), 90)
    assert [job.return_value() for job in jobs] == [number + 1 for number in range(10)]

    failed = queue.enqueue("rq_jobs.fail")
    eventually(lambda: failed.get_status(refresh=True) == "failed", 60)
    # A transaction over several slots comes to pass slot by slot.
    eventually(lambda: "on purpose" in failed.latest_result().exc_string)
    assert queue.count == 0


def test_jobs_that_depend_on_others_are_done_after_them(proxied: Proxied, queue: rq.Queue):
    if proxied.layout is Layout.CLUSTER:
        pytest.skip("RQ watches keys of several slots for that, and they cannot be given one")
    first = queue.enqueue("rq_jobs.add", 1, 1)
    second = queue.enqueue("rq_jobs.add", 2, 2, depends_on=first)
    eventually(lambda: second.get_status(refresh=True) == "finished", 60)
    assert second.return_value() == 4
