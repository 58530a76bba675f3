"""Crontabs, imported."""

from __future__ import annotations

import os
import pwd
import shutil
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from psycopg import Connection

from app.crontab import CrontabReport, import_crontab
from tests.files.support import CRONTABS, jobs_of, writes_of

ME = pwd.getpwuid(os.geteuid()).pw_name


def imported(db: Connection[Any], name: str, **options: Any) -> CrontabReport:
    path = CRONTABS / name
    return import_crontab(db, path.read_bytes(), path=path, host="web1", **options)


def by_line(db: Connection[Any], report: CrontabReport) -> dict[int, dict[str, Any]]:
    jobs = jobs_of(db)
    return {line: jobs[name] for line, name in report.taken.items()}


def test_the_systems_crontab(db: Connection[Any]) -> None:
    report = imported(db, "etc/crontab", queue_per_user=True)
    assert report.complete
    jobs = by_line(db, report)
    assert {line: job["schedule"] for line, job in jobs.items()} == {
        7: "17 * * * *",
        8: "25 6 * * *",
        9: "47 6 * * 7",
        10: "52 6 1 * *",
    }
    job = jobs[7]
    assert job["name"].startswith("web1:etc/crontab:cd-run-parts-report-etc-cron-hourly-")
    assert (job["job_type"], job["queue"], job["timezone"]) == ("command", "user-root", "UTC")
    assert job["target"]["shell"] == "cd / && run-parts --report /etc/cron.hourly"
    assert job["target"]["env"]["SHELL"] == "/bin/sh"
    assert [job[field] for field in ("max_attempts", "misfire", "overlap", "dst", "timeout")] == [
        1,
        "skip",
        "allow",
        "debian",
        timedelta(days=30),
    ]


@pytest.mark.parametrize(
    ("name", "schedules"),
    [
        ("anacron", ["30 7-23 * * *"]),
        ("php", ["09,39 * * * *"]),
        ("certbot", ["0 */12 * * *"]),
        ("e2scrub_all", ["30 3 * * 0", "10 3 * * *"]),
    ],
)
def test_packages_crontabs(db: Connection[Any], name: str, schedules: list[str]) -> None:
    report = imported(db, f"cron.d/{name}", queue_per_user=True)
    assert report.complete
    assert [job["schedule"] for _, job in sorted(by_line(db, report).items())] == schedules


def test_other_users_need_their_own_worker(db: Connection[Any]) -> None:
    text = f"0 0 * * * {ME} mine\n0 0 * * * somebody-else theirs\n".encode()
    report = import_crontab(db, text, system=True)
    assert list(report.taken) == [1]
    assert [remark.line for remark in report.remarks if remark.refused] == [2]
    assert "--queue-per-user" in (report.remarks[0].hint or "")
    assert by_line(db, report)[1]["queue"] == "default"


def test_a_users_crontab(db: Connection[Any]) -> None:
    report = imported(db, "people/backup")
    jobs = by_line(db, report)
    assert sorted(jobs) == [8, 9, 10, 11, 12, 15, 16, 17, 18, 19, 20, 27, 28, 30, 31]
    refused = {remark.line: remark for remark in report.remarks if remark.refused}
    assert sorted(refused) == [13, 21, 22, 23, 24, 25, 26]
    assert not report.complete
    assert "@reboot" in refused[13].what
    assert "5-59/15" in (refused[21].hint or "")
    assert "minute" in refused[22].what
    assert refused[23].hint
    assert '"L"' in refused[24].what
    env = {
        "PATH": "$HOME/bin:/usr/bin:/bin",
        "SHELL": "/bin/bash",
        "GREETING": "  hello  ",
        "EMPTY": "",
        "HOME": "/srv/app",
    }
    assert jobs[9]["target"] == {
        "args": ["/bin/bash", "-c", 'mail -s "Good morning" bob'],
        "stdin": "Hello Bob,\n\nThe report is 100% done.\n",
        "env": env,
        "cwd": "/srv/app",
    }
    command = "tar -zcf /var/backups/home-$(date +%Y-%m-%d).tgz /home/"
    assert jobs[8]["target"]["args"][2] == command
    assert "stdin" not in jobs[8]["target"]
    assert [jobs[line]["schedule"] for line in (10, 15, 16, 17, 19, 20)] == [
        "@daily",
        "0 9 */2 * +1-5",
        "0 9 1 * +*/2",
        "0 9 13 * fri",
        "H(0-59) 3 * * *",
        "H(0-59) H(4-5) * * H(0-6)",
    ]
    assert [jobs[line]["timezone"] for line in (12, 15)] == ["UTC", "Europe/Berlin"]
    assert jobs[30]["target"]["env"]["TZ"] == "America/New_York"
    # The same command twice is two jobs.
    assert jobs[27]["name"] != jobs[28]["name"]


