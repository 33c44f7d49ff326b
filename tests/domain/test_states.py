"""The one table of states: what may happen when, and what a caller is told that comes at a bad time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from examples import NOW, instance_like

from cachestead import errors
from cachestead.domain.instances import (
    TRANSITIONS,
    Event,
    State,
    advance,
    busy_error,
    group_id,
    node_id,
    replication_id,
)

RUNNING = instance_like(project_id="p", name="test-instance", spec_code="x", capacity_gb=1)
EVERYTHING = [(state, event) for state in State for event in Event]


@pytest.mark.parametrize(("state", "event"), EVERYTHING, ids=[f"{state}, {event}" for state, event in EVERYTHING])
def test_the_table_is_the_law(state: State, event: Event):
    instance, later = replace(RUNNING, state=state), NOW + timedelta(seconds=1)
    if (state, event) in TRANSITIONS:
        after = advance(instance, event, later)
        assert (after.state, after.updated_at) == (TRANSITIONS[state, event], later)
    else:
        with pytest.raises(errors.ServiceError):
            advance(instance, event, later)


@pytest.mark.parametrize("event", [Event.RESTART_ASKED, Event.FLUSH_ASKED, Event.CHANGE_ASKED])
@pytest.mark.parametrize(
    "state", [State.CREATING, State.RESTARTING, State.FLUSHING, State.DELETING, State.CREATEFAILED]
)
def test_no_change_begins_while_another_runs_or_none_is_possible(state: State, event: Event):
    with pytest.raises(errors.ServiceError):
        advance(replace(RUNNING, state=state), event, NOW)


def test_nothing_happens_to_what_is_deleted():
    assert not [event for state, event in TRANSITIONS if state is State.DELETED]


def test_every_state_that_is_used_leads_out_but_the_last():
    entered = set(TRANSITIONS.values())
    left = {state for state, _ in TRANSITIONS}
    assert entered - left == {State.DELETED}


@pytest.mark.parametrize(
    ("state", "task", "error"),
    [
        pytest.param(State.CREATING, None, errors.Creating, id="creating"),
        pytest.param(State.RESTARTING, None, errors.Restarting, id="restarting"),
        pytest.param(State.EXTENDING, None, errors.Extending, id="extending"),
        pytest.param(State.RESTORING, None, errors.RestoreRunning, id="restoring"),
        pytest.param(State.FLUSHING, None, errors.WrongState, id="flushing"),
        pytest.param(State.DELETING, None, errors.WrongState, id="deleting"),
        pytest.param(State.CREATEFAILED, None, errors.WrongState, id="creation failed"),
        pytest.param(State.ERROR, None, errors.WrongState, id="faulty"),
        pytest.param(State.RUNNING, "modify", errors.ChangingPassword, id="password change"),
        pytest.param(State.RUNNING, "UpdatePort", errors.Configuring, id="new port"),
        pytest.param(State.RUNNING, "something else", errors.WrongState, id="unnamed work"),
    ],
)
def test_who_comes_too_early_is_told_what_runs(state: State, task: str | None, error: type[errors.ServiceError]):
    refusal = busy_error(replace(RUNNING, state=state, task=task))
    assert type(refusal) is error
    assert RUNNING.id in str(refusal.detail)


def test_derived_ids_are_the_same_every_time_and_never_alike():
    made = [node_id(RUNNING.id, shard, ordinal) for shard in range(3) for ordinal in range(3)]
    assert made == [node_id(RUNNING.id, shard, ordinal) for shard in range(3) for ordinal in range(3)]
    assert len({*made, *map(replication_id, made), *(group_id(RUNNING.id, shard) for shard in range(3))}) == 21
