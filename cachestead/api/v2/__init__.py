"""The V2 API, a module per chapter of the reference."""

from cachestead.api.v2 import background_tasks, instance_management, lifecycle, other, sessions, shards, tags

# Chapter 4.2 has fixed paths (/instances/status) that must be seen before 4.1's /instances/{instance_id}.
CHAPTERS = (
    other.chapter,
    instance_management.chapter,
    shards.chapter,
    tags.chapter,
    background_tasks.chapter,
    sessions.chapter,
    lifecycle.chapter,
)
