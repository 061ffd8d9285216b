#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Private PostgreSQL and Redis servers in a folder of their own.

They listen on Unix sockets only, run as an unprivileged user even when root starts them, and are stopped by the
process id that was recorded, after making sure that it still is that process. Nothing of the system's own servers
is touched. Used by `make run`, the tests and the benchmarks; needs Python's standard library only.
"""

import glob
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

NOBODY = 65534
SOCKET_PATH_MAX = 100  # sockaddr_un holds 108 bytes; PostgreSQL adds ".s.PGSQL.5432" itself


class Failed(Exception):
    """What could not be done, in words for the person who asked for it."""


def unprivileged(command):
    """The command as a user without rights, when we are root."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs", *command]


def give_away(path):
    """Hands a file or folder to the unprivileged user, when we are root."""
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


def private_folder(path):
    os.makedirs(path, exist_ok=True)
    give_away(path)
    os.chmod(path, 0o700)
    return path


def reachable(path):
    """Can the unprivileged user come to this folder?"""
    while True:
        if os.path.isdir(path) and not os.stat(path).st_mode & 0o001:
            return False
        if path == os.path.dirname(path):
            return True
        path = os.path.dirname(path)


def run_folder(wanted):
    """Makes the folder `wanted` for servers to live in. Where the unprivileged user could not reach it (a checkout
    under /root), it becomes a link to a folder under /var/tmp."""
    wanted = os.path.abspath(wanted)
    if os.path.islink(wanted) and not os.path.exists(wanted):
        os.unlink(wanted)
    if not os.path.exists(wanted):
        if os.geteuid() == 0 and not reachable(os.path.dirname(wanted)):
            name = "bodega-" + hashlib.sha256(wanted.encode()).hexdigest()[:12]
            os.symlink(private_folder(os.path.join("/var/tmp", name)), wanted)
        else:
            private_folder(wanted)
    return os.path.realpath(wanted)


# ---- processes by recorded id ----


