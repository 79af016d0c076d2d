# SPDX-License-Identifier: MIT
"""Two services, two workers each; everything is killed while they talk."""

import copy
from types import SimpleNamespace

import pytest

from storm import soak, weather
from storm.judge import judge
from storm.scene import Options
from storm.side import Row
from storm.weather import Evidence


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("store", "broker", "messages", "kills"),
    [
        ("postgresql", "rabbitmq", 3000, 8),
        ("sqlite", "rabbitmq", 2000, 6),
        ("postgresql", "mqtt", 2000, 6),
        slow("postgresql", "rabbitmq", 20000, 60),
        slow("sqlite", "rabbitmq", 20000, 60),
        slow("postgresql", "mqtt", 20000, 60),
        slow("sqlite", "mqtt", 20000, 60),
    ],
)
def test_storm_violates_no_invariant(store, broker, messages, kills):
    options = Options(store, broker, messages, kills)
    print(f"seed {options.seed}")
    evidence = weather.run(options, print)
    assert len(evidence.ends) > kills
    assert judge(evidence) == []


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.parametrize("store", ["postgresql", "sqlite"])
@pytest.mark.parametrize("broker", ["rabbitmq", "mqtt"])
def test_workers_give_back_what_they_took(store, broker):
    options = Options(store, broker)
    print(f"seed {options.seed}")
    soaked = soak.run(options, 30, print)
    assert len(soaked.counts) > 4
    assert list(soaked.violations()) == []


# ---- the judge ----


def outbox_row(name, status="published", key=None):
    return {
        "message_id": name,
        "status": status,
        "ordering_key": key,
        "retry_count": 0,
        "last_error": None if status == "published" else "for a reason",
    }


def good():
    """Of two services, the left of which has sent three events and parked one;
    the first went out twice, when something was ended."""
    sent = ["a", "b", "c"]
    return Evidence(
        window=1,
        ledger={
            "left": {
                **{name: Row("published", "key", True) for name in sent},
                "bad": Row("invalid", None, False),
            },
            "right": {},
        },
        outbox={
            "left": [
                *[outbox_row(name, key="key") for name in sent],
                outbox_row("bad", "invalid"),
            ],
            "right": [],
        },
        inbox={"left": [], "right": [{"payload": {"id": name}} for name in sent]},
        rejected={"left": [], "right": []},
        wire=["a", "a", "b", "c"],
        relaying=[1, 1],
        calm={"c"},
        ends=[SimpleNamespace(sides=["left"])],
    )


def test_judge_acquits_the_innocent():
    assert judge(good()) == []


TAMPERED = {
    "a row that was never sent": ("L", lambda e: (e.wire.remove("c"), e.outbox["left"].pop(2))),
    "a row that only says so": ("C", lambda e: e.wire.remove("c")),
    "a message that nobody wrote": ("G", lambda e: e.wire.append("d")),
    "an event in the inbox that nobody sent": (
        "G",
        lambda e: e.inbox["right"].append({"payload": {"id": "d"}}),
    ),
    "a message twice in the inbox": (
        "X",
        lambda e: e.inbox["right"].append({"payload": {"id": "a"}}),
    ),
    "a message that was acknowledged and is gone": ("A", lambda e: e.inbox["right"].pop()),
    "a message that was rejected": (
        "A",
        lambda e: e.rejected["right"].append({"reason": "of no form"}),
    ),
    "a key out of order": ("O", lambda e: e.wire.sort(reverse=True)),
    "two relays": ("K", lambda e: e.relaying.append(2)),
    "more duplicates than ends explain": ("D", lambda e: e.wire.append("a")),
    "a duplicate in the calm": ("D", lambda e: e.calm.add("a")),
    "a row that is pending still": (
        "V",
        lambda e: e.outbox["left"][0].update(status="pending"),
    ),
    "an outage that cost an attempt": (
        "V",
        lambda e: e.outbox["left"][0].update(retry_count=1),
    ),
    "something that never came": ("V", lambda e: e.stuck.append("rows to arrive")),
    "poison that was sent": ("P", lambda e: e.wire.append("bad")),
    "poison without a reason": (
        "P",
        lambda e: e.outbox["left"][3].update(last_error=None),
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_judge_convicts(what):
    letter, tamper = TAMPERED[what]
    evidence = copy.deepcopy(good())
    tamper(evidence)
    assert letter in {violated for violated, _ in judge(evidence)}
