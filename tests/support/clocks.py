# SPDX-License-Identifier: MIT
"""Clocks that are wrong, by libfaketime; not together with a sanitizer."""

from pathlib import Path


def _library():
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        raise FileNotFoundError("libfaketime is missing: run tools/install-packages")
    return str(found[0])


def fast(times):
    """The environment of a process whose every clock runs so many times faster."""
    return {"LD_PRELOAD": _library(), "FAKETIME": f"+0 x{times}"}


class WallClock:
    """The time of day of whoever gets `environment`, as an administrator or NTP
    may set it while they run; their monotonic clock is left alone."""

    def __init__(self, directory, offset="+0"):
        self._file = Path(directory) / "clock"
        self.set(offset)
        self.environment = {
            "LD_PRELOAD": _library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset):
        """"+1d", "-2h": so much more or less than the true time."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset}\n")
        new.rename(self._file)
