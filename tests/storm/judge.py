# SPDX-License-Identifier: MIT
"""Judges what a storm has left, one function an invariant.

    L  every committed row that can be routed has reached the broker
    C  a row says published only if the broker has the message
    G  nothing is on the broker that was not committed
    X  each message is in the inbox once
    A  acknowledged only once it is committed: what crossed has been received
    O  the first deliveries of each ordering key are in order
    K  one relay at a time works for a config key
    D  duplicates on the wire are at most a window for each end
    V  the backlog is worked off, and no outage has cost an attempt
    P  what can never be sent parks with its reason
"""

import json
from collections import Counter

SHOWN = 5  # names in a sentence


def judge(evidence):
    """What was violated: a letter and a sentence each."""
    judges = [_wire, _published, _inbox, _order, _relays, _duplicates, _backlog, _parked]
    return [violation for judge_one in judges for violation in judge_one(evidence)]


def some(names):
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(str, names[:SHOWN])) + more


def routable(evidence):
    """side -> message id -> Row, of what must go out."""
    return {
        side: {name: row for name, row in ledger.items() if row.status == "published"}
        for side, ledger in evidence.ledger.items()
    }


def lost(evidence):
    """Committed and never seen; the side of each."""
    seen = set(evidence.wire)
    for side, rows in routable(evidence).items():
        yield from ((side, name) for name in rows if name not in seen)


def not_received(evidence):
    """Crossed the broker and is in no inbox."""
    seen = set(evidence.wire)
    for side, rows in routable(evidence).items():
        [other] = set(evidence.ledger) - {side}
        there = {_told(row) for row in evidence.inbox[other]}
        for name, row in rows.items():
            if row.received and name in seen and name not in there:
                yield name


def ghosts(evidence):
    committed = set().union(*routable(evidence).values())
    arrived = {_told(row) for rows in evidence.inbox.values() for row in rows}
    return (set(evidence.wire) | arrived) - committed


def inbox_duplicates(evidence):
    """Of what the payload says, whatever its row is called."""
    for rows in evidence.inbox.values():
        times = Counter(map(_told, rows))
        yield from (name for name, number in times.items() if number > 1)


def wire_duplicates(evidence):
    return len(evidence.wire) - len(set(evidence.wire))


def most_duplicates(evidence):
    return evidence.window * sum(len(end.sides) for end in evidence.ends)


def order_violations(evidence):
    """Which row of a key was first seen before which earlier one."""
    first = {name: place for place, name in enumerate(dict.fromkeys(evidence.wire))}
    for ledger in evidence.ledger.values():
        last = {}  # key -> the row of it that was seen last
        for name, row in ledger.items():
            if row.key is None or name not in first:
                continue
            before = last.get(row.key)
            if before is not None and first[before] > first[name]:
                yield f"{name} before {before}"
            else:
                last[row.key] = name


def _told(row):
    payload = row["payload"]
    return (json.loads(payload) if isinstance(payload, str) else payload)["id"]


# ---- one by one ----


def _wire(evidence):
    committed = set().union(*evidence.ledger.values())
    names = ghosts(evidence)
    if never := sorted(names - committed):
        yield "G", f"seen though never committed: {some(never)}"
    if poison := sorted(names & committed):
        yield "P", f"sent though it may not be: {some(poison)}"


def _published(evidence):
    status = {
        row["message_id"]: row["status"]
        for rows in evidence.outbox.values()
        for row in rows
    }
    missing = [name for _, name in lost(evidence)]
    untrue = [name for name in missing if status.get(name) == "published"]
    others = [name for name in missing if status.get(name) != "published"]
    if untrue:
        yield "C", f"published, and the broker has never had it: {some(untrue)}"
    if others:
        yield "L", f"committed, and never sent: {some(others)}"


def _inbox(evidence):
    if names := list(not_received(evidence)):
        yield "A", f"gone from the broker, and in no inbox: {some(names)}"
    if names := list(inbox_duplicates(evidence)):
        yield "X", f"more than once in an inbox: {some(names)}"
    for side, rows in evidence.rejected.items():
        if rows:
            reasons = {row["reason"] for row in rows}
            yield "A", f"{side} has rejected {len(rows)} messages: {some(reasons)}"


def _order(evidence):
    if wrong := list(order_violations(evidence)):
        yield "O", f"sent for the first time out of order: {some(wrong)}"


def _relays(evidence):
    if any(number > 1 for number in evidence.relaying):
        yield "K", f"workers that relay at once, by side: {evidence.relaying}"


def _duplicates(evidence):
    times = Counter(evidence.wire)
    calm = [name for name in evidence.calm if times[name] > 1]
    if calm:
        yield "D", f"sent more than once when nothing had been ended: {some(calm)}"
    number, most = wire_duplicates(evidence), most_duplicates(evidence)
    if number > most:
        yield "D", f"{number} duplicates on the wire, and {most} are explained"


def _backlog(evidence):
    for why in evidence.stuck:
        yield "V", why
    for side, rows in evidence.outbox.items():
        ledger = evidence.ledger[side]
        due = [r for r in rows if ledger[r["message_id"]].status == "published"]
        left = [r["message_id"] for r in due if r["status"] != "published"]
        tried = [r["message_id"] for r in due if r["retry_count"] and r["ordering_key"] != "hermit"]
        if left:
            yield "V", f"not published in the end: {some(left)}"
        if tried:
            yield "V", f"outages have cost attempts: {some(tried)}"


def _parked(evidence):
    for side, rows in evidence.outbox.items():
        ledger = evidence.ledger[side]
        for row in rows:
            expected = ledger[row["message_id"]].status
            if expected == "published" or row["status"] == "pending":
                continue
            if row["status"] != expected or not row["last_error"]:
                reason = f"{row['status']}, {row['last_error']}"
                yield "P", f"{row['message_id']} is no {expected}: {reason}"
