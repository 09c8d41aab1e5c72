#!/usr/bin/env python3
"""Chancery beside Redis and PostgreSQL: the same machine, the same disk, one sitting, one table.

Each system makes what it acknowledges durable first: Redis with `appendfsync always`, PostgreSQL with
`synchronous_commit` on, Chancery as it is. All listen on loopback, on free ports, with their data in a temporary
directory, and end with the script.

What is compared is what one post costs, not what the systems are: Redis sets a key of 300 bytes, PostgreSQL appends a row
to a hash-chained table (a chain for each of its clients, so that their commits can share a sync), Chancery verifies a
signature, executes a transfer and seals a block.
"""

import argparse
import csv
import io
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PACKAGES = ["redis-server", "redis-tools", "postgresql", "postgresql-contrib"]
# As in `load-tests single` and `json`: transactions in flight, and the connections that share them.
IN_FLIGHT, STREAMS, CONNECTIONS = 256, 8, 64
CLIENTS = 16
BODY_BYTES = 300

CHAIN = """
create table head (client int primary key, height bigint not null, hash bytea not null);
insert into head select client, 0, '' from generate_series(0, 63) client;
create table chain (client int, height bigint, previous bytea not null, hash bytea not null, body bytea not null,
    primary key (client, height));
create function append(who int, body bytea) returns bigint language plpgsql as $$
declare last head; next bytea;
begin
    select * into last from head where client = who for update;
    next := sha256(last.hash || body);
    insert into chain values (who, last.height + 1, last.hash, next, body);
    update head set height = last.height + 1, hash = next where client = who;
    return last.height + 1;
end $$;
"""


class Missing(Exception):
    """A tool is not there, or something did not start."""


def program(name):
    """Where a program is: in the path, or where Debian has PostgreSQL's."""
    found = shutil.which(name)
    if found:
        return found
    versions = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda at: float(at.parts[-3]))
    if versions:
        return str(versions[-1])
    raise Missing(f"{name} is not here: apt-get install {' '.join(PACKAGES)}, or --install as root")


