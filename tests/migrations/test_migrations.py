# SPDX-License-Identifier: Apache-2.0
"""bodegactl migrate against a real PostgreSQL, beside the real goose: the same files, the same table, either program
goes on where the other stopped."""

import glob
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import servers
from conftest import BUILD, ROOT

BODEGACTL = os.path.join(ROOT, BUILD, "bin", "bodegactl")
GOOSE = "github.com/pressly/goose/v3@v3.24.1"
GOOSE_TAGS = "no_ydb no_clickhouse no_mssql no_mysql no_sqlite3 no_vertica no_libsql no_turso no_spanner no_starrocks"
SERVICES = sorted(os.listdir(os.path.join(ROOT, "migrations")))
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "ASAN_OPTIONS": "detect_leaks=1",
               "LSAN_OPTIONS": "suppressions=" + os.path.join(ROOT, "tests/lsan.supp")}


@pytest.fixture(scope="module")
def postgres():
    folder = servers.run_folder(os.path.join(servers.scratch_folder(), "postgres"))
    running = servers.Postgres(folder, durable=False).start()
    yield running
    running.stop()
    shutil.rmtree(os.path.dirname(folder), ignore_errors=True)


@pytest.fixture(scope="session")
def goose():
    """The pinned goose: the one on PATH, or built from its module."""
    built = os.path.join(ROOT, "build", "tools", "goose")
    found = shutil.which("goose", path=os.path.dirname(built) + os.pathsep + os.environ["PATH"])
    if found is None and shutil.which("go") is None:
        pytest.skip("neither goose nor go is here")
    if found is None:
        source = json.loads(subprocess.check_output(["go", "mod", "download", "-json", GOOSE], cwd="/"))["Dir"]
        subprocess.run(["go", "build", "-tags", GOOSE_TAGS, "-o", built, "./cmd/goose"], cwd=source, check=True)
        found = built
    return lambda *arguments: run([found, *arguments])


@pytest.fixture
def database(postgres, request):
    """A new, empty database's name."""
    name = re.sub(r"\W+", "_", request.node.name)[:50].lower()
    postgres.sql(f'DROP DATABASE IF EXISTS "{name}"')
    postgres.make_database(name)
    return name


class Ran:
    def __init__(self, process):
        self.out, self.err = process.communicate(timeout=60)
        self.status = process.returncode

    def __repr__(self):
        return f"exit {self.status}\n{self.out}{self.err}"


def start(command, **environment):
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**ENVIRONMENT, **environment}, cwd=ROOT)


def run(command, **environment):
    return Ran(start(command, **environment))


def migrate(*arguments, **environment):
    return run([BODEGACTL, "migrate", *arguments], **environment)


def done(ran):
    assert ran.status == 0, ran
    return ran


class Folder:
    """A folder of migrations and a database for it."""

    def __init__(self, postgres, database, path):
        self.postgres, self.database, self.path = postgres, database, str(path)

    def write(self, name, text):
        with open(os.path.join(self.path, name), "w", encoding="utf-8") as file:
            file.write(text)

    def target(self):
        return "--database", self.postgres.url(self.database), "--dir", self.path

    def migrate(self, action, *arguments):
        return migrate(action, *self.target(), *arguments)

    def sql(self, statement):
        return self.postgres.sql(statement, self.database)

    def versions(self):
        return [int(row[0]) for row in self.sql("SELECT version_id FROM goose_db_version WHERE is_applied ORDER BY id")]

    def wait_until(self, condition):
        servers.wait_for(lambda: self.sql(condition)[0][0] == "t", 20, condition)


@pytest.fixture
def folder(postgres, database, tmp_path):
    return Folder(postgres, database, tmp_path)


def service_folder(postgres, database, service):
    return Folder(postgres, database, os.path.join(ROOT, "migrations", service))


def dump(postgres, database, *options):
    text = subprocess.check_output(
        [os.path.join(servers.postgres_programs(), "pg_dump"), "--no-owner", *options, postgres.url(database)], text=True)
    return "\n".join(line for line in text.splitlines() if not re.match(r"\\(un)?restrict ", line))


