#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Private PostgreSQL, Redis and RabbitMQ servers in a folder of their own.

They listen on Unix sockets only (RabbitMQ, which cannot, on loopback ports, with a password made at random), run as an unprivileged user even when root starts them, and are stopped by the
process id that was recorded, after making sure that it still is that process. Nothing of the system's own servers
is touched. Used by `make run`, the tests and the benchmarks; needs Python's standard library only.
"""

import fcntl
import glob
import hashlib
import json
import os
import secrets
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


PORTS = range(10000, 32768)  # outgoing connections get theirs above: what is stopped for a moment finds its port free again
claims = []


def free_port():
    """A port that nobody listens on and that no process on this machine was given here and still lives: asked for
    again and again, before any is listened on, it gives a different one each time."""
    folder = os.path.join(tempfile.gettempdir(), f"bodega-ports-{os.geteuid()}")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    while True:
        port = secrets.choice(PORTS)
        claim = open(os.path.join(folder, str(port)), "w", encoding="ascii")
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            claim.close()
            continue
        if is_free(port):
            claims.append(claim)  # held until this process ends
            return port
        claim.close()


def is_free(port):
    if port is None:
        return False
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


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
            settings.update(fsync="off", full_page_writes="off")  # what was committed outlives the server, not the machine
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


# ---- RabbitMQ ----

RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # the one in /usr/sbin changes to a user of the system's


class RabbitMQ:
    """The broker and an epmd of its own, which its runtime asks for. The password and the ports are made at the first
    start and kept, so that clients find it again (unless somebody else has taken a port meanwhile)."""

    def __init__(self, folder):
        self.folder = folder
        self.log = os.path.join(folder, "log", "out")
        self.pid_file = os.path.join(folder, "pid")
        self.epmd_pid_file = os.path.join(folder, "epmd.pid")
        self.url_file = os.path.join(folder, "url")
        self.process = None

    def url(self):
        kept = self._kept()
        return f"amqp://bodega:{kept['password']}@127.0.0.1:{kept['port']}/%2f"

    def launch(self):
        """Starts it without waiting: that takes seconds, in which there is other work."""
        if not os.path.exists(RABBITMQ) or shutil.which("epmd") is None:
            raise Failed("RabbitMQ is not installed: `make deps` installs it")
        for path in ("", "log", "data", "conf.d"):
            private_folder(os.path.join(self.folder, path))
        kept = self._kept() if os.path.exists(self._path("kept.json")) else {"password": secrets.token_hex(24)}
        for port in ("port", "node_port", "epmd_port"):
            if not is_free(kept.get(port)):
                kept[port] = free_port()
        self._write("kept.json", json.dumps(kept))
        self._write("url", self.url() + "\n")
        self._write("enabled_plugins", "[].\n")
        self._write("rabbitmq.conf", "\n".join([
            f"listeners.tcp.1 = 127.0.0.1:{kept['port']}", "default_user = bodega", f"default_pass = {kept['password']}",
            "num_acceptors.tcp = 2", "vm_memory_high_watermark.absolute = 256MB", "disk_free_limit.absolute = 50MB",
            "log.file.level = warning", ""]))
        environment = {
            "PATH": "/usr/bin:/bin", "HOME": self.folder, "LANG": "C.UTF-8", "RABBITMQ_NODENAME": "bodega@localhost",
            "RABBITMQ_CONFIG_FILE": self._path("rabbitmq.conf"), "RABBITMQ_CONFIG_FILES": self._path("conf.d"),
            "RABBITMQ_CONF_ENV_FILE": self._path("env.conf"), "RABBITMQ_LOG_BASE": self._path("log"),
            "RABBITMQ_MNESIA_BASE": self._path("data"), "RABBITMQ_ENABLED_PLUGINS_FILE": self._path("enabled_plugins"),
            "RABBITMQ_DIST_PORT": str(kept["node_port"]), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(kept["epmd_port"]),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
            "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the broker, so its process id is the broker's
        }
        epmd = spawn(unprivileged(["epmd", "-address", "127.0.0.1", "-port", str(kept["epmd_port"])]),
                     self.log, self.folder, environment)
        record(self.epmd_pid_file, epmd.pid)
        self.process = spawn(unprivileged([RABBITMQ]), self.log, self.folder, environment)
        record(self.pid_file, self.process.pid)
        return self

    def wait_ready(self):
        try:
            wait_for(self.ready, 90, "start of RabbitMQ", self.process)
        except Failed as failed:
            raise Failed(f"{failed}\n{tail(self.log)}") from None
        return self

    def start(self):
        return self.launch().wait_ready()

    def ready(self):
        """It opens its port last; the greeting is a frame of the connection's method Start."""
        try:
            with socket.create_connection(("127.0.0.1", self._kept()["port"]), timeout=1) as s:
                s.sendall(b"AMQP\x00\x00\x09\x01")
                return s.recv(1) == b"\x01"
        except OSError:
            return False

    def running(self):
        return recorded(self.pid_file) is not None

    def stop(self, number=signal.SIGTERM):
        stop_recorded(self.pid_file, [number, signal.SIGKILL], 30)
        stop_recorded(self.epmd_pid_file, [signal.SIGTERM, signal.SIGKILL], 5)

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _kept(self):
        with open(self._path("kept.json"), encoding="ascii") as file:
            return json.load(file)

    def _write(self, name, text):
        path = self._path(name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(text)
        give_away(path)


def scratch_folder():
    """A new folder for servers that live as long as a test run."""
    folder = tempfile.mkdtemp(prefix="bodega-")
    os.chmod(folder, 0o711)
    return folder


def main():
    arguments = sys.argv[1:]
    with_rabbitmq = arguments[:1] == ["--rabbitmq"]
    command = arguments[1:] if with_rabbitmq else arguments
    if not command or command[0].startswith("-"):
        print(f"usage: {os.path.basename(sys.argv[0])} [--rabbitmq] COMMAND [ARGUMENT…]\n\n"
              "Runs the command with TEST_DATABASE_URL and TEST_REDIS_URL naming servers of its own, made for it and\n"
              "stopped after it; with --rabbitmq, which takes seconds more, also TEST_RABBITMQ_URL. Its exit status is\n"
              "the command's.")
        return 0 if command[:1] in (["-h"], ["--help"]) else 64
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers are stopped all the same
    folder = scratch_folder()
    postgres = Postgres(os.path.join(folder, "postgres"), durable=False)
    redis = Redis(os.path.join(folder, "redis"))
    rabbitmq = RabbitMQ(os.path.join(folder, "rabbitmq"))
    try:
        if with_rabbitmq:
            rabbitmq.launch()
        postgres.start()
        postgres.make_database("test")
        postgres.sql("CREATE EXTENSION pg_trgm SCHEMA pg_catalog", "test")  # each test's schema finds it there
        redis.start()
        environment = dict(os.environ, TEST_DATABASE_URL=postgres.url("test"), TEST_REDIS_URL=redis.url())
        if with_rabbitmq:
            environment["TEST_RABBITMQ_URL"] = rabbitmq.wait_ready().url()
        return subprocess.run(command, env=environment, check=False).returncode
    except Failed as failed:
        print(failed, file=sys.stderr)
        return 1
    finally:
        postgres.stop()
        redis.stop()
        rabbitmq.stop(signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