def run(words, **options):
    """Runs a command to its end; gives what it printed."""
    done = subprocess.run([str(word) for word in words], text=True, capture_output=True, **options)
    if done.returncode != 0:
        raise Missing(f"{pathlib.Path(words[0]).name} failed: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Redis:
    def __init__(self, directory):
        server, self.benchmark, self.port = program("redis-server"), program("redis-benchmark"), free_port()
        self.version = re.search(r"v=(\S+)", run([server, "--version"])).group(1)
        log = directory / "log"
        options = ["--port", self.port, "--bind", "127.0.0.1", "--dir", directory, "--save", "", "--appendonly", "yes",
                   "--appendfsync", "always", "--logfile", log, "--daemonize", "no"]
        self.process = subprocess.Popen([server, *map(str, options)], stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    raise Missing(f"redis-server did not start: {log.read_text()[-600:]}") from None
                time.sleep(0.05)
        self.end()
        raise Missing("redis-server does not listen after ten seconds")

    def measure(self, connections, pipeline, seconds):
        """Posts a second, and the median in milliseconds."""
        def once(count):
            words = [self.benchmark, "-h", "127.0.0.1", "-p", self.port, "-t", "set", "-d", BODY_BYTES, "-r", 1_000_000,
                     "-c", connections, "-P", pipeline, "-n", count, "--csv"]
            row = list(csv.DictReader(io.StringIO(run(words))))[0]
            return float(row["rps"]), float(row["p50_latency_ms"])
        rate, _ = once(2_000)
        return once(max(2_000, int(rate * seconds)))

    def end(self):
        self.process.terminate()
        self.process.wait()


class PostgreSql:
    def __init__(self, directory):
        self.bench, self.control, self.port = program("pgbench"), program("pg_ctl"), free_port()
        initdb, psql = program("initdb"), program("psql")
        self.version = re.search(r"(\d[\d.]*)", run([self.control, "--version"])).group(1)
        self.data, self.as_owner = directory / "data", []
        if os.geteuid() == 0:
            try:
                owner = pwd.getpwnam("postgres")
            except KeyError:
                raise Missing("PostgreSQL does not run as root, and there is no user postgres") from None
            os.chown(directory, owner.pw_uid, owner.pw_gid)
            self.as_owner = [program("runuser"), "-u", "postgres", "--"]
        self.owned([initdb, "-D", self.data, "-U", "bench", "--auth=trust", "--encoding=UTF8", "--no-locale"])
        options = (f"-p {self.port} -k {directory} -c listen_addresses=127.0.0.1 -c synchronous_commit=on -c fsync=on "
                   f"-c max_connections=100")
        self.owned([self.control, "-D", self.data, "-w", "-l", directory / "log", "-o", options, "start"])
        self.at = ["-h", "127.0.0.1", "-p", self.port, "-U", "bench"]
        try:
            run([psql, *self.at, "-d", "postgres", "-q", "-v", "ON_ERROR_STOP=1", "-c", CHAIN])
            self.script = directory / "append.sql"
            body = "ab" * BODY_BYTES
            self.script.write_text(f"select append(:client_id, '\\x{body}');\n")
        except BaseException:
            self.end()
            raise

    def owned(self, words):
        # Its output is not taken by a pipe: the server would keep that open.
        with tempfile.TemporaryFile("w+") as said:
            words = [str(word) for word in [*self.as_owner, *words]]
            code = subprocess.run(words, stdout=said, stderr=said, stdin=subprocess.DEVNULL, cwd="/").returncode
            said.seek(0)
            if code != 0:
                raise Missing(f"{' '.join(words[-3:])} failed: {said.read().strip()[-600:]}")

    def measure(self, clients, seconds):
        """Rows a second, and the mean in milliseconds."""
        words = [self.bench, *self.at, "-n", "-M", "prepared", "-c", clients, "-j", min(clients, 2), "-T", seconds,
                 "-f", self.script, "postgres"]
        said = run(words)
        rate = float(re.search(r"tps = ([\d.]+)", said).group(1))
        return rate, float(re.search(r"latency average = ([\d.]+)", said).group(1))

    def end(self):
        self.owned([self.control, "-D", self.data, "-m", "fast", "-w", "stop"])


def chancery(options, scenario, directory):
    """Transactions a second and the median in milliseconds, by `load-tests`; also of plain requests, for `single`."""
    report = directory / f"{scenario}.json"
    words = [options.load_tests, scenario, "--seconds", options.seconds, "--limit-seconds", 1, "--dir", directory,
             "--json", report]
    run([*words, *(["--chancery", options.chancery] if options.chancery else [])])
    said = json.loads(report.read_text())
    plain = [(part["committed_per_s"], part["p50_ms"]) for part in said["parts"] if part["part"] == "plain requests"]
    return (said["committed_per_s"], said["p50_ms"]), plain, said


def measure(options, directory):
    rows, notes = [], []
    def row(system, what, figures, time_is):
        rows.append((system, what, f"{figures[0]:,.0f}", f"{figures[1]:.2f} {time_is}"))
    for name in ("redis", "postgresql"):
        (directory / name).mkdir()
    (directory / "postgresql").chmod(0o711)
    directory.chmod(0o711)

    def progress(text):
        print(f"compare: {text}", file=sys.stderr, flush=True)

    progress("Redis")
    redis = Redis(directory / "redis")
    try:
        row("Redis", f"{IN_FLIGHT} in flight, {STREAMS} connections", redis.measure(STREAMS, IN_FLIGHT // STREAMS, options.seconds), "p50")
        row("Redis", f"{CONNECTIONS} connections, one in flight", redis.measure(CONNECTIONS, 1, options.seconds), "p50")
        row("Redis", "one in flight", redis.measure(1, 1, options.seconds), "p50")
        notes.append(f"Redis {redis.version}, appendfsync always, SET of {BODY_BYTES} bytes.")
    finally:
        redis.end()
    progress("PostgreSQL")
    postgresql = PostgreSql(directory / "postgresql")
    try:
        row("PostgreSQL", f"{CLIENTS} clients", postgresql.measure(CLIENTS, options.seconds), "mean")
        row("PostgreSQL", "one client", postgresql.measure(1, options.seconds), "mean")
        notes.append(f"PostgreSQL {postgresql.version}, synchronous_commit on, a hash chain for each client, prepared.")
    finally:
        postgresql.end()
    own = directory / "chancery"
    own.mkdir()
    for scenario, what in (("single", f"{IN_FLIGHT} in flight, {STREAMS} streams of submissions"),
                           ("json", f"{CONNECTIONS} connections, one JSON post in flight"),
                           ("latency", "one in flight")):
        progress(f"chancery, {scenario}")
        figures, plain, said = chancery(options, scenario, own)
        row("Chancery", what, figures, "p50")
        for one in plain:
            row("Chancery", f"{IN_FLIGHT} connections, one plain request in flight", one, "p50")
        if scenario == "latency":
            notes.append(f"Chancery {said['commit'][:12]}; an fdatasync of this disk takes {said['fdatasync_p50_ms']:.2f} ms.")
        notes += [f"{scenario}: {warning}" for warning in said["warnings"]]
    return rows, notes


def main():
    own = pathlib.Path(__file__).resolve().parents[2] / "target/release"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10, help="length of each window (10)")
    parser.add_argument("--load-tests", default=own / "load-tests", help="the benchmark program, built with --release")
    parser.add_argument("--chancery", help="the program under test; the one next to load-tests if absent")
    parser.add_argument("--dir", default=own, help="where the temporary directory is made: the disk that is measured")
    parser.add_argument("--install", action="store_true", help=f"first install {', '.join(PACKAGES)} with apt-get, as root")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if options.install:
            run(["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES])
        if not os.access(options.load_tests, os.X_OK):
            raise Missing(f"{options.load_tests} is not here: cargo build --release -p server -p load-tests")
        if not pathlib.Path(options.dir).is_dir():
            raise Missing(f"--dir {options.dir} is no directory")
        # All tools, before anything is measured.
        for name in ("redis-server", "redis-benchmark", "initdb", "pg_ctl", "psql", "pgbench"):
            program(name)
        with tempfile.TemporaryDirectory(prefix="compare-", dir=options.dir) as directory:
            rows, notes = measure(options, pathlib.Path(directory))
    except (Missing, OSError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 3
    rows.insert(0, ("System", "Load", "Acknowledged a second", "Milliseconds"))
    rows.insert(1, tuple("---" for _ in range(4)))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()
    for note in notes:
        print(f"- {note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