def test_imported_again_it_writes_nothing(db: Connection[Any]) -> None:
    imported(db, "people/backup")
    before = writes_of(db)
    report = imported(db, "people/backup", prune=True)
    assert {job.action for job in report.jobs.jobs} == {"unchanged"}
    assert writes_of(db) == before


def test_a_dry_run_writes_nothing_and_tells_the_same(db: Connection[Any]) -> None:
    before = writes_of(db)
    dry = imported(db, "people/backup", dry_run=True)
    assert writes_of(db) == before
    wet = imported(db, "people/backup")
    assert (dry.taken, dry.remarks, dry.jobs.jobs) == (wet.taken, wet.remarks, wet.jobs.jobs)


def test_edited_and_imported_again(db: Connection[Any], tmp_path: Path) -> None:
    path = tmp_path / "tab"

    def run(text: str, *, prune: bool = False) -> CrontabReport:
        return import_crontab(db, text.encode(), path=path, prune=prune)

    first = run("0 1 * * * a\n0 2 * * * b\n0 3 * * * a\n")
    second = run("# moved\n0 9 * * * a\n0 3 * * * a\n")
    assert [first.taken[1], first.taken[3]] == [second.taken[2], second.taken[3]]
    assert second.jobs.orphans == (first.taken[2],)
    assert jobs_of(db)[first.taken[1]]["schedule"] == "0 9 * * *"
    run("0 9 * * * a\n@reboot a\n", prune=True)
    # A line that is there but cannot be taken keeps the job that it had.
    assert set(jobs_of(db)) == {first.taken[1], first.taken[3]}
    run("0 9 * * * a\n", prune=True)
    assert set(jobs_of(db)) == {first.taken[1]}


def test_each_user_and_each_machine_has_a_crontab_of_its_own(db: Connection[Any]) -> None:
    def run(schedule: str, **who: Any) -> CrontabReport:
        report = import_crontab(db, f"{schedule} backup-all\n".encode(), system=False, **who)
        assert report.jobs.orphans == ()
        return report

    run("0 1 * * *", user="alice", host="web1")
    run("0 2 * * *", user="bob", host="web1")
    run("0 3 * * *", user="alice", host="web2")
    assert {name.rpartition("-")[0]: job["schedule"] for name, job in jobs_of(db).items()} == {
        "alice@web1:backup-all": "0 1 * * *",
        "bob@web1:backup-all": "0 2 * * *",
        "alice@web2:backup-all": "0 3 * * *",
    }
    assert run("0 9 * * *", user="bob", host="web1").jobs.count("updated") == 1


@pytest.mark.parametrize("folder", ["cron/crontabs", "cron", "cron/tabs"])
def test_a_crontab_in_the_spool_is_its_users(db: Connection[Any], folder: str) -> None:
    path, text = Path("/var/spool", folder, "alice"), b"0 1 * * * root backup-all\n"

    def run(path: Path | None, **options: Any) -> CrontabReport:
        return import_crontab(db, text, path=path, host="web1", **options)

    refused = run(path, user="root")
    assert (refused.system, refused.taken) == (False, {})
    assert "runs as alice" in refused.remarks[0].what
    report = run(path, user="root", queue_per_user=True)
    job = by_line(db, report)[1]
    assert (job["queue"], job["target"]["shell"]) == ("user-alice", "root backup-all")
    # It is what `crontab -l` shows her.
    again = run(None, user="alice", queue_per_user=True, system=False)
    assert (again.taken, again.jobs.count("unchanged")) == (report.taken, 1)


