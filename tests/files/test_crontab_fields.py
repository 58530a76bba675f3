"""Schedules and commands of crontabs in pgtick's terms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.crontab_fields import CronFieldError, split_command, translate_schedule


@pytest.mark.parametrize(
    ("cron", "ours"),
    [
        ("* * * * *", "* * * * *"),
        ("@daily", "@daily"),
        ("*/15\t0-6/2,22  1-7 JAN,jul *", "*/15 0-6/2,22 1-7 JAN,jul *"),
        ("0 9 13 * fri", "0 9 13 * fri"),
        ("0 9 */2 * 1-5", "0 9 */2 * +1-5"),
        ("0 9 1 * */2", "0 9 1 * +*/2"),
        ("0 9 */2 * */3", "0 9 */2 * +*/3"),
        ("0 9 */2,1 * 5", "0 9 */2,1 * +5"),
        ("0 9 *,1 * 5", "0 9 *,1 * 5"),
        ("0 9 1,* * 5", "0 9 1,* * 5"),
        ("0 9 * * */2", "0 9 * * */2"),
        ("0 9 */2 * *", "0 9 */2 * *"),
        ("~ * * * *", "H(0-59) * * * *"),
        ("0~29 ~5 3~3 4~ ~", "H(0-29) H(0-5) 3 H(4-12) H(0-6)"),
        ("~/10 * * * *", "H(0-59)/10 * * * *"),
        ("0,10~20 * * * *", "0,H(10-20) * * * *"),
    ],
)
def test_translated(cron: str, ours: str) -> None:
    assert translate_schedule(cron) == ours


@pytest.mark.parametrize(
    ("cron", "what", "hint"),
    [
        ("@reboot", "@reboot", "systemd"),
        ("5/15 * * * *", "step without a range", "5-59/15"),
        ("0 0 * * mon/2", "step without a range", "mon-6/2"),
        ("0 0 L * *", '"L" in the day-of-month field', "crontab(5)"),
        ("0 0 15W * *", "day-of-month", "crontab(5)"),
        ("H * * * *", "minute", "crontab(5)"),
        ("0 0 ? * *", "day-of-month", "crontab(5)"),
        ("0 0 * * +1", "day-of-week", "crontab(5)"),
        ("1,,2 * * * *", '""', "crontab(5)"),
        ("1~2~3 * * * *", "minute", "crontab(5)"),
        ("9" * 5000 + "~ * * * *", "minute", "crontab(5)"),
    ],
)
def test_refused(cron: str, what: str, hint: str) -> None:
    with pytest.raises(CronFieldError) as caught:
        translate_schedule(cron)
    assert what in caught.value.what
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("line", "command", "stdin"),
    [
        ("echo hi", "echo hi", None),
        (r"date +\%Y-\%m", "date +%Y-%m", None),
        ("cat%a%b", "cat", "a\nb\n"),
        ("cat%a%", "cat", "a\n"),
        ("cat%a%%", "cat", "a\n\n"),
        ("cat%", "cat", ""),
        (r"cat%100\% of%x", "cat", "100% of\nx\n"),
        (r"echo \\%in", "echo " + "\\\\", "in\n"),
        (r"echo \n \\ \x", r"echo \n \\ \x", None),
        (r"cat%\n \\", "cat", "\\n \\\\\n"),
        ("cat%\\", "cat", "\\"),
        ("cat%a%\\", "cat", "a\n\\"),
        (r"cat%a\\b", "cat", "a\\\\b\n"),
        ("cat%x\\", "cat", "x\\\n"),
        (r"printf '\%s\n' a%in", r"printf '%s\n' a", "in\n"),
    ],
)
def test_percent_signs(line: str, command: str, stdin: str | None) -> None:
    assert split_command(line) == (command, stdin)


@given(st.text(alphabet="ab \\\n", max_size=40))
def test_a_command_without_percent_signs_stays_as_it_is(text: str) -> None:
    assert split_command(text) == (text, None)


@given(st.lists(st.text(alphabet="ab %", max_size=8), min_size=1, max_size=5))
def test_escaped_percent_signs_come_back(parts: list[str]) -> None:
    command, *lines = parts
    escaped = [part.replace("%", "\\%") for part in parts]
    expected = "\n".join(lines)
    if lines and expected and not expected.endswith("\n"):
        expected += "\n"
    assert split_command("%".join(escaped)) == (command, expected if lines else None)
