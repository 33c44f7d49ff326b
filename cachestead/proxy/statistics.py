"""What a proxy counts: clients, requests, bytes, slow requests, hot keys. All of it bounded."""

from __future__ import annotations

import os
import resource
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

MOST_HOT_KEYS = 256
SAMPLE_EVERY = 61
"""One request in so many is looked at for its key; a prime, so that no rhythm of a client hides a key."""


@dataclass(frozen=True)
class SlowEntry:
    """One slow request."""

    id: int
    at: float
    """Unix time in seconds."""
    microseconds: int
    words: tuple[bytes, ...]
    """The first of its arguments, long ones cut."""
    peer: str
    client: str


@dataclass
class SlowLog:
    """The newest slow requests."""

    entries: deque[SlowEntry] = field(default_factory=lambda: deque(maxlen=128))
    _ids: count[int] = field(default_factory=count)

    def add(self, words: list[bytes], microseconds: int, peer: str, client: str) -> None:
        """Keep a request, its arguments cut as an engine cuts them."""
        kept = [_cut(word) for word in words[:31]]
        if len(words) > 31:
            kept.append(b"... (%d more arguments)" % (len(words) - 31))
        at = time.time()
        self.entries.appendleft(SlowEntry(next(self._ids), at, microseconds, tuple(kept), peer, client))

    def resize(self, length: int) -> None:
        """Keep so many from now."""
        self.entries = deque(self.entries, maxlen=length)


def _cut(word: bytes) -> bytes:
    return word if len(word) <= 128 else word[:128] + b"... (%d more bytes)" % (len(word) - 128)


class HotKeys:
    """Keys asked for most, by samples (Misra and Gries: no key above its share is missed)."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, bytes], int] = {}
        self.countdown = SAMPLE_EVERY

    def sample(self, database: int, key: bytes) -> None:
        """Count a key."""
        counts, place = self._counts, (database, key)
        if place in counts:
            counts[place] += 1
        elif len(counts) < MOST_HOT_KEYS:
            counts[place] = 1
        else:
            self._counts = {place: count - 1 for place, count in counts.items() if count > 1}

    def top(self, number: int) -> list[tuple[int, bytes, int]]:
        """Database, key and estimated requests of the hottest keys, the hottest first."""
        ranked = sorted(self._counts.items(), key=lambda item: -item[1])[:number]
        return [(database, key, count * SAMPLE_EVERY) for (database, key), count in ranked]

    def clear(self) -> None:
        """Begin anew."""
        self._counts.clear()


@dataclass
class Statistics:
    """Counters since the start."""

    began: float = field(default_factory=time.monotonic)
    connections: int = 0
    rejected: int = 0
    failed_logins: int = 0
    dropped_for_output: int = 0
    commands: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    commands_per_second: int = 0
    kilobytes_in: float = 0.0
    kilobytes_out: float = 0.0
    slow: SlowLog = field(default_factory=SlowLog)
    hot: HotKeys = field(default_factory=HotKeys)
    _gone: tuple[int, int, int] = (0, 0, 0)
    """Requests and bytes of clients that have gone."""
    _before: tuple[float, int, int, int] = (0.0, 0, 0, 0)

    def take_over(self, commands: int, bytes_in: int, bytes_out: int) -> None:
        """What a client did that has gone."""
        self._gone = (self._gone[0] + commands, self._gone[1] + bytes_in, self._gone[2] + bytes_out)

    def add_up(self, commands: int, bytes_in: int, bytes_out: int) -> None:
        """What the clients that are here did, and those before them."""
        self.commands = self._gone[0] + commands
        self.bytes_in, self.bytes_out = self._gone[1] + bytes_in, self._gone[2] + bytes_out

    def tick(self, now: float) -> None:
        """Once a second: the rates."""
        at, commands, bytes_in, bytes_out = self._before
        seconds = now - at
        if at and seconds > 0:
            self.commands_per_second = round((self.commands - commands) / seconds)
            self.kilobytes_in = (self.bytes_in - bytes_in) / seconds / 1024
            self.kilobytes_out = (self.bytes_out - bytes_out) / seconds / 1024
        self._before = (now, self.commands, self.bytes_in, self.bytes_out)


def process_facts() -> dict[str, dict[str, object]]:
    """What the process takes of the machine, under the names that engines have for it, by section of INFO."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    page = os.sysconf("SC_PAGE_SIZE")
    try:
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * page
    except OSError:
        # Not Linux: the most it ever was has to do.
        resident = used.ru_maxrss * 1024
    return {
        "Memory": {
            "used_memory_rss": resident,
            "total_system_memory": os.sysconf("SC_PHYS_PAGES") * page,
        },
        "CPU": {"used_cpu_sys": f"{used.ru_stime:.6f}", "used_cpu_user": f"{used.ru_utime:.6f}"},
    }
