# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables of usage in PostgreSQL, as steps with numbers. A step that was released is never changed; another follows.

A row of usage.minutes is what one gateway passed on in one minute for one key, team, person, model, instance and
outcome. usage.positions keeps how far each gateway's log is booked, in the same transaction as the rows.
"""

from __future__ import annotations

STEPS = (
    """
CREATE TABLE usage.minutes (
  minute timestamptz NOT NULL,
  gateway text NOT NULL,
  key text NOT NULL,
  team text NOT NULL,
  person text NOT NULL,
  model text NOT NULL,
  instance text NOT NULL,
  outcome text NOT NULL,
  requests bigint NOT NULL,
  prompt_tokens bigint NOT NULL,
  completion_tokens bigint NOT NULL,
  cached_tokens bigint NOT NULL,
  cost numeric NOT NULL,
  seconds double precision NOT NULL,
  first_seconds double precision NOT NULL,
  first_requests bigint NOT NULL,
  uncounted bigint NOT NULL,
  PRIMARY KEY (minute, gateway, key, team, person, model, instance, outcome)
) PARTITION BY RANGE (minute);

CREATE TABLE usage.positions (
  gateway text PRIMARY KEY,
  file text NOT NULL,
  "offset" bigint NOT NULL,
  booked timestamptz NOT NULL DEFAULT now(),
  lines bigint NOT NULL DEFAULT 0,
  unreadable bigint NOT NULL DEFAULT 0,
  missed bigint NOT NULL DEFAULT 0
);

CREATE FUNCTION usage.advance(
  of_gateway text, from_file text, from_offset bigint, to_file text, to_offset bigint, booked_lines bigint,
  unreadable_lines bigint, missed_files bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE usage.positions SET file = to_file, "offset" = to_offset, booked = now(), lines = lines + booked_lines,
    unreadable = unreadable + unreadable_lines, missed = missed + missed_files
  WHERE gateway = of_gateway AND file = from_file AND "offset" = from_offset;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'these lines of % are booked already', of_gateway;
  END IF;
END $$;

CREATE VIEW usage.days AS
  SELECT (minute AT TIME ZONE 'UTC')::date AS day, key, team, person, model, instance, outcome,
    sum(requests) AS requests, sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens,
    sum(cached_tokens) AS cached_tokens, sum(cost) AS cost, sum(seconds) AS seconds,
    sum(first_seconds) AS first_seconds, sum(first_requests) AS first_requests, sum(uncounted) AS uncounted
  FROM usage.minutes GROUP BY 1, 2, 3, 4, 5, 6, 7;

CREATE VIEW usage.months AS
  SELECT date_trunc('month', day)::date AS month, key, team, person, model, instance, outcome,
    sum(requests) AS requests, sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens,
    sum(cached_tokens) AS cached_tokens, sum(cost) AS cost, sum(seconds) AS seconds,
    sum(first_seconds) AS first_seconds, sum(first_requests) AS first_requests, sum(uncounted) AS uncounted
  FROM usage.days GROUP BY 1, 2, 3, 4, 5, 6, 7;
""",
)

# A number that only programs which change these tables lock.
LOCK = "SELECT pg_advisory_xact_lock(7316924185);"
VERSION = "SELECT to_regclass('usage.steps') IS NOT NULL;"
BEGIN_STEPS = """
CREATE SCHEMA IF NOT EXISTS usage;
CREATE TABLE IF NOT EXISTS usage.steps (number integer PRIMARY KEY, made timestamptz NOT NULL DEFAULT now());
"""


def missing(number: int) -> str:
    """Return the SQL of the steps that follow a number."""
    made = "INSERT INTO usage.steps VALUES"
    return "\n".join(f"{STEPS[step]}\n{made} ({step + 1});" for step in range(number, len(STEPS)))
