"""Examples of what goes in and comes out. A test sends each of these requests and checks each answer."""

from __future__ import annotations

from typing import Any

from app.api import bodies, schemas
from app.api.health_report import Liveness, Readiness

JOB_ID = "0195ed8e-4a01-7d42-8f39-2b1c5d6e7f80"
EXECUTION_ID = "0195ed8e-5b02-7d11-a4c6-90e1f2a3b4c5"
WORKER_ID = "5f0c7a52-9d0e-4e57-9a45-0d6f4b9b8a11"

_TARGET = {"url": "https://reports.example.com/build", "method": "POST"}
_NIGHTLY = {
    "job_type": "http",
    "target": _TARGET,
    "schedule": "30 2 * * *",
    "timezone": "Europe/Berlin",
    "payload": {"kind": "daily"},
    "timeout": "5 minutes",
    "tags": ["reports"],
}
_MAIL = {"job_type": "python", "target": "shop.mail.send", "payload": {"order": 4711}}

REQUESTS: dict[type[bodies.Body], dict[str, Any]] = {
    bodies.NewJob: {
        "a nightly web hook": {"name": "nightly-report", **_NIGHTLY},
        "a handler in Python, every 15 minutes": {
            "name": "sync-stock",
            "job_type": "python",
            "target": "shop.stock.sync",
            "schedule": "every 15 minutes",
            "max_attempts": 5,
        },
        "a statement, only when triggered": {
            "name": "rebuild-prices",
            "job_type": "sql",
            "target": {"statement": "select shop.rebuild_prices()"},
        },
    },
    bodies.JobDefinition: {"a nightly web hook": _NIGHTLY},
    bodies.JobChanges: {
        "another time": {"schedule": "0 4 * * *"},
        "no schedule any more": {"schedule": None},
    },
    bodies.Pause: {"with a reason": {"reason": "the report server is moved"}},
    bodies.Trigger: {
        "now": {},
        "later, with another payload": {"run_at": "2031-03-05T18:00:00Z", "payload": {"kind": "monthly"}},
    },
    bodies.Backfill: {"a day": {"from_time": "2031-03-04T00:00:00Z", "to_time": "2031-03-05T00:00:00Z"}},
    bodies.NewExecution: {
        "a mail": _MAIL,
        "once, whoever asks": {**_MAIL, "dedup_key": "order-4711-mail", "priority": 10},
    },
    bodies.Bulk: {"two mails": {"items": [_MAIL, {**_MAIL, "payload": {"order": 4712}}]}},
    bodies.PreviewRequest: {
        "the next three": {"schedule": "30 2 * * mon-fri", "timezone": "Europe/Berlin", "n": 3}
    },
}

_JOB = {
    "job_id": JOB_ID,
    "name": "nightly-report",
    "job_type": "http",
    "schedule": "30 2 * * *",
    "timezone": "Europe/Berlin",
    "next_fire_at": "2031-03-06T01:30:00+00:00",
    "last_fire_at": "2031-03-05T01:30:00+00:00",
    "paused": False,
    "paused_at": None,
    "pause_reason": None,
    "broken_reason": None,
    "target": _TARGET,
    "payload": {"kind": "daily"},
    "queue": "default",
    "priority": 0,
    "max_attempts": 3,
    "backoff": "exponential",
    "backoff_base": "00:00:10",
    "backoff_max": "01:00:00",
    "timeout": "00:05:00",
    "expires_after": None,
    "misfire": "fire_once",
    "misfire_window": None,
    "misfire_cap": None,
    "overlap": "skip",
    "dst": "debian",
    "jitter": "00:00:00",
    "starts_at": None,
    "ends_at": None,
    "tags": ["reports"],
    "version": 1,
    "created_at": "2031-03-01T09:12:44.120319+00:00",
    "created_by": "pgtick_api",
    "updated_at": "2031-03-01T09:12:44.120319+00:00",
}
_EXECUTION = {
    "execution_id": EXECUTION_ID,
    "job_id": JOB_ID,
    "job_name": "nightly-report",
    "job_type": "http",
    "queue": "default",
    "priority": 0,
    "status": "succeeded",
    "attempt": 1,
    "max_attempts": 3,
    "fire_at": "2031-03-05T01:30:00+00:00",
    "run_at": "2031-03-05T01:30:00+00:00",
    "started_at": "2031-03-05T01:30:00.012+00:00",
    "finished_at": "2031-03-05T01:30:02.5+00:00",
    "worker_id": WORKER_ID,
    "target": _TARGET,
    "payload": {"kind": "daily"},
    "result": {"status": 200},
    "error": None,
    "progress": None,
    "origin": "fire",
    "dedup_key": None,
    "traceparent": None,
    "created_at": "2031-03-05T01:30:00.004+00:00",
}
_FIRE = {
    "job_id": JOB_ID,
    "fire_at": "2031-03-05T01:30:00+00:00",
    "verdict": "fired",
    "execution_id": EXECUTION_ID,
    "decided_at": "2031-03-05T01:30:00.004+00:00",
}

ANSWERS: dict[Any, Any] = {
    schemas.Job: _JOB,
    schemas.JobPage: {"items": [_JOB], "next_cursor": None},
    schemas.Execution: _EXECUTION,
    schemas.ExecutionPage: {"items": [_EXECUTION], "next_cursor": EXECUTION_ID},
    schemas.FirePage: {"items": [_FIRE], "next_cursor": None},
    schemas.Preview: {
        "description": "at 02:30",
        "fires": ["2031-03-06T01:30:00+00:00", "2031-03-07T01:30:00+00:00"],
    },
    schemas.Backfilled: {"executions": 24},
    schemas.ExecutionIds: {"execution_ids": [EXECUTION_ID]},
    schemas.QueueList: {
        "items": [
            {
                "queue": "default",
                "ready": 3,
                "scheduled": 120,
                "running": 8,
                "oldest_ready_at": "2031-03-05T12:00:00+00:00",
            }
        ],
        "next_cursor": None,
    },
    schemas.WorkerList: {
        "items": [
            {
                "worker_id": WORKER_ID,
                "node_id": "web-1",
                "status": "active",
                "queues": None,
                "job_types": ["http", "python"],
                "concurrency": 10,
                "running": 8,
                "started_at": "2031-03-05T00:00:00+00:00",
                "last_beat_at": "2031-03-05T12:00:00+00:00",
                "lease": "00:00:10",
                "stopped_at": None,
            }
        ],
        "next_cursor": None,
    },
    schemas.Statistics: {
        "from_time": "2031-03-05T11:00:00+00:00",
        "to_time": "2031-03-05T12:00:00+00:00",
        "step": "01:00:00",
        "items": [
            {
                "at": "2031-03-05T11:00:00+00:00",
                "queue": "default",
                "job_type": "http",
                "succeeded": 1200,
                "failed": 2,
                "cancelled": 0,
                "expired": 0,
                "retried": 7,
                "wait_seconds": 14.2,
                "run_seconds": 801.7,
                "max_wait_seconds": 0.4,
                "max_run_seconds": 12.1,
            }
        ],
    },
    Liveness: {"status": "alive"},
    Readiness: {"status": "ready", "reasons": []},
}
