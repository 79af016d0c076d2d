# SPDX-License-Identifier: MIT
"""Planted bugs and crash points: all named, and none in what is released."""

import re
import subprocess

import pytest

from support.postbus import PROGRAM, ROOT, Postbus

USE = re.compile(r'testing_(bug|crash_point)\(\s*"([^"]+)"\s*\)')
VARIABLES = {"bug": "POSTBUS_BUG", "crash_point": "POSTBUS_CRASH"}


def used(kind):
    """The names that the code asks about, and how often each."""
    sources = (ROOT / "src").rglob("*.c")
    uses = [use for path in sources for use in USE.findall(path.read_text())]
    return [name for which, name in uses if which == kind]


def listed(variable):
    output = run(**{variable: "list"}).stdout
    return [line.split()[0] for line in output.splitlines()]


def run(**environment):
    return subprocess.run(
        [PROGRAM, "--version"], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.testing
@pytest.mark.parametrize("kind", VARIABLES)
def test_every_name_in_the_code_is_in_the_table_once_and_the_other_way_round(kind):
    names = listed(VARIABLES[kind])
    assert len(names) == len(set(names)) and names == sorted(names)
    assert set(names) == set(used(kind))


@pytest.mark.testing
@pytest.mark.parametrize("variable", VARIABLES.values())
def test_an_unknown_name_ends_the_program_at_its_start(variable):
    result = run(**{variable: "no-such-name"})
    assert result.returncode == 2 and result.stdout == ""
    assert f"{variable}=no-such-name is not known" in result.stderr
    assert run(**{variable: listed(variable)[0]}).stdout.startswith("postbus ")


@pytest.mark.release
def test_the_release_has_none_of_it():
    assert run(POSTBUS_BUG="list").stdout.startswith("postbus ")
    program = PROGRAM.read_bytes()
    names = [*VARIABLES.values(), *used("bug")]
    assert names and not [name for name in names if name.encode() in program]
