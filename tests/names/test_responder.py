"""What the responder says, asked over real sockets by a real resolver."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import pytest
import uvloop
from answered_names import LOOPBACK, MASTER, REPLICA, TTL, VIP, ZONE, Names
from sqlalchemy import text

from cachestead.domain.instances import Mode, State
from cachestead.domain.names import domain_name, readonly_domain_name
from cachestead.names.answers import Answers
from cachestead.names.directory import REMEMBER_SECONDS
from cachestead.names.responder import Responder

UNKNOWN = domain_name("00000000-0000-0000-0000-000000000000", ZONE)
BOTH = pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])


@BOTH
async def test_the_domain_name_is_the_instance_address(names: Names, *, tcp: bool):
    made = await names.add(Mode.HA, [MASTER, REPLICA])

    assert await names.resolve(domain_name(made.id, ZONE), tcp=tcp) == {VIP}


@BOTH
async def test_the_read_only_name_is_the_replicas(names: Names, *, tcp: bool):
    made = await names.add(Mode.HA, [MASTER, REPLICA, REPLICA])

    assert await names.resolve(readonly_domain_name(made.id, ZONE), tcp=tcp) == {"127.64.0.2", "127.64.0.3"}


async def test_the_read_only_name_follows_a_failover(names: Names):
    made = await names.add(Mode.HA, [MASTER, REPLICA])
    name = readonly_domain_name(made.id, ZONE)
    assert await names.resolve(name) == {"127.64.0.2"}
    first, second = made.nodes

    await names.save(replace(first, role=REPLICA, active=False), replace(second, role=MASTER))
    assert await names.resolve(name) == {VIP}

    await names.save(replace(first, role=REPLICA, active=True))
    assert await names.resolve(name) == {"127.64.0.1"}


async def test_a_failover_shows_within_a_second(names: Names):
    made = await names.add(Mode.HA, [MASTER, REPLICA])
    name = readonly_domain_name(made.id, ZONE)
    await names.resolve(name)
    first, second = made.nodes
    await names.save(replace(first, role=REPLICA), replace(second, role=MASTER))
    names.clock.now += REMEMBER_SECONDS - 1

    assert await names.resolve(name) == {"127.64.0.2"}
    names.clock.now += 0.01
    assert await names.resolve(name) == {"127.64.0.1"}
    assert REMEMBER_SECONDS <= 1


async def test_a_clusters_name_is_all_its_nodes_whether_they_fit_a_datagram_or_not(names: Names):
    made = await names.add(Mode.CLUSTER, [MASTER, REPLICA] * 128)
    name, everybody = domain_name(made.id, ZONE), {node.address for node in made.nodes}

    assert (await names.ask(name)).flags & dns.flags.TC
    assert (await names.ask(name, use_edns=0, payload=4096)).flags & dns.flags.TC
    assert await names.resolve(name) == everybody


@pytest.mark.parametrize("mode", [Mode.SINGLE, Mode.CLUSTER])
async def test_only_master_standby_instances_have_a_read_only_name(names: Names, mode: Mode):
    made = await names.add(mode, [MASTER])

    assert (await names.ask(readonly_domain_name(made.id, ZONE))).rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize("state", [State.CREATING, State.ERROR, State.FROZEN, State.DELETING])
async def test_an_instance_has_its_name_in_every_state(names: Names, state: State):
    made = await names.add(Mode.HA, [MASTER, REPLICA], state, active=False)

    assert await names.resolve(domain_name(made.id, ZONE)) == {VIP}
    assert await names.resolve(readonly_domain_name(made.id, ZONE)) == {VIP}


@pytest.mark.parametrize("state", [State.DELETED, State.CREATEFAILED])
async def test_what_is_gone_has_no_name(names: Names, state: State):
    made = await names.add(Mode.HA, [MASTER, REPLICA], state)

    assert (await names.ask(domain_name(made.id, ZONE))).rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize("name", [UNKNOWN, f"redis.{ZONE}", f"a.b.{ZONE}", f"\\000\\255\\..{ZONE}", f"*.{ZONE}"])
async def test_unknown_names_of_the_zone_do_not_exist(names: Names, name: str):
    answer = await names.ask(name)

    assert answer.rcode() == dns.rcode.NXDOMAIN
    assert answer.flags & dns.flags.AA
    assert [one.rdtype for one in answer.authority] == [dns.rdatatype.SOA]
    assert answer.authority[0].ttl == answer.authority[0][0].minimum == TTL


@pytest.mark.parametrize("name", ["example.com", "cachestead.internal", f"x{ZONE}", "."])
@BOTH
async def test_names_outside_the_zone_are_refused(names: Names, name: str, *, tcp: bool):
    answer = await names.ask(name, tcp=tcp)

    assert answer.rcode() == dns.rcode.REFUSED
    assert not answer.flags & (dns.flags.AA | dns.flags.RA)


@pytest.mark.parametrize("kind", ["AAAA", "MX", "HTTPS", "TXT"])
async def test_other_records_of_a_name_are_none(names: Names, kind: str):
    made = await names.add(Mode.HA, [MASTER, REPLICA])
    answer = await names.ask(domain_name(made.id, ZONE), kind)

    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])
    assert [one.rdtype for one in answer.authority] == [dns.rdatatype.SOA]
    with pytest.raises(dns.resolver.NoAnswer):
        await names.resolve(domain_name(made.id, ZONE), kind)


async def test_answers_are_authoritative_and_short_lived(names: Names):
    made = await names.add(Mode.HA, [MASTER, REPLICA])
    answer = await names.ask(domain_name(made.id, ZONE))

    assert answer.flags & dns.flags.AA
    assert [one.ttl for one in answer.answer] == [TTL]


async def test_capitals_do_not_matter_and_come_back_as_asked(names: Names):
    made = await names.add(Mode.HA, [MASTER, REPLICA])
    asked = domain_name(made.id, ZONE).swapcase()
    answer = await names.ask(asked)

    assert answer.question[0].name.to_text(omit_final_dot=True) == asked
    assert {record.to_text() for record in answer.answer[0]} == {VIP}


async def test_the_zone_names_its_server(names: Names):
    [server] = await names.resolve(ZONE, "NS")
    [about] = await names.resolver.resolve(ZONE, "SOA")

    assert about.mname.to_text() == server == f"ns.{ZONE}."
    assert await names.resolve(server) == {str(LOOPBACK)}
    assert (await names.ask(ZONE)).rcode() == dns.rcode.NOERROR


async def test_every_record_of_a_name_may_be_asked_for(names: Names):
    made = await names.add(Mode.HA, [MASTER, REPLICA])
    found = (await names.ask(domain_name(made.id, ZONE), "ANY")).answer
    apex = (await names.ask(ZONE, "ANY")).answer

    assert [one.rdtype for one in found] == [dns.rdatatype.A]
    assert {one.rdtype for one in apex} == {dns.rdatatype.SOA, dns.rdatatype.NS}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"rdtype": "AXFR"}, dns.rcode.REFUSED),
        ({"rdclass": dns.rdataclass.CH}, dns.rcode.REFUSED),
        ({"use_edns": 1}, dns.rcode.BADVERS),
    ],
    ids=["zone transfer", "another class", "a later EDNS"],
)
async def test_what_is_not_served_is_refused(names: Names, query: dict[str, object], code: dns.rcode.Rcode):
    question = dns.message.make_query(ZONE, **({"rdtype": "SOA"} | query))
    answer = await names.responder._datagrams._answer(question.to_wire())

    assert answer
    assert dns.message.from_wire(answer).rcode() == code


async def test_records_that_cannot_be_read_are_a_failure_not_an_absence(names: Names):
    made = await names.add(Mode.HA, [MASTER, REPLICA])
    async with names.database.writing() as tx:
        await tx.execute(text("ALTER TABLE nodes RENAME TO gone"))

    assert (await names.ask(domain_name(made.id, ZONE))).rcode() == dns.rcode.SERVFAIL


async def test_a_storm_of_questions_is_answered(names: Names):
    made = await names.add(Mode.HA, [MASTER, REPLICA])
    name = domain_name(made.id, ZONE)

    found = await asyncio.gather(*(names.resolve(name, tcp=n % 8 == 0) for n in range(200)))

    assert all(one == {VIP} for one in found)


async def test_one_connection_may_ask_several_times(names: Names):
    made = await names.add(Mode.HA, [MASTER, REPLICA])
    reader, writer = await asyncio.open_connection(str(LOOPBACK), names.responder.port)
    question = dns.message.make_query(domain_name(made.id, ZONE), "A")

    for _ in range(3):
        writer.write(question.to_wire(prepend_length=True))
        answer = dns.message.from_wire(
            await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        )
        assert question.is_response(answer)
    writer.close()


@pytest.mark.parametrize(
    "loop_factory", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"]
)
def test_start_and_stop(loop_factory, caplog: pytest.LogCaptureFixture):
    """On the loop of the service and on the standard one."""

    async def nobody(_: str) -> None:
        return None

    async def run() -> None:
        answers = Answers(ZONE, TTL, LOOPBACK, nobody)
        first = Responder(answers, LOOPBACK, 0)
        await first.start()
        question = dns.message.make_query(ZONE, "SOA")
        for ask in (dns.asyncquery.udp, dns.asyncquery.tcp):
            answer = await ask(question, str(LOOPBACK), port=first.port, timeout=3)
            assert answer.rcode() == dns.rcode.NOERROR

        second = Responder(answers, LOOPBACK, first.port)
        with pytest.raises(OSError, match=r"in use|could not bind"):
            await second.start()
        await second.stop()

        udp_only = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=(str(LOOPBACK), 0)
        )
        third = Responder(answers, LOOPBACK, udp_only[0].get_extra_info("sockname")[1])
        with pytest.raises(OSError, match=r"in use|could not bind"):
            await third.start()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(str(LOOPBACK), third.port)
        udp_only[0].close()

        reader, _writer = await asyncio.open_connection(str(LOOPBACK), first.port)
        await asyncio.sleep(0.05)
        await first.stop()
        assert await reader.read() == b""
        await first.stop()
        again = Responder(answers, LOOPBACK, first.port)
        await again.start()
        await again.stop()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run())
    assert not caplog.records