def states(migrations):
    return [(m["name"], m["state"]) for m in migrations]


def status_of(folder):
    printed = done(folder.migrate("status", "--output", "json")).out
    return states(json.loads(printed)["data"][0]["migrations"])


def status_of_goose(goose, folder):
    printed = done(goose("-dir", folder.path, "postgres", folder.postgres.url(folder.database), "status"))
    rows = re.findall(r"(Pending|\w{3} \w{3} +\d+ [\d:]+ \d{4}) +-- (\S+)", printed.out + printed.err)
    return [(name, "pending" if when == "Pending" else "applied") for when, name in rows]


def versions_of(path):
    return sorted(int(name.split("_")[0]) for name in os.listdir(path) if name.endswith(".sql"))


# ---- the shop's own migrations ----


@pytest.mark.parametrize("service", SERVICES)
def test_every_down_undoes_its_up(postgres, database, service):
    folder = service_folder(postgres, database, service)
    done(folder.migrate("up", "--to", "0"))
    for version in versions_of(folder.path):
        before = dump(postgres, database)
        done(folder.migrate("up", "--to", str(version)))
        assert dump(postgres, database) != before
        done(folder.migrate("down"))
        after = dump(postgres, database)
        drop_ids = lambda text: re.sub(r"(?m)^SELECT pg_catalog.setval.*$", "", text)
        assert drop_ids(after) == drop_ids(before), f"{version} of {service} leaves something behind"
        done(folder.migrate("up", "--to", str(version)))


@pytest.mark.parametrize("service", SERVICES)
def test_goose_makes_the_same_of_them(postgres, database, goose, service):
    ours = service_folder(postgres, database, service)
    theirs = service_folder(postgres, database + "_g", service)
    postgres.sql(f'DROP DATABASE IF EXISTS "{theirs.database}"')
    postgres.make_database(theirs.database)
    done(ours.migrate("up"))
    done(goose("-dir", theirs.path, "postgres", postgres.url(theirs.database), "up"))
    assert dump(postgres, ours.database, "--schema-only") == dump(postgres, theirs.database, "--schema-only")
    assert ours.versions() == theirs.versions()
    assert status_of(ours) == status_of(theirs) == status_of_goose(goose, ours)


def test_the_outbox_is_the_same_everywhere():
    files = [name for service in SERVICES for name in glob.glob(os.path.join(ROOT, "migrations", service, "*_outbox.sql"))]
    texts = set()
    for name in files:
        with open(name, encoding="utf-8") as file:
            texts.add(file.read())
    assert len(files) >= 3 and len(texts) == 1, files


# ---- either goes on where the other stopped ----

THREE = {
    "00001_first.sql": "-- +goose Up\nCREATE TABLE a (x int);\n-- +goose Down\nDROP TABLE a;\n",
    "00002_second.sql": "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY a_x ON a (x);\n"
                        "-- +goose Down\nDROP INDEX CONCURRENTLY a_x;\n",
    "00003_third.sql": "-- +goose Up\n-- +goose StatementBegin\nCREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$\n"
                       "BEGIN\n\tRETURN 1;\nEND $$;\n-- +goose StatementEnd\n-- +goose Down\nDROP FUNCTION f;\n",
}


@pytest.fixture
def three(folder):
    for name, text in THREE.items():
        folder.write(name, text)
    return folder


def test_taking_turns_with_goose(three, goose):
    theirs = lambda *what: done(goose("-dir", three.path, "postgres", three.postgres.url(three.database), *what))

    theirs("up-by-one")
    done(three.migrate("up", "--to", "2"))
    assert three.versions() == [0, 1, 2]
    assert status_of(three) == status_of_goose(goose, three)
    theirs("up")
    assert three.versions() == [0, 1, 2, 3]
    assert "version 3" in done(three.migrate("up")).out
    done(three.migrate("down"))
    theirs("down")
    assert three.versions() == [0, 1]
    assert status_of(three) == status_of_goose(goose, three)
    done(three.migrate("up"))
    theirs("up")
    assert three.versions() == [0, 1, 2, 3]
    done(three.migrate("down", "--to", "0"))
    theirs("up")
    theirs("down-to", "0")
    assert three.versions() == [0]
    done(three.migrate("up"))
    theirs("status")
    assert three.versions() == [0, 1, 2, 3]


