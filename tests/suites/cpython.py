"""Runs modules of CPython's regression tests in this process, and says what became of each test.

Usage: cpython.py WORD...      a module (test_os), a test (test_os.FileTests.test_access), or a test to leave out (-test_os.…)

Every line that is meant for the harness starts with `@@ ` and is a JSON list:
    ["module", NAME]            a module starts
    ["start", TEST]             a test starts
    ["pass"|"skip"|"fail"|"error"|"expected-failure"|"unexpected-success", TEST, TEXT]
    ["module-skip"|"module-error", NAME, TEXT]
    ["done"]
"""

import faulthandler
import gc
import importlib
import json
import os
import sys
import tempfile
import traceback
import unittest
from test import support

# Modules whose own `test_main` says which of their classes are tests.
CHOOSE = {"test_decimal"}

# Modules that ask for the network as a resource, and stay on this machine all the same.
LOCAL = {"test_socketserver"}

# A copy that tests cannot close or replace.
OUTPUT = os.dup(1)


def name_of(test):
    """`module.Class.test`; for what a class or module does before its tests, `module.Class.setUpClass`."""
    name = test.id()
    if name.endswith(")"):
        step, _, owner = name[:-1].partition(" (")
        name = f"{owner}.{step}"
    return name.removeprefix("test.")


def say(*words):
    os.write(OUTPUT, b"\n@@ " + json.dumps(words).encode() + b"\n")


class Result(unittest.TestResult):
    """Says each result at once, so that a machine that falls tells which test it was."""

    def __init__(self):
        super().__init__()
        self.said = False

    def startTest(self, test):
        super().startTest(test)
        self.said = False
        self.worst = None
        say("start", name_of(test))

    def stopTest(self, test):
        super().stopTest(test)
        if self.worst:
            self.tell(*self.worst)
        elif not self.said:
            self.tell("pass", test)

    def tell(self, verdict, test, text=""):
        self.said = True
        say(verdict, name_of(test), text[-1500:])

    def describe(self, error):
        return "".join(traceback.format_exception(*error))

    def addError(self, test, error):
        self.tell("error", test, self.describe(error))

    def addFailure(self, test, error):
        self.tell("fail", test, self.describe(error))

    def addSkip(self, test, reason):
        self.tell("skip", test, reason)

    def addExpectedFailure(self, test, error):
        self.tell("expected-failure", test)

    def addUnexpectedSuccess(self, test):
        self.tell("unexpected-success", test)

    def addSubTest(self, test, subtest, error):
        if error is None:
            return
        verdict = "fail" if issubclass(error[0], test.failureException) else "error"
        text = f"{subtest.id()}\n{self.describe(error)}"
        if self.worst is None or (verdict, self.worst[0]) == ("error", "fail"):
            self.worst = (verdict, test, text)


def without(suite, left_out):
    kept = unittest.TestSuite()
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            kept.addTest(without(test, left_out))
        elif name_of(test) not in left_out:
            kept.addTest(test)
    return kept


def run(name, left_out):
    say("module", name)
    support.use_resources = ("network",) if name.partition(".")[0] in LOCAL else ()
    try:
        module = importlib.import_module(f"test.{name.partition('.')[0]}")
        if name in CHOOSE:
            support._run_suite = lambda suite: without(suite, left_out).run(Result())
            return module.test_main()
        if "." in name:
            suite = unittest.defaultTestLoader.loadTestsFromName(f"test.{name}")
        else:
            suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    except unittest.SkipTest as error:
        return say("module-skip", name, str(error))
    except BaseException:
        return say("module-error", name, traceback.format_exc()[-1500:])
    without(suite, left_out).run(Result())
    del suite
    gc.collect()


def main():
    words = sys.argv[1:]
    left_out = {word[1:] for word in words if word.startswith("-")}

    # What regrtest sets: limits for a slow machine; and `run` allows no resources that are dear or lie outside.
    support.verbose = False
    support.LOOPBACK_TIMEOUT = 30.0
    support.INTERNET_TIMEOUT = 60.0
    support.SHORT_TIMEOUT = 120.0
    support.LONG_TIMEOUT = 600.0
    faulthandler.enable()
    os.chdir(tempfile.mkdtemp(prefix="suite-"))
    for word in words:
        if not word.startswith("-"):
            run(word, left_out)
    say("done")
    # Whatever threads a test left running.
    os._exit(0)


if __name__ == "__main__":
    main()