def test_commands_run_in_their_users_home(db: Connection[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    homes = {"alice": "/home/alice", "bob": "/srv/bob"}
    # Without an entry it raises a KeyError, as homes does.
    monkeypatch.setattr(pwd, "getpwnam", lambda name: SimpleNamespace(pw_dir=homes[name]))
    text = b"0 0 * * * bob b\n0 0 * * * carol c\nHOME=/srv/app\n0 0 * * * bob d\n"
    report = import_crontab(db, text, system=True, user="alice", queue_per_user=True)
    targets = {line: job["target"] for line, job in by_line(db, report).items()}
    assert {line: target.get("cwd") for line, target in targets.items()} == {
        1: "/srv/bob",
        2: None,
        4: "/srv/app",
    }
    report = import_crontab(db, b"0 0 * * * a\n", system=False, user="alice")
    assert by_line(db, report)[1]["target"] == {"shell": "a", "cwd": "/home/alice"}


def test_a_user_without_a_name_is_called_by_number(
    db: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1_234_567_890)
    report = import_crontab(db, b"0 0 * * * a\n", system=False, host="web1", queue_per_user=True)
    job = by_line(db, report)[1]
    assert job["name"].startswith("1234567890@web1:a-")
    assert (job["queue"], job["target"]) == ("user-1234567890", {"shell": "a"})


def test_pruning_spares_the_other_machines(db: Connection[Any]) -> None:
    path = Path("/etc/cron.d/backup")

    def run(text: str, **who: Any) -> CrontabReport:
        return import_crontab(db, text.encode(), path=path, queue_per_user=True, prune=True, **who)

    first = run("0 1 * * * root backup-all\n", user="root", host="web1")
    second = run("0 1 * * * root backup-some\n", user="root", host="web2")
    assert set(jobs_of(db)) == {first.taken[1], second.taken[1]}
    # On one machine, a system crontab is the same one whoever imports it.
    assert run("0 1 * * * root backup-all\n", user="alice", host="web1").jobs.count("unchanged") == 1


def test_the_longest_names_are_names_of_jobs(db: Connection[Any], tmp_path: Path) -> None:
    path = tmp_path / ("d" * 100) / ("f" * 100)
    command = b"0 0 * * * " + b"x" * 100 + b"\n"
    report = import_crontab(db, command, path=path, user="u" * 32, host="h" * 64)
    assert report.complete
    again = import_crontab(db, command, path=path, user="u" * 31 + "v", host="h" * 64)
    assert again.jobs.count("created") == 1


@pytest.mark.parametrize("line", [b"PATH=/caf\xe9:/bin", b'CRON_TZ="Europe/Berlin" # ours', b'"A B"=\'x'])
def test_what_depends_on_a_variable_that_was_not_taken_is_not_taken(db: Connection[Any], line: bytes) -> None:
    name = line.partition(b"=")[0]
    report = import_crontab(
        db, b"0 0 * * * a\n" + line + b"\n0 0 * * * b\n" + name + b"=UTC\n0 0 * * * c\n", system=False
    )
    assert sorted(report.taken) == [1, 5]
    assert [remark.line for remark in report.remarks if remark.refused] == [2, 3]
    assert report.remarks[1].what == "depends on the variable of line 2, which was not taken"


def test_nothing_depends_on_whom_cron_mails(db: Connection[Any]) -> None:
    report = import_crontab(db, b'MAILTO="ops" # ours\n0 0 * * * a\n', system=False)
    assert sorted(report.taken) == [2]


def test_nothing_is_pruned_while_a_line_cannot_be_read(db: Connection[Any], tmp_path: Path) -> None:
    path = tmp_path / "tab"

    def run(text: str) -> CrontabReport:
        return import_crontab(db, text.encode(), path=path, prune=True)

    first = run("0 1 * * * a\n0 2 * * * b\n")
    mistyped = run("0 1 * * * a\n0 2 * * b\n")
    assert set(jobs_of(db)) == set(first.taken.values())
    assert mistyped.jobs.orphans == (first.taken[2],)
    assert [(remark.line, remark.refused) for remark in mistyped.remarks] == [(2, True), (2, False)]
    assert "nothing is pruned" in mistyped.remarks[1].what
    # The second line of these is a variable, to cron.
    run("0 1 * * * a\n0 2 * * * b \\\n    --to=c\n")
    assert set(jobs_of(db)) == set(first.taken.values())
    run("0 1 * * * a\n")
    assert set(jobs_of(db)) == {first.taken[1]}


def test_cron_has_no_continuation_lines(db: Connection[Any]) -> None:
    text = b"0 5 * * * rsync -a /src \\\n    /dst\n0 6 * * * echo \\\\\n0 7 * * * cat%x\\\n"
    report = import_crontab(db, text, system=False)
    assert sorted(report.taken) == [3, 4]
    refused = {remark.line: remark.what for remark in report.remarks if remark.refused}
    assert sorted(refused) == [1, 2]
    assert "cron has no continuation lines" in refused[1]


def test_files_of_the_same_name_are_kept_apart(db: Connection[Any], tmp_path: Path) -> None:
    for host in ("one", "two"):
        (tmp_path / host).mkdir()
        path = tmp_path / host / "crontab"
        shutil.copy(CRONTABS / "people/windows", path)
        import_crontab(db, path.read_bytes(), path=path, prune=True)
    assert len(jobs_of(db)) == 2


def test_the_zone_is_said_or_refused(db: Connection[Any]) -> None:
    text = b"0 1 * * * a\nCRON_TZ=Europe/Berlin\n0 1 * * * b\nCRON_TZ=Mars/Olympus\n0 1 * * * c\n"
    report = import_crontab(db, text, timezone="asia/tokyo")
    assert {line: job["timezone"] for line, job in by_line(db, report).items()} == {
        1: "Asia/Tokyo",
        3: "Europe/Berlin",
    }
    assert [(remark.line, "Mars/Olympus" in remark.what) for remark in report.remarks] == [(5, True)]
