# SPDX-License-Identifier: BSD-2-Clause
"""Counts and prints what a test file checked; knows nothing of what is tested.

A check that fails is printed with what was seen and what was expected, and the file goes on, so that one run shows
every difference. `Checks.run` turns an exception of a whole part into one failed check of that part.
"""
import contextlib
import math
import sys
import time
import traceback


class Checks:
    def __init__(self, title):
        self.title = title
        self.passed = self.failed = self.skipped = 0
        self.failures = []  # names of the failed ones
        self.started = time.monotonic()

    def _line(self, verdict, name, detail=""):
        print(f"{verdict:4} {name}" + (f": {detail}" if detail else ""), flush=True)

    def ok(self, name, condition, detail=""):
        """Pass when @condition is true. @detail is shown when it is not."""
        if condition:
            self.passed += 1
            self._line("ok", name)
        else:
            self.failed += 1
            self.failures.append(name)
            self._line("FAIL", name, detail)
        return bool(condition)

    def equal(self, name, got, want):
        return self.ok(name, got == want, f"got {_short(got)}, expected {_short(want)}")

    def near(self, name, got, want, relative):
        """Pass when got is want within @relative of it; NaN never passes."""
        fits = got is not None and math.isclose(got, want, rel_tol=relative, abs_tol=0.0)
        return self.ok(f"{name} = {want:.9g} within {relative:g}", fits, f"got {got!r}")

    def skip(self, name, why):
        self.skipped += 1
        self._line("skip", name, why)

    @contextlib.contextmanager
    def run(self, name):
        """One part of a test file: an exception in it is one failure, and the next part still runs."""
        print(f"-- {name}", flush=True)
        try:
            yield
        except Exception as error:  # any exception is a failed check, that is the point
            self.failed += 1
            self.failures.append(name)
            self._line("FAIL", name, f"{type(error).__name__}: {error}")
            where = traceback.extract_tb(error.__traceback__)
            for frame in where[1:]:
                print(f"       {frame.filename}:{frame.lineno} in {frame.name}: {frame.line}")

    def finish(self):
        """Print the closing line and return the exit status. A file that checked nothing has failed."""
        seconds = time.monotonic() - self.started
        print(f"{self.title}: {seconds:.1f} s")
        line = f"{self.passed} passed, {self.failed} failed"
        if self.skipped:
            line += f", {self.skipped} skipped"
        print(line, flush=True)
        return 1 if self.failed or not self.passed else 0

    def exit(self):
        sys.exit(self.finish())


def _short(value, limit=600):
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + f"... ({len(text)} characters)"
