"""Waiting for instances, with what is going on shown meanwhile.

`judge` decides on what was seen; the loop only looks, shows and sleeps. On a terminal there is a moving bar,
elsewhere a line for each change, so that a log of a build stays readable. Every wait has an end.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from cachestead.cli.client import Client, Json, Refused
from cachestead.cli.failures import CommandFailed
from cachestead.cli.printing import say

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
_BROKEN = frozenset({"CREATEFAILED", "ERROR", "FROZEN"})
_AT_WORK = frozenset({"waiting", "backuping", "restoring", "MIGRATING"})
_WELL = frozenset({"succeed", "SUCCESS"})


class Goal(StrEnum):
    """What is waited for."""

    RUNNING = "running"
    DELETED = "deleted"


class Verdict(Enum):
    """What one look at an instance means for the wait."""

    PENDING = auto()
    REACHED = auto()
    FAILED = auto()


@dataclass(frozen=True)
class Sight:
    """How far things are, for people."""

    text: str
    percent: float | None = None
    detail: str | None = None
    """How far the step under way is, in a sentence; it changes often."""


def judge(goal: Goal, instance: Json | None) -> Verdict:
    """Whether the goal is reached, out of reach, or still ahead. None is an instance that is not there."""
    if goal is Goal.DELETED:
        return Verdict.REACHED if instance is None else Verdict.PENDING
    if instance is None or instance["status"] in _BROKEN:
        return Verdict.FAILED
    settled = instance["status"] == "RUNNING" and not instance.get("task")
    return Verdict.REACHED if settled else Verdict.PENDING


def wait_for(client: Client, names: Mapping[str, str], goal: Goal, timeout: float) -> None:
    """Stay until every instance (id to name) has reached the goal; `CommandFailed` if one cannot or time is up."""
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    with _display() as display:
        while True:
            seen = _look(client, names)
            verdicts = {key: judge(goal, seen[key]) for key in names}
            display.show(_sight(client, names, seen, verdicts))
            if Verdict.PENDING not in verdicts.values():
                break
            if time.monotonic() + pause > deadline:
                raise CommandFailed(
                    f"Not {goal} within {timeout:.0f} s: {_enumerate(names, verdicts, Verdict.PENDING)}.",
                    advice="It goes on; `cachestead instance wait` takes up the wait again.",
                )
            time.sleep(pause)
            pause = min(pause * 1.3, _LONGEST_PAUSE)
    if Verdict.FAILED in verdicts.values():
        found = "; ".join(
            f"{names[key]} {_status(seen[key])}" for key, verdict in verdicts.items() if verdict is Verdict.FAILED
        )
        raise CommandFailed(found + ".", advice="The service's log says why.")


def wait_for_job(client: Client, instance: Json, job: str, timeout: float) -> None:
    """Stay until work on an instance has ended; `CommandFailed` with its reason if it failed.

    An instance whose change failed is RUNNING too, as it was before.
    """
    wait_for(client, {instance["instance_id"]: instance["name"]}, Goal.RUNNING, timeout)
    ended = client.show_job_info(job)
    if ended["status"] == "FAIL":
        reason = ended.get("fail_reason") or "the service's log says why."
        raise CommandFailed(f"{instance['name']} was not changed: {reason}")


def wait_for_end(client: Client, job: str, timeout: float) -> None:
    """Stay until a job that changes no instance has ended; `CommandFailed` with its reason if it failed."""
    deadline, pause = time.monotonic() + timeout, _FIRST_PAUSE
    while (seen := client.show_job_info(job))["status"] not in ("SUCCESS", "FAIL"):
        if time.monotonic() + pause > deadline:
            raise CommandFailed(f"Job {job} did not end within {timeout:.0f} s.")
        time.sleep(pause)
        pause = min(pause * 1.3, _LONGEST_PAUSE)
    if seen["status"] == "FAIL":
        raise CommandFailed(f"Job {job} failed: {seen.get('fail_reason')}")


def wait_for_record(look: Callable[[], Json], name: str, timeout: float) -> Json:
    """Stay until a backup, a restoration or a migration has ended; its record, or `CommandFailed` if it failed."""
    deadline, pause = time.monotonic() + timeout, _FIRST_PAUSE
    with _display() as display:
        while (seen := look())["status"] in _AT_WORK:
            display.show(Sight(f"{name}: {seen['status']}", float(seen.get("progress") or 0)))
            if time.monotonic() + pause > deadline:
                raise CommandFailed(f"{name} did not end within {timeout:.0f} s.", advice="It goes on.")
            time.sleep(pause)
            pause = min(pause * 1.3, _LONGEST_PAUSE)
        display.show(Sight(f"{name}: {seen['status']}", 100))
    if seen["status"] not in _WELL:
        reason = seen.get("error_message") or seen.get("error_code") or "the service's log says why"
        raise CommandFailed(f"{name} has failed: {reason}.")
    return seen


def _look(client: Client, names: Mapping[str, str]) -> dict[str, Json | None]:
    if len(names) == 1:
        return {key: client.find_instance(key) for key in names}
    listed = {instance["instance_id"]: instance for instance in client.list_instances()}
    return {key: listed.get(key) for key in names}


def _sight(
    client: Client, names: Mapping[str, str], seen: Mapping[str, Json | None], verdicts: Mapping[str, Verdict]
) -> Sight:
    if len(names) == 1:
        (key,) = names
        instance = seen[key]
        if verdicts[key] is not Verdict.PENDING:
            return Sight(f"{names[key]}: {_status(instance)}", 100)
        return _sight_at_work(client, key, f"{names[key]}: {_status(instance)}")
    counts = Counter(_status(instance) for instance in seen.values())
    done = sum(verdict is not Verdict.PENDING for verdict in verdicts.values())
    text = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    return Sight(f"{len(names)} instances: {text}", 100 * done / len(names))


def _sight_at_work(client: Client, instance: str, text: str) -> Sight:
    """The text with the task under way. That is a courtesy: a refusal only means there is no more to say."""
    try:
        tasks = client.list_background_tasks(instance, limit=1)
        if not tasks or tasks[0].get("status") != "EXECUTING":
            return Sight(text)
        progress = client.show_background_task_progress(instance, tasks[0]["id"])
    except Refused:
        return Sight(text)
    percent = progress.get("progress")
    percent = None if percent is None else float(percent)
    steps = [step for step in progress.get("step_details") or [] if not step.get("end_time")]
    if not steps:
        return Sight(text, percent)
    parts = steps[0].get("sub_step_details") or [{}]
    return Sight(f"{text}, {steps[0].get('step_name')}", percent, parts[0].get("detail"))


def _status(instance: Json | None) -> str:
    if instance is None:
        return "gone"
    task = instance.get("task")
    return str(instance["status"]) + (f" ({task})" if task else "")


def _enumerate(names: Mapping[str, str], verdicts: Mapping[str, Verdict], wanted: Verdict) -> str:
    return ", ".join(names[key] for key, verdict in verdicts.items() if verdict is wanted)


class Display(Protocol):
    """Where sights go."""

    def show(self, sight: Sight) -> None:
        """Show the newest one."""


class _Bar:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def show(self, sight: Sight) -> None:
        total = None if sight.percent is None else 100
        text = sight.text + (f", {sight.detail}" if sight.detail else "")
        self._progress.update(self._task, description=text, total=total, completed=sight.percent or 0)


class _Lines:
    """A line for each change of the text, and for each tenth of the work."""

    def __init__(self) -> None:
        self._last: tuple[str, int] | None = None

    def show(self, sight: Sight) -> None:
        seen = (sight.text, int((sight.percent or 0) // 10))
        if seen == self._last:
            return
        under_way = [] if sight.percent in (None, 100) else [f"{sight.percent:.0f} %"]
        say(", ".join([sight.text, *([sight.detail] if sight.detail else []), *under_way]))
        self._last = seen


@contextmanager
def _display() -> Iterator[Display]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    text = TextColumn("{task.description}", markup=False)
    with Progress(
        SpinnerColumn(), text, BarColumn(bar_width=30), TaskProgressColumn(), TimeElapsedColumn(), console=console
    ) as progress:
        yield _Bar(progress)
