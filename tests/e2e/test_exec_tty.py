#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`wherry exec -it` on a real terminal, against a real agent: what is typed and what is seen."""
import os
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from agent_client import TOOLBOX, Agent  # noqa: E402
from terminal import CTRL_C, CTRL_D, Terminal, window_of  # noqa: E402
from worker_client import GUESTS, PATIENCE_S, Tap, build_guests, wait_until  # noqa: E402

tap = Tap()


def shell(agent, **options):
    t = Terminal(agent, "exec", "-it", "main", "--", "sh", **options)
    t.expect(b"$ ")
    return t


def guest_terminals(agent):
    """The slaves that the workers have: paths."""
    found = set()
    for pid in agent.workers():
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                path = os.readlink(f"/proc/{pid}/fd/{fd}")
            except OSError:
                continue
            if path.startswith("/dev/pts/"):
                found.add(path)
    return found


def agent_terminals(agent):
    return sum(os.readlink(f"/proc/{agent.process.pid}/fd/{fd}").startswith(("/dev/ptmx", "/dev/pts"))
               for fd in os.listdir(f"/proc/{agent.process.pid}/fd"))


def test_shell(agent):
    with shell(agent, size=(97, 31)) as t:
        tap.ok("every key goes to the pod", t.is_raw())
        t.type(b"echo a$((1+1))\r")
        tap.equal("what is typed is echoed, and done", t.expect(b"$ "),
                  b"echo a$((1+1))\r\na2\r\n$ ")
        t.type(b"echo $TERM $COLUMNS $LINES\r")
        t.expect(b"\r\n")
        tap.equal("the variables of a terminal", t.expect(b"\r\n"), b"xterm 97 31\r\n")
        t.expect(b"$ ")
        t.type(b"echo ab\x7f\x7fcd\r")
        t.expect(b"\r\n")
        tap.equal("lines are edited", t.expect(b"$ "), b"cd\r\n$ ")
        for bad in (b"nosuch", b"fi", b"echo ${", b"cd /no/such", b"exit 1x"):
            t.type(bad + b"\r")
            if bad == b"echo ${":
                t.expect(b"> ")
                t.type(b"}\r")
            t.expect(b"$ ")
        t.type(b"echo still $?\r")
        tap.ok("the shell goes on after errors", b"still" in t.expect(b"$ "))
        t.type(b"cat\rto cat\r")
        t.expect(b"to cat\r\nto cat\r\n")
        t.type(CTRL_D)
        t.expect(b"$ ")
        t.type(b"echo and on\r")
        tap.ok("Ctrl-D to a tool ends that alone", b"\nand on" in t.expect(b"$ "))
        (path,) = guest_terminals(agent)
        with open(path, "rb", opener=lambda p, f: os.open(p, f | os.O_NOCTTY)) as tty:
            tap.equal("the guest's terminal has the size", window_of(tty), (97, 31))
            t.resize(120, 50)
            wait_until(lambda: window_of(tty) == (120, 50), "the new size arrives")
            tap.ok("and gets the new one", True)
        t.type(CTRL_D)
        tap.equal("Ctrl-D ends the shell", t.status(), 0)
        tap.ok("the terminal is as it was", t.is_restored())
    with shell(agent) as t:
        t.type(b"exit 7\r")
        tap.equal("the exit status comes through", t.status(), 7)
    with Terminal(agent, "exec", "-ti", "main", "--", "sh", "-c",
                  "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; exit 3") as t:
        text = t.expect(b"line 1999\r\n")
        tap.equal("all output comes before the end", (text.count(b"\r\n"), t.status()), (2000, 3))
    with Terminal(agent, "exec", "-it", "main", "--", "cat") as t:
        wait_until(t.is_raw, "it takes every key")
        t.type(b"to cat\r")
        t.expect(b"to cat\r\nto cat\r\n")
        t.type(CTRL_D)
        tap.equal("Ctrl-D is the end of input", t.status(), 0)
    with shell(agent) as t:
        t.type(b"while read x; do echo got $x; done\r")
        t.expect(b"\r\n")
        t.type(b"one\r")
        tap.equal("whole lines are seen at once", t.expect(b"got one\r\n"), b"one\r\ngot one\r\n")


def test_interrupt(agent):
    for name, script in (("computes", "while true; do :; done"), ("sleeps", "sleep 1000"),
                         ("writes", "while true; do echo yyyyyyyyyyyyyyyyyyyyyyyy; done")):
        with Terminal(agent, "exec", "-it", "main", "--", "sh", "-c", "echo begun; " + script) as t:
            t.expect(b"begun\r\n")
            t.type(CTRL_C)
            tap.equal(f"Ctrl-C ends a guest that {name}, with 130", t.status(), 130)
            tap.ok("the terminal is as it was", t.is_restored())
    with shell(agent) as t:
        t.type(CTRL_C)
        tap.equal("and one that waits for a line", t.status(), 130)


def test_loop_guest(agent):
    with Terminal(agent, "exec", "-it", "main", "--program", os.path.join(GUESTS, "loop.wasm")) as t:
        wait_until(lambda: guest_terminals(agent) and t.is_raw(), "it runs")
        t.type(CTRL_C)
        tap.equal("Ctrl-C ends any program", t.status(), 130)


def test_without_terminal(agent):
    r = subprocess.run([agent.wherry_path, "exec", "-it", "main", "--", "cat"], env=agent.env,
                       input=b"text", capture_output=True, timeout=PATIENCE_S, check=False)
    tap.ok("without a terminal here it says so, and goes on without one",
           r.returncode == 0 and r.stdout == b"text" and b"Unable to use a TTY" in r.stderr, r)
    r = subprocess.run([agent.wherry_path, "exec", "-t", "main", "--", "echo", "hi"], env=agent.env,
                       capture_output=True, timeout=PATIENCE_S, check=False)
    tap.equal("-t without -i is none", (r.returncode, r.stdout, r.stderr), (0, b"hi\n", b""))


def test_signals(agent):
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        with shell(agent) as t:
            t.process.send_signal(number)
            tap.equal(f"{number.name} ends it", t.status(), -number)
            tap.ok("the terminal is as it was", t.is_restored())
    wait_until(lambda: not guest_terminals(agent) and not agent_terminals(agent), "nothing is left")
    with Terminal(agent, "exec", "-it", "nobody", "--", "sh") as t:
        tap.equal("a pod that is not there", t.status(), 125)
        tap.ok("the terminal is as it was", t.is_restored())


def test_agent_dies(agent):
    with shell(agent) as t:
        agent.kill9()
        tap.equal("the agent dies", t.status(), 125)
        tap.ok("it is told, and the terminal is as it was",
               t.is_restored() and b"the agent has gone" in t.expect(b"\n"), t.seen)


def main():
    build_guests("loop")
    with Agent() as agent:
        agent.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "main"}, "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "main", "image": TOOLBOX, "command": ["sleep", "100000"]}]}})
        agent.wait_pod("main", "Running")
        for test in (test_shell, test_interrupt, test_loop_guest, test_without_terminal,
                     test_signals, test_agent_dies):
            tap.run(test, agent)
    tap.finish()


main()