def test_goose_s_own_marks_of_undoing_are_understood(three):
    """Older ones wrote a row that says `not applied` where newer ones delete the row."""
    done(three.migrate("up", "--to", "1"))
    three.sql("DROP TABLE a")
    three.sql("INSERT INTO goose_db_version (version_id, is_applied) VALUES (1, false)")
    assert dict(status_of(three))["00001_first.sql"] == "pending"
    done(three.migrate("up"))
    assert dict(status_of(three))["00001_first.sql"] == "applied"


# ---- two at once ----

SLOW = "-- +goose Up\nSELECT pg_sleep(1.2);\nCREATE TABLE slow (x int);\nINSERT INTO slow VALUES (1);\n" \
       "-- +goose Down\nDROP TABLE slow;\n"
CONCURRENT = "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY slow_x ON slow (x);\n"


def test_two_at_once_apply_once(folder):
    folder.write("00001_slow.sql", SLOW)
    folder.write("00002_index.sql", CONCURRENT)
    both = [start([BODEGACTL, "migrate", "up", *folder.target()]) for _ in range(2)]
    ran = [done(Ran(process)) for process in both]
    assert folder.versions() == [0, 1, 2]
    assert folder.sql("SELECT count(*) FROM slow") == [["1"]]
    assert sum("applied 00001_slow.sql" in one.out for one in ran) == 1
    assert sum("another program is migrating" in one.out for one in ran) == 1


def test_killed_in_the_middle(folder):
    folder.write("00001_slow.sql", SLOW)
    first = start([BODEGACTL, "migrate", "up", *folder.target()])
    folder.wait_until("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'bodegactl'"
                      " AND datname = current_database() AND wait_event = 'PgSleep')")
    first.send_signal(signal.SIGKILL)
    first.communicate()
    done(folder.migrate("up"))
    assert folder.versions() == [0, 1]
    assert folder.sql("SELECT count(*) FROM slow") == [["1"]]


def test_an_index_cut_off_is_made_anew(folder):
    folder.write("00001_table.sql", "-- +goose Up\nCREATE TABLE a (x int);\nINSERT INTO a VALUES (1), (1);\n")
    folder.write("00002_index.sql", "-- +goose NO TRANSACTION\n-- +goose Up\n"
                                    "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS a_x ON a (x);\n")
    failed = folder.migrate("up")
    assert failed.status == 1 and "00002_index.sql, line 3: could not create unique index" in failed.err, failed
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'a_x'::regclass"
    assert folder.sql(valid) == [["f"]]
    folder.sql("DELETE FROM a WHERE ctid = (SELECT min(ctid) FROM a)")
    assert "dropping the index a_x" in done(folder.migrate("up")).out
    assert folder.sql(valid) == [["t"]]
    assert folder.versions() == [0, 1, 2]


# ---- what goes wrong ----


def test_a_failing_migration_leaves_nothing(folder):
    folder.write("00001_good.sql", "-- +goose Up\nCREATE TABLE good (x int);\n")
    folder.write("00002_bad.sql", "-- +goose Up\nCREATE TABLE half (x int);\n\nCREATE TABLE\n\tworse (é int,\n\tx nonsense);\n")
    failed = folder.migrate("up")
    assert failed.status == 1
    assert failed.err.strip().endswith('00002_bad.sql, line 6: type "nonsense" does not exist'), failed
    assert folder.versions() == [0, 1]
    assert folder.sql("SELECT to_regclass('half') IS NULL") == [["t"]]
    folder.write("00002_bad.sql", "-- +goose Up\nCREATE TABLE half (x int);\n")
    done(folder.migrate("up"))
    assert folder.versions() == [0, 1, 2]


def test_a_deferred_constraint_fails_at_commit(folder):
    folder.write("00001_deferred.sql", "-- +goose Up\nCREATE TABLE a (x int UNIQUE DEFERRABLE INITIALLY DEFERRED);\n"
                                       "INSERT INTO a VALUES (1), (1);\n")
    failed = folder.migrate("up")
    assert failed.status == 1 and "duplicate key" in failed.err, failed
    assert folder.versions() == [0]


