"""The V2 API, a module per chapter of the reference."""

from cachestead.api.v2 import (
    accounts,
    background_tasks,
    backups,
    instance_management,
    lifecycle,
    migration,
    other,
    parameters,
    sessions,
    shards,
    ssl,
    tags,
    templates,
    whitelists,
)

# Chapter 4.2 has fixed paths (/instances/status) that must be seen before 4.1's /instances/{instance_id}.
CHAPTERS = (
    other.chapter,
    instance_management.chapter,
    shards.chapter,
    parameters.chapter,
    tags.chapter,
    backups.chapter,
    migration.chapter,
    background_tasks.chapter,
    templates.chapter,
    sessions.chapter,
    accounts.chapter,
    ssl.chapter,
    whitelists.chapter,
    lifecycle.chapter,
)
