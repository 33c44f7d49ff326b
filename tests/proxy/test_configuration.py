"""What a proxy is told survives the way to it; what is nothing of the kind is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cachestead.proxy.configuration import AccountLogin, Address, DataNode, Layout, ProxyConfiguration

PLAIN = ProxyConfiguration(
    id="proxy-1",
    own=Address("10.0.0.201", 6379),
    endpoint=None,
    layout=Layout.CLUSTER,
    nodes=(),
    version="6.0",
    user="cachestead-proxy",
    secret="s3cret",
    admin_hash="ab" * 32,
    password_hash=None,
)
FULL = replace(
    PLAIN,
    endpoint=Address("10.0.0.100", 6380),
    layout=Layout.REPLICATED,
    nodes=(DataNode("a", Address("10.0.0.1", 6379), weight=0), DataNode("b", Address("10.0.0.2", 6379))),
    secret='"ü\n',
    password_hash="cd" * 32,
    reader="cachestead-proxy-reader",
    accounts={"writer": AccountLogin("ef" * 32), "reader": AccountLogin("ef" * 32, reads_only=True)},
    refused=frozenset({"wait", "config|set"}),
    renamed={"flushall": "empty"},
    maxclients=7,
    databases=256,
    parameters={"timeout": "60"},
)


@pytest.mark.parametrize("told", [PLAIN, FULL], ids=["plain", "full"])
def test_it_arrives_as_it_was(told: ProxyConfiguration):
    assert ProxyConfiguration.from_json(told.to_json()) == told
    assert ProxyConfiguration.from_json(told.to_json().encode()) == told


def test_secrets_are_not_shown():
    assert not {part for part in ("s3cret", "ab" * 32, "cd" * 32) if part in repr(replace(FULL, secret="s3cret"))}


@pytest.mark.parametrize(
    "changes", [{"layout": "heap"}, {"own": {"host": "x"}}, {"nodes": [{"id": "a"}]}, {"colour": 1}, {"own": None}]
)
def test_what_makes_no_sense_is_refused(changes: dict[str, object]):
    text = json.dumps(json.loads(FULL.to_json()) | changes)
    with pytest.raises((ValueError, KeyError, TypeError)):
        ProxyConfiguration.from_json(text)


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "null", "7", b"\xff"])
def test_what_is_no_configuration_is_refused(text: str | bytes):
    with pytest.raises((ValueError, KeyError, TypeError)):
        ProxyConfiguration.from_json(text)