def test_a_migration_may_not_end_its_transaction(folder):
    folder.write("00001_commit.sql", "-- +goose Up\nCREATE TABLE a (x int);\nCOMMIT;\n")
    failed = folder.migrate("up")
    assert failed.status == 1 and "ends its transaction itself" in failed.err, failed
    assert folder.versions() == [0]


@pytest.mark.parametrize("text, line", [
    ("CREATE TABLE a (x int);\n", "00001_x.sql, line 1: nothing but comments"),
    ("-- +goose Up\nCREATE TABLE a (x int)\n", "00001_x.sql, line 3: the statement before"),
])
def test_a_file_in_no_known_form(folder, text, line):
    folder.write("00001_x.sql", text)
    failed = folder.migrate("up")
    assert failed.status == 1 and line in failed.err, failed


def test_an_older_one_that_was_missed(three):
    os.rename(os.path.join(three.path, "00002_second.sql"), os.path.join(three.path, "second"))
    done(three.migrate("up"))
    os.rename(os.path.join(three.path, "second"), os.path.join(three.path, "00002_second.sql"))
    failed = three.migrate("up")
    assert failed.status == 1 and "00002_second.sql was never applied, but version 3 is" in failed.err, failed
    assert three.versions() == [0, 1, 3]


def test_down_needs_the_file(three):
    done(three.migrate("up"))
    os.unlink(os.path.join(three.path, "00003_third.sql"))
    done(three.migrate("up"))
    failed = three.migrate("down")
    assert failed.status == 1 and "version 3 is applied, but" in failed.err, failed
    assert three.versions() == [0, 1, 2, 3]


def test_down_with_nothing_to_undo(three):
    assert "version 0" in done(three.migrate("down")).out


def test_status_changes_nothing(three):
    assert {state for _, state in status_of(three)} == {"pending"}
    assert three.sql("SELECT to_regclass('goose_db_version') IS NULL") == [["t"]]
    done(three.migrate("up", "--to", "1"))
    table = done(three.migrate("status")).out.splitlines()
    assert table[0].split() == ["DATABASE", "STATE", "APPLIED", "AT", "MIGRATION"]
    assert re.search(r" applied +20\d\d-\d\d-\d\dT[\d:.]+Z +00001_first.sql$", table[1]), table
    assert re.search(r" pending +- +00002_second.sql$", table[2]), table


def test_a_role_s_timeouts_do_not_end_it(postgres, folder):
    folder.write("00001_slow.sql", SLOW)
    folder.sql("DROP ROLE IF EXISTS hasty")
    folder.sql("CREATE ROLE hasty LOGIN")
    folder.sql("ALTER ROLE hasty SET statement_timeout = '200ms'")
    folder.sql(f'GRANT ALL ON DATABASE "{folder.database}" TO hasty')
    folder.sql("GRANT ALL ON SCHEMA public TO hasty")
    done(migrate("up", "--database", postgres.url(folder.database, "hasty"), "--dir", folder.path))
    folder.sql("DROP OWNED BY hasty")
    folder.sql("DROP ROLE hasty")


