"""Parameters change while the service is killed or a node is lost: the change is carried to its end all the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import httpx
import psutil
import pytest
from configured import Configured
from crashes import ANSWERED, Crash
from installation import HA, SPLIT, Installation, eventually
from witnesses import Writer, assert_nothing_is_left_over

CAPACITY = {HA: 0.125, SPLIT: 1}
SECONDS = count(100)


@pytest.fixture(scope="module")
def api(installation: Installation) -> Iterator[httpx.Client]:
    """A client with a token, which outlives the service."""
    with installation.http() as client:
        yield client


@pytest.fixture(scope="module")
def made() -> dict[str, Configured]:
    """The instances that were asked for so far, one of each flavor."""
    return {}


@pytest.fixture
def configured(
    request: pytest.FixtureRequest, installation: Installation, api: httpx.Client, made: dict[str, Configured]
) -> Configured:
    """The instance of a flavor."""
    flavor = request.param
    if flavor not in made:
        instance = installation.create(f"changed-{len(made)}", flavor, capacity=CAPACITY[flavor])
        made[flavor] = Configured(installation, api, instance)
    return made[flavor]


MOMENTS = [ANSWERED, "save_values", "set_values", "save_success"]
standby = pytest.mark.parametrize("configured", [HA], indirect=True, ids=["ha"])


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("configured", [HA, SPLIT], indirect=True, ids=["ha", "split"])
def test_a_change_is_made_although_the_service_is_killed(configured: Configured, moment: str):
    seconds = next(SECONDS)
    with Writer(configured.instance) as writer:
        Crash(configured.installation).during(
            lambda _: configured.put(timeout=seconds, repl_timeout=seconds), moment
        )
        assert eventually(configured.settled) == "SUCCESS"
        writer.wait_for_writes()
    assert writer.failures == []
    values = configured.values()
    assert (values["timeout"], values["repl-timeout"]) == (str(seconds), str(seconds))
    configured.assert_in_force()
    newest = configured.histories()[0]
    assert (newest["status"], configured.detail(newest["history_id"])["fail_reason"]) == ("SUCCESS", None)
    assert_nothing_is_left_over(configured.installation)


@standby
def test_a_change_that_was_saved_and_not_put_into_force_is_when_the_service_is_back(configured: Configured):
    seconds = next(SECONDS)
    node = _process(configured, -1)
    node.suspend()
    try:
        Crash(configured.installation).during(lambda _: configured.put(repl_timeout=seconds), "set_values")
    finally:
        node.resume()
    assert eventually(configured.settled) == "SUCCESS"
    configured.assert_in_force()


@standby
@pytest.mark.parametrize("place", [0, -1], ids=["master", "replica"])
def test_a_node_that_is_lost_meanwhile_comes_back_with_the_new_values(configured: Configured, place: int):
    seconds = next(SECONDS)
    node = _process(configured, place)
    node.suspend()
    assert configured.put(repl_timeout=seconds).status_code == 204
    node.kill()
    assert eventually(configured.settled, 60) == "SUCCESS"
    configured.installation.wait(configured.instance["instance_id"], seconds=60)
    eventually(lambda: configured.assert_in_force() is None, 60)


def _process(configured: Configured, place: int) -> psutil.Process:
    pids = configured.installation.node_pids(configured.instance["instance_id"])
    return psutil.Process(pids[configured.addresses("redis-server")[place]])
