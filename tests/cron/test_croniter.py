"""croniter as a second oracle, in UTC and within the limits in which it follows the same rules.

Left out: `N/step`, ranges of one value (taken for the whole cycle), L, W and # beside a restricted other day
field, `*/n` beside a full day-of-week, `+`, and what croniter has not (`LW`, `L-n`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from croniter import CroniterBadDateError, croniter
from psycopg import Connection

from tests.cron.generate import Question, random_field, random_plain
from tests.cron.test_oracle import answers, differences


def random_text(random: Random) -> str:
    """Returns an expression that croniter reads as we do."""
    by_date, by_weekday = random.choice(
        [
            ("*", "*"),
            (random_plain(random, 1, 31), "*"),
            (f"*/{random.randint(2, 15)}", "*"),
            ("*", random_plain(random, 0, 6)),
            (random_plain(random, 1, 31), str(random.randint(0, 6))),
            ("L", "*"),
            (f"{random.randint(1, 28)}W", "*"),
            ("*", f"{random.randint(0, 6)}#{random.randint(1, 5)}"),
        ]
    )
    fields = [
        random_field(random, 0, 59, star=0.3),
        random_field(random, 0, 23, star=0.3),
        by_date,
        random_field(random, 1, 12, star=0.6),
        by_weekday,
    ]
    if random.random() < 0.3:
        fields.insert(0, random_field(random, 0, 59, star=0.2))
    return " ".join(fields)


def test_croniter_agrees_in_utc(cron: Connection[Any]) -> None:
    random = Random(23)
    questions: list[Question] = []
    wanted: list[datetime | None] = []
    while len(questions) < 5_000:
        after = datetime(1980, 1, 1, tzinfo=UTC) + timedelta(seconds=random.randrange(50 * 365 * 86_400))
        text = random_text(random)
        if re.search(r"\b(\d+)-\1\b", text):
            continue
        try:
            wanted.append(croniter(text, after, second_at_beginning=True).get_next(datetime))
        except CroniterBadDateError:
            continue  # never fires
        questions.append(Question(text, "UTC", "debian", after))
    assert differences(questions, answers(cron, questions), wanted) == []
