"""Logging in to a proxy: what nobody is told of it."""

from __future__ import annotations

from proxied import TENANT_PASSWORD, Proxied, hash_of

from cachestead.proxy.configuration import AccountLogin, Address


def test_the_slow_log_keeps_no_passwords(proxied: Proxied) -> None:
    at = Address(proxied.endpoint.host, proxied.endpoint.port + 1)
    proxied.start_proxy(
        2,
        endpoint=at,
        password_hash=hash_of(TENANT_PASSWORD),
        accounts={"someone": AccountLogin(hash_of("Acc0unt-word"))},
        parameters={"proxy-slowlog-log-slower-than": "0"},
    )
    login = {"host": at.host, "port": at.port}
    for protocol in (2, 3):
        with proxied.client(**login, password="someone:Acc0unt-word", protocol=protocol) as client:
            client.set("something", "1")
            entries = [str(entry["command"]) for entry in client.slowlog_get(100)]
        assert any("something" in entry for entry in entries)
        assert not any("Acc0unt" in entry for entry in entries)