def started_at(pid):
    """The start time of a running process in clock ticks since boot, None when there is none (or a zombie)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def record(path, pid):
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{pid} {started_at(pid)}\n")


def recorded(path):
    """The process id in the file if that very process still runs, else None."""
    try:
        with open(path, encoding="ascii") as file:
            pid, start = file.read().split()
    except (OSError, ValueError):
        return None
    return int(pid) if started_at(int(pid)) == start else None


def wait_for(condition, seconds, what, process=None):
    """Polls until the condition holds; Failed when the process ends or the time is up."""
    end = time.monotonic() + seconds
    while not condition():
        if process is not None and process.poll() is not None:
            raise Failed(f"{what}: the process ended with status {process.returncode}")
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(0.01)


def stop_recorded(path, signals, seconds):
    """Sends the first signal to the recorded process, the next one after each `seconds`; waits until it is gone."""
    for number in signals:
        pid = recorded(path)
        if pid is None:
            break
        os.kill(pid, number)
        try:
            wait_for(lambda: recorded(path) is None, seconds, f"stop of process {pid}")
        except Failed:
            continue
    gone = recorded(path) is None
    if gone and os.path.exists(path):
        os.unlink(path)
    return gone


def tail(path, lines=15):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-lines:])
    except OSError:
        return ""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def spawn(command, log, cwd, environment=None):
    """Starts a program in a session of its own, its output appended to a log file."""
    with open(log, "ab") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd, start_new_session=True, env=environment
        )


# ---- PostgreSQL ----


def postgres_programs():
    found = glob.glob("/usr/lib/postgresql/*/bin/postgres")
    if not found:
        raise Failed("PostgreSQL is not installed: `make deps` installs it")
    return os.path.dirname(max(found, key=lambda path: int(path.split("/")[4])))


class Postgres:
    def __init__(self, folder, durable=True):
        self.folder = folder
        self.data = os.path.join(folder, "data")
        self.log = os.path.join(folder, "log")
        self.pid_file = os.path.join(folder, "pid")
        self.sockets = folder
        if len(folder) > SOCKET_PATH_MAX - 20:
            self.sockets = os.path.join("/tmp", "bodega-" + hashlib.sha256(folder.encode()).hexdigest()[:12])
        self.durable = durable

    def url(self, database="postgres", user="postgres"):
        return f"postgresql:///{database}?host={self.sockets}&user={user}"

    def start(self):
        programs = postgres_programs()
        private_folder(self.folder)
        private_folder(self.sockets)
        if not os.path.exists(os.path.join(self.data, "PG_VERSION")):
            shutil.rmtree(self.data, ignore_errors=True)
            self._run(programs + "/initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                      "--locale=C.UTF-8", "--no-instructions", *([] if self.durable else ["--no-sync"]))
        settings = {"listen_addresses": "", "unix_socket_directories": self.sockets, "max_connections": "200",
                    "shared_buffers": "128MB", "log_checkpoints": "off", "timezone": "UTC"}
        if not self.durable:
            settings.update(fsync="off", synchronous_commit="off", full_page_writes="off")
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        process = spawn(unprivileged([programs + "/postgres", "-D", self.data, *options]), self.log, self.folder)
        record(self.pid_file, process.pid)
        try:
            wait_for(self.ready, 60, "start of PostgreSQL", process)
        except Failed as failed:
            raise Failed(f"{failed}\n{tail(self.log)}") from None
        return self

    def ready(self):
        return subprocess.run([postgres_programs() + "/pg_isready", "-q", "-h", self.sockets], check=False).returncode == 0

    def running(self):
        return recorded(self.pid_file) is not None

    def stop(self, number=signal.SIGINT):
        """SIGINT is a fast shutdown, SIGQUIT an immediate one, SIGKILL a crash."""
        stop_recorded(self.pid_file, [number, signal.SIGQUIT, signal.SIGKILL], 30)

    def sql(self, statement, database="postgres"):
        """Runs SQL, one transaction a call; gives the rows as lists of texts."""
        done = subprocess.run(
            [postgres_programs() + "/psql", "-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", self.url(database), "-c", statement],
            capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"{statement}\n{done.stderr}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def make_database(self, name):
        if not self.sql(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            self.sql(f'CREATE DATABASE "{name}"')

    def _run(self, *command):
        done = subprocess.run(unprivileged(list(command)), capture_output=True, text=True, check=False, cwd=self.folder)
        if done.returncode != 0:
            raise Failed(f"{os.path.basename(command[0])}: {done.stderr.strip() or done.stdout.strip()}")


# ---- Redis ----


class Redis:
    def __init__(self, folder):
        self.folder = folder
        self.socket = os.path.join(folder, "redis.sock")
        if len(self.socket) > SOCKET_PATH_MAX:
            name = "bodega-" + hashlib.sha256(folder.encode()).hexdigest()[:12]
            self.socket = os.path.join("/tmp", name, "redis.sock")
        self.log = os.path.join(folder, "log")
        self.pid_file = os.path.join(folder, "pid")

    def url(self):
        return "unix://" + self.socket

    def start(self):
        if shutil.which("redis-server") is None:
            raise Failed("Redis is not installed: `make deps` installs it")
        private_folder(self.folder)
        private_folder(os.path.dirname(self.socket))
        command = ["redis-server", "--port", "0", "--unixsocket", self.socket, "--unixsocketperm", "700", "--save", "",
                   "--appendonly", "no", "--dir", self.folder, "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]
        process = spawn(unprivileged(command), self.log, self.folder)
        record(self.pid_file, process.pid)
        try:
            wait_for(self.ready, 20, "start of Redis", process)
        except Failed as failed:
            raise Failed(f"{failed}\n{tail(self.log)}") from None
        return self

    def ready(self):
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(1)
                s.connect(self.socket)
                s.sendall(b"PING\r\n")
                return s.recv(7) == b"+PONG\r\n"
        except OSError:
            return False

    def running(self):
        return recorded(self.pid_file) is not None

    def stop(self, number=signal.SIGTERM):
        stop_recorded(self.pid_file, [number, signal.SIGKILL], 10)


def scratch_folder():
    """A new folder for servers that live as long as a test run."""
    folder = tempfile.mkdtemp(prefix="bodega-")
    os.chmod(folder, 0o711)
    return folder


def main():
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(f"usage: {os.path.basename(sys.argv[0])} COMMAND [ARGUMENT…]\n\n"
              "Runs the command with TEST_DATABASE_URL and TEST_REDIS_URL naming servers of its own, made for it and\n"
              "stopped after it. Its exit status is the command's.")
        return 0 if len(sys.argv) > 1 else 64
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers are stopped all the same
    folder = scratch_folder()
    postgres = Postgres(os.path.join(folder, "postgres"), durable=False)
    redis = Redis(os.path.join(folder, "redis"))
    try:
        postgres.start()
        postgres.make_database("test")
        postgres.sql("CREATE EXTENSION pg_trgm SCHEMA pg_catalog", "test")  # each test's schema finds it there
        redis.start()
        environment = dict(os.environ, TEST_DATABASE_URL=postgres.url("test"), TEST_REDIS_URL=redis.url())
        return subprocess.run(sys.argv[1:], env=environment, check=False).returncode
    except Failed as failed:
        print(failed, file=sys.stderr)
        return 1
    finally:
        postgres.stop()
        redis.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
