"""What the scripts beside this file share: a local cluster of synod, and how figures are printed."""

import collections
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent


def target():
    """Where cargo builds: CARGO_TARGET_DIR, or `target` in the repository."""
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def synod():
    """The release binary; built first, unless SYNOD names another."""
    if "SYNOD" in os.environ:
        return os.environ["SYNOD"]
    build = ["cargo", "build", "--release", "--quiet", "-p", "synod"]
    subprocess.run(build, cwd=ROOT, check=True)
    return str(target() / "release" / "synod")


class Cluster:
    """Three nodes of `synod up` in `folder`, on free ports. `raft` are lines of the nodes' `[raft]`."""

    def __init__(self, program, folder, raft=None, restart=False, engine="raft"):
        self.program, self.folder, self.engine = program, pathlib.Path(folder), engine
        self.restart, self.process = restart, None
        shutil.rmtree(self.folder, ignore_errors=True)
        self.start()
        if raft:
            self.stop()
            for node in sorted(self.folder.glob("node?.toml")):
                text = node.read_text()
                cut = text.index("[[node]]")
                lines = "".join(f"{key} = {value}\n" for key, value in raft.items())
                node.write_text(f"{text[:cut]}[raft]\n{lines}\n{text[cut:]}")
            self.start()

    def start(self):
        up = [self.program, "up", "--dir", str(self.folder), "--port", "0", "--json"]
        up += ["--engine", self.engine] if self.engine != "raft" else []
        up += ["--restart"] if self.restart else []
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(up, stdout=pipe, text=True, start_new_session=True)
        for line in lines_within(self.process.stdout, 60):
            if json.loads(line)["event"] == "ready":
                return
        raise SystemExit(f"synod up did not get ready; see the logs in {self.folder}")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def bench(self, what, *flags, seconds=600):
        """`synod bench WHAT FLAGS --json` on this cluster, as what it told."""
        where = ["--cluster", str(self.folder / "cluster.toml"), "--json"]
        command = [self.program, "bench", what, *map(str, flags), *where]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
        if ran.returncode:
            raise SystemExit(f"{' '.join(command)} failed: {ran.stdout}{ran.stderr}")
        return json.loads(ran.stdout.splitlines()[0])


    def metrics(self):
        """The plain counters of all nodes, added up."""
        addresses = re.findall(r'^http = "(.*)"', (self.folder / "cluster.toml").read_text(), re.M)
        sums = collections.Counter()
        for address in addresses:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
                for line in answer.read().decode().splitlines():
                    if re.match(r"synod_\w+ [0-9.]+$", line):
                        name, value = line.split()
                        sums[name] += float(value)
        return sums


def lines_within(pipe, seconds):
    """The lines of an unbuffered read of `pipe`, for so many seconds."""
    end, rest = time.monotonic() + seconds, ""
    while (left := end - time.monotonic()) > 0:
        if select.select([pipe], [], [], left)[0]:
            got = os.read(pipe.fileno(), 65536).decode()
            if not got:
                return
            *whole, rest = (rest + got).split("\n")
            yield from whole


def machine(program, folder):
    """What this machine can do at best, measured now."""
    command = [program, "bench", "machine", "--dir", str(folder), "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return json.loads(ran.stdout)


def median(values):
    values = sorted(values)
    return values[len(values) // 2] if values else float("nan")


def skip(why):
    """Ends the script as skipped, which is no failure."""
    print(f"skipped: {why}")
    sys.exit(0)


def where_and_when():
    """A line that says on what the figures rest."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    load = os.getloadavg()[0]
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return f"{now}, commit {commit}, {os.cpu_count()} cores, load average {load:.1f} at the start"
