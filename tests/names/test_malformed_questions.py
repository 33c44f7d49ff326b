"""Whatever arrives, the responder says something sensible or nothing, and goes on."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Coroutine

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest
from answered_names import LOOPBACK, MASTER, REPLICA, VIP, ZONE, Names
from hypothesis import given, settings
from hypothesis import strategies as some

from cachestead.domain.instances import Mode
from cachestead.domain.names import NamedInstance, domain_name
from cachestead.names.answers import Answers

ID = "7f3a2b10-0c4d-4e5f-8a9b-0123456789ab"
GOOD = [
    dns.message.make_query(domain_name(ID, ZONE), "A").to_wire(),
    dns.message.make_query(domain_name(ID, ZONE), "A", use_edns=0, want_dnssec=True, pad=128).to_wire(),
    dns.message.make_query(ZONE, "ANY", use_edns=0, payload=1).to_wire(),
    dns.message.make_query("example.com", "A").to_wire(),
]


async def found(_: str) -> NamedInstance:
    return NamedInstance(Mode.SINGLE, VIP, ())


ANSWERS = Answers(ZONE, 5, ipaddress.ip_address("127.0.0.1"), found)


def result(answering: Coroutine[None, None, bytes | None]) -> bytes | None:
    """What comes of it; nothing in it waits, so it needs no loop."""
    with pytest.raises(StopIteration) as end:
        answering.send(None)
    return end.value.value


@some.composite
def damaged(draw) -> bytes:
    """A good question of which some bytes were changed, cut off or added."""
    packet = bytearray(draw(some.sampled_from(GOOD)))
    for _ in range(draw(some.integers(0, 6))):
        packet[draw(some.integers(0, len(packet) - 1))] = draw(some.integers(0, 255))
    return bytes(packet[: draw(some.integers(0, len(packet)))] if draw(some.booleans()) else packet) + draw(
        some.binary(max_size=20)
    )


@settings(max_examples=500, deadline=None)
@given(some.one_of(some.binary(max_size=600), damaged(), damaged().map(lambda one: one[:2] + b"\0\0" + one[4:])))
def test_any_packet_is_answered_or_left(packet: bytes):
    for answer in (ANSWERS.answer_datagram, ANSWERS.answer_stream):
        answered = result(answer(packet))
        is_question = len(packet) >= 12 and not packet[2] & 0x80

        assert (answered is not None) == is_question
        if answered:
            assert answered[:2] == packet[:2]
            assert dns.message.from_wire(answered).flags & dns.flags.QR


def test_nonsense_is_told_so():
    answered = result(ANSWERS.answer_datagram(GOOD[0][:-3]))

    assert answered
    assert dns.message.from_wire(answered).rcode() == dns.rcode.FORMERR


@pytest.mark.parametrize("opcode", [dns.opcode.IQUERY, dns.opcode.STATUS, dns.opcode.NOTIFY, dns.opcode.UPDATE])
def test_other_operations_are_not_implemented(opcode: dns.opcode.Opcode):
    packet = bytearray(GOOD[0])
    packet[2] |= opcode << 3
    answered = result(ANSWERS.answer_datagram(bytes(packet)))

    assert answered
    assert dns.message.from_wire(answered).rcode() == dns.rcode.NOTIMP


@pytest.mark.parametrize("questions", [0, 2])
def test_exactly_one_question_is_answered(questions: int):
    header, question = GOOD[0][:12], GOOD[0][12:]
    packet = header[:4] + questions.to_bytes(2, "big") + header[6:] + question * questions
    answered = result(ANSWERS.answer_datagram(packet))

    assert answered
    assert dns.message.from_wire(answered).rcode() == dns.rcode.FORMERR


async def test_answers_are_not_answered(names: Names):
    question = dns.message.make_query(ZONE, "SOA")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        other.bind((str(LOOPBACK), 0))
        other.sendto(dns.message.make_response(question).to_wire(), (str(LOOPBACK), names.responder.port))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await asyncio.get_running_loop().sock_recv(other, 100)


async def test_bad_clients_do_not_hold_it_up(names: Names):
    made = await names.add(Mode.HA, [MASTER, REPLICA])
    address = (str(LOOPBACK), names.responder.port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for packet in (b"", b"\0", b"\xff" * 5000, GOOD[0][:20], bytes(12)):
            client.sendto(packet, address)
    unfinished = [await asyncio.open_connection(*address) for _ in range(20)]
    for number, (_, writer) in enumerate(unfinished):
        writer.write([b"", b"\0", b"\0\xff", b"\0\x05abcde", b"\0\0"][number % 5])

    assert await names.resolve(domain_name(made.id, ZONE), tcp=True) == {VIP}
    assert await names.resolve(domain_name(made.id, ZONE)) == {VIP}
    for _, writer in unfinished:
        writer.close()
