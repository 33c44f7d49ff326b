import pytest

from cachestead.cli.waiting import Goal, Verdict, judge


def _instance(status, task=None):
    return {"instance_id": "i", "status": status, "task": task}


@pytest.mark.parametrize(
    ("goal", "instance", "verdict"),
    [
        pytest.param(Goal.RUNNING, _instance("CREATING"), Verdict.PENDING, id="being created"),
        pytest.param(Goal.RUNNING, _instance("RUNNING"), Verdict.REACHED, id="running"),
        pytest.param(Goal.RUNNING, _instance("RUNNING", "modify"), Verdict.PENDING, id="running but at work"),
        pytest.param(Goal.RUNNING, _instance("RESTARTING"), Verdict.PENDING, id="restarting"),
        pytest.param(Goal.RUNNING, _instance("EXTENDING"), Verdict.PENDING, id="changing its size"),
        pytest.param(Goal.RUNNING, _instance("CREATEFAILED"), Verdict.FAILED, id="creation failed"),
        pytest.param(Goal.RUNNING, _instance("ERROR"), Verdict.FAILED, id="broken"),
        pytest.param(Goal.RUNNING, None, Verdict.FAILED, id="gone before it ran"),
        pytest.param(Goal.DELETED, _instance("DELETING"), Verdict.PENDING, id="being deleted"),
        pytest.param(Goal.DELETED, _instance("RUNNING"), Verdict.PENDING, id="deletion not begun"),
        pytest.param(Goal.DELETED, None, Verdict.REACHED, id="gone"),
    ],
)
def test_a_look_decides_whether_the_wait_is_over(goal, instance, verdict):
    assert judge(goal, instance) is verdict