def test_a_table_in_use_fails_it_in_time(folder):
    folder.write("00001_table.sql", "-- +goose Up\nCREATE TABLE a (x int);\n")
    done(folder.migrate("up"))
    folder.write("00002_alter.sql", "-- +goose Up\nALTER TABLE a ADD COLUMN y int;\n")
    holder = subprocess.Popen(
        [os.path.join(servers.postgres_programs(), "psql"), "-XAtq", folder.postgres.url(folder.database)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        holder.stdin.write("BEGIN; SELECT count(*) FROM a;\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "0\n"
        failed = folder.migrate("up")
        assert failed.status == 1 and "00002_alter.sql, line 2: canceling statement due to lock timeout" in failed.err
    finally:
        holder.communicate("ROLLBACK;\n")
    done(folder.migrate("up"))


# ---- how it is called ----


def test_databases_of_the_environment(postgres, database, tmp_path):
    secret = tmp_path / "url"
    names = {service: f"{database}_{service}" for service in ("users", "products")}
    for service, name in names.items():
        postgres.sql(f'DROP DATABASE IF EXISTS "{name}"')
        postgres.make_database(name)
        os.mkdir(tmp_path / service)
        (tmp_path / service / "00001_a.sql").write_text(f"-- +goose Up\nCREATE TABLE {service} (x int);\n"
                                                        f"-- +goose Down\nDROP TABLE {service};\n")
    secret.write_text(postgres.url(names["products"]) + "\n")
    environment = {"USERS_DATABASE_URL": postgres.url(names["users"]), "PRODUCTS_DATABASE_URL_FILE": str(secret)}
    root = ("--dir", str(tmp_path))

    done(migrate("up", "products", *root, **environment))
    printed = json.loads(done(migrate("status", "-o", "json", *root, **environment)).out)["data"]
    assert [(one["database"], one["version"], states(one["migrations"])) for one in printed] == [
        ("users", 0, [("00001_a.sql", "pending")]), ("products", 1, [("00001_a.sql", "applied")])]
    ran = done(migrate("up", "--output", "json", *root, **environment))
    assert [one["version"] for one in json.loads(ran.out)["data"]] == [1, 1]
    assert "users: applied 00001_a.sql" in ran.err
    assert migrate("down", *root, **environment).status == 64
    done(migrate("down", "users", *root, **environment))
    assert migrate("up", "orders", *root, **environment).status == 78


@pytest.mark.parametrize("arguments, status, message", [
    ([], 64, "up, down, status or new?"),
    (["sideways"], 64, "migrate has no sideways"),
    (["up", "--nonsense"], 64, "--nonsense: unknown option"),
    (["up", "--to", "x"], 64, "--to must be a version"),
    (["up", "--wait", "x"], 64, "--wait must be from 0 to 86400 seconds"),
    (["up", "--output", "xml"], 64, "--output must be table or json"),
    (["up", "--database", "postgresql:///x"], 64, "--dir"),
    (["up", "users", "--database", "postgresql:///x", "--dir", "."], 64, "not both"),
    (["up", "shipping"], 64, "there is no service shipping"),
    (["new", "x"], 64, "--dir"),
    (["up"], 78, "USERS_DATABASE_URL"),
    (["up", "orders"], 78, "ORDERS_DATABASE_URL is not set"),
    (["up", "--database", "postgresql://%zz", "--dir", "migrations/orders"], 78, "percent"),
    (["up", "--database", "postgresql:///x?host=/nowhere", "--dir", "migrations/orders"], 69, "/nowhere"),
    (["up", "--database", "postgresql:///x?host=/nowhere", "--dir", "nowhere"], 1, "nowhere: No such file"),
])
def test_exit_statuses(arguments, status, message):
    ran = migrate(*arguments)
    assert ran.status == status and message in ran.err, ran


def test_help():
    assert "--database" in done(migrate("--help")).out
    assert "migrate" in done(run([BODEGACTL, "--help"])).out
    assert run([BODEGACTL]).status == 64
    assert run([BODEGACTL, "nonsense"]).status == 64
    assert re.fullmatch(r"bodegactl \d+\.\d+\.\d+\n", done(run([BODEGACTL, "--version"])).out)


def test_new(folder):
    made = done(migrate("new", "add_sku", "--dir", folder.path)).out.strip()
    assert made == os.path.join(folder.path, "00001_add_sku.sql")
    done(folder.migrate("up"))
    done(folder.migrate("down"))
    assert migrate("new", "Add SKU", "--dir", folder.path).status == 1


@pytest.mark.parametrize("wait", [["--wait", "30"], ["--wait=30"], ["--wait"]], ids=" ".join)
def test_waiting_for_the_database(three, wait):
    three.postgres.stop()
    away = three.migrate("up")
    waiting = start([BODEGACTL, "migrate", "up", *three.target(), *wait])
    line = waiting.stdout.readline()
    three.postgres.start()
    ran = Ran(waiting)
    assert away.status == 69, away
    assert "waiting for the database" in line
    assert ran.status == 0 and three.versions() == [0, 1, 2, 3], ran
