# SPDX-License-Identifier: MIT
"""The figures of a storm, for people and as JSON."""

import statistics
from collections import Counter
from datetime import UTC, datetime

from storm import judge


def figures(evidence, options, seconds):
    ledger = [row for rows in evidence.ledger.values() for row in rows.values()]
    wire = evidence.wire
    return {
        "seed": options.seed,
        "store": options.store,
        "broker": options.broker,
        "window": options.window,
        "seconds": round(seconds, 1),
        "kills": evidence.kills,
        "ends": dict(Counter(end.what for end in evidence.ends)),
        "ends_with_rows_under_way": _under_way(evidence),
        "messages": sum(row.status == "published" for row in ledger),
        "poison_rows": sum(row.status != "published" for row in ledger),
        "lost": len(list(judge.lost(evidence))) + len(list(judge.not_received(evidence))),
        "ghosts": len(judge.ghosts(evidence)),
        "inbox_duplicates": len(list(judge.inbox_duplicates(evidence))),
        "wire_duplicates": len(wire) - len(set(wire)),
        "wire_duplicates_explained": judge.most_duplicates(evidence),
        "order_violations": len(list(judge.order_violations(evidence))),
        "recovery_seconds": recoveries(evidence),
        "violations": [{"invariant": i, "what": what} for i, what in judge.judge(evidence)],
    }


def _under_way(evidence):
    """How many of the ends came when rows were committed and not yet settled."""
    rows = [
        (_seconds(row["created_at"]), _seconds(row["published_at"]))
        for rows in evidence.outbox.values()
        for row in rows
        if row["published_at"]
    ]
    struck = [end.struck for end in evidence.ends]
    return sum(any(a <= moment < b for a, b in rows) for moment in struck)


# ---- recovery ----


def recoveries(evidence):
    """For each kind of end: how long until rows that were written when what was
    ended had returned went out of, and came in to, every side that felt it."""
    flows = _flows(evidence)
    taken = {}
    for end in evidence.ends:
        again = [_first(flows[side][way], end.returned) for side in end.sides for way in (0, 1)]
        if end.measured and None not in again:
            taken.setdefault(end.what, []).append(max(again) - end.returned)
    return {
        what: {
            "number": len(seconds),
            "median": round(statistics.median(seconds), 3),
            "longest": round(max(seconds), 3),
        }
        for what, seconds in sorted(taken.items())
    }


def _flows(evidence):
    """side -> when its rows were written and published, and when those that it
    has received were written and received: pairs of seconds, in order."""
    written = {
        row["message_id"]: _seconds(row["created_at"])
        for rows in evidence.outbox.values()
        for row in rows
    }
    return {
        side: (
            _pairs(written, evidence.outbox[side], "published_at"),
            _pairs(written, evidence.inbox[side], "received_at"),
        )
        for side in evidence.ledger
    }


def _pairs(written, rows, column):
    return sorted(
        (_seconds(row[column]), written[row["message_id"]])
        for row in rows
        if row[column] and row["message_id"] in written
    )


def _first(pairs, since):
    """When the first that was written since then got there; None: none was."""
    return next((there for there, written in pairs if written >= since), None)


def _seconds(text):
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


# ---- for people ----


def text(result):
    kinds = ", ".join(f"{number} {what}" for what, number in result["ends"].items())
    lines = [
        f"{result['store']} -> {result['broker']} -> {result['store']},"
        f" seed {result['seed']}, {result['seconds']:.0f} s",
        f"kill -9              {result['kills']}",
        f"ended                {kinds}",
        f"  with rows under way {result['ends_with_rows_under_way']}",
        f"messages             {result['messages']}, and {result['poison_rows']} poison rows",
        f"lost                 {result['lost']}",
        f"ghosts               {result['ghosts']}",
        f"inbox duplicates     {result['inbox_duplicates']}",
        f"wire duplicates      {result['wire_duplicates']}"
        f" (at most {result['wire_duplicates_explained']})",
        f"out of order         {result['order_violations']}",
        "flow again after     median   longest",
    ]
    lines += [
        f"  {what:28} {seconds['median']:.2f} s  {seconds['longest']:.2f} s"
        for what, seconds in result["recovery_seconds"].items()
    ]
    lines += [f"VIOLATED {v['invariant']}: {v['what']}" for v in result["violations"]]
    return "\n".join(lines)
