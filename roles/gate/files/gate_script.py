# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script with which gates count in a Valkey or Redis that they share. It runs there, one call at a time.

KEYS[1] is the set of the gates by the time at which their lease ends; all other keys begin with the same prefix:

    llmfleet:gates          sorted set: name of a gate -> end of its lease, seconds since the epoch
    llmfleet:gate:NAME      hash of a gate: name of a count -> its requests in flight
    llmfleet:minute:NUMBER  hash of a minute: r/NAME -> requests, t/NAME -> tokens; it expires
    llmfleet:spent:PER:DATE hash of a day, week or month that begins on this date: NAME -> units of 1e-9; it expires

A gate that is killed gives nothing back, so its hash goes when its lease is over. Gates whose requests in flight count
are those of the set, and each call first removes those that are over. ARGV[1] is what to do, ARGV[2] the gate:

    join LEASE MINUTE N {NAME COUNT} x N {NAME REQUESTS TOKENS OWED_REQUESTS OWED_TOKENS}...
        take a gate with what it holds. Requests and tokens of this minute are those known to it if here are fewer, as
        after a loss of data, and what it admitted while it could not ask is added.
    admit N {INDEX PER UNITS} x N {NAME RPM TPM PARALLEL}...    a limit that does not apply is empty
        "ok NOW {REQUESTS TOKENS}... {SPENT} x N" and the request is counted, or "LIMIT NOW INDEX SPENT" and nothing is,
        where LIMIT is one of `budget`, `rpm`, `tpm`, `parallel`, SPENT is said of a budget alone, and INDEX is that of
        a NAME from 0; "unknown" if the gate has to join first.
    end TOKENS UNITS {NAME WHAT}...     WHAT has a t where tokens are counted, a p where requests in flight are, and a b
        where costs are
    beat LEASE                          "ok", or "unknown"
    spent NAME...                       "ok NOW {DAY WEEK MONTH}...", or "unknown"
    restore DAY WEEK MONTH {NAME DAY WEEK MONTH OWED_DAY OWED_WEEK OWED_MONTH}...
        the periods' dates, and what was spent in them as far as the gate knows, which counts if here is less; what it
        owes is added. Periods that are over are left alone.
    leave
"""

from __future__ import annotations

GATES = "llmfleet:gates"
SCRIPT = """
local gates, act, me = KEYS[1], ARGV[1], ARGV[2]
local time = redis.call('TIME')
local seconds = tonumber(time[1])
local now = string.format('%d.%06d', seconds, tonumber(time[2]))
local number = math.floor(seconds / 60)
local minute, mine = 'llmfleet:minute:' .. number, 'llmfleet:gate:' .. me

for _, gate in ipairs(redis.call('ZRANGEBYSCORE', gates, '-inf', now)) do
  redis.call('DEL', 'llmfleet:gate:' .. gate)
  redis.call('ZREM', gates, gate)
end

-- The date of a day since the epoch; the calendar's years are counted from March (Howard Hinnant, chrono-Compatible
-- Low-Level Date Algorithms).
local function date(day)
  local whole = math.floor
  local era = whole((day + 719468) / 146097)
  local rest = day + 719468 - era * 146097
  local year = whole((rest - whole(rest / 1460) + whole(rest / 36524) - whole(rest / 146096)) / 365)
  local of_year = rest - (365 * year + whole(year / 4) - whole(year / 100))
  local month = whole((5 * of_year + 2) / 153)
  local of_month = of_year - whole((153 * month + 2) / 5) + 1
  month = month < 10 and month + 3 or month - 9
  return string.format('%04d-%02d-%02d', year + era * 400 + (month <= 2 and 1 or 0), month, of_month)
end

local kinds, ages = {'day', 'week', 'month'}, {2, 8, 32}
local function periods()
  local day = math.floor(seconds / 86400)
  local today = date(day)
  local dates = {today, date(day - (day + 3) % 7), string.sub(today, 1, 8) .. '01'}
  local keys = {}
  for place, kind in ipairs(kinds) do keys[place] = 'llmfleet:spent:' .. kind .. ':' .. dates[place] end
  return keys, dates
end

local function lease()
  redis.call('ZADD', gates, string.format('%.6f', tonumber(now) + tonumber(ARGV[3])), me)
end

if act == 'admit' then
  if not redis.call('ZSCORE', gates, me) then return 'unknown' end
  local fields, names, most, index, spent = {}, {}, {}, {}, ''
  local budgets = tonumber(ARGV[3])
  local first = 4 + budgets * 3
  local told, rows = false, (#ARGV - first + 1) / 4
  if budgets > 0 then
    local keys, of = periods(), {}
    for place, kind in ipairs(kinds) do of[kind] = keys[place] end
    for place = 4, first - 1, 3 do
      local count = redis.call('HGET', of[ARGV[place + 1]], ARGV[first + ARGV[place] * 4]) or '0'
      if tonumber(count) >= tonumber(ARGV[place + 2]) then
        return 'budget ' .. now .. ' ' .. ARGV[place] .. ' ' .. count
      end
      spent = spent .. ' ' .. count
    end
  end
  for row = 0, rows - 1 do
    local name = ARGV[first + row * 4]
    fields[row * 2 + 1], fields[row * 2 + 2] = 'r/' .. name, 't/' .. name
    told = told or ARGV[first + row * 4 + 1] ~= '' or ARGV[first + row * 4 + 2] ~= ''
    if ARGV[first + row * 4 + 3] ~= '' then
      names[#names + 1], most[#most + 1], index[#index + 1] = name, tonumber(ARGV[first + row * 4 + 3]), row
    end
  end
  local used = told and redis.call('HMGET', minute, unpack(fields)) or fields
  for row = 0, rows - 1 do
    for place, limit in ipairs({'rpm', 'tpm'}) do
      local count = told and tonumber(used[row * 2 + place]) or 0
      used[row * 2 + place] = count
      local given = tonumber(ARGV[first + row * 4 + place])
      if given and count >= given then return limit .. ' ' .. now .. ' ' .. row end
    end
  end
  if #names > 0 then
    local running = {}
    for _, gate in ipairs(redis.call('ZRANGE', gates, 0, -1)) do
      for place, count in ipairs(redis.call('HMGET', 'llmfleet:gate:' .. gate, unpack(names))) do
        running[place] = (running[place] or 0) + (tonumber(count) or 0)
      end
    end
    for place, count in ipairs(running) do
      if count >= most[place] then return 'parallel ' .. now .. ' ' .. index[place] end
    end
  end
  for row = 0, rows - 1 do
    if ARGV[first + row * 4 + 1] ~= '' then
      used[row * 2 + 1] = redis.call('HINCRBY', minute, fields[row * 2 + 1], 1)
      if used[row * 2 + 1] == 1 then redis.call('EXPIRE', minute, 120) end
    end
  end
  for _, name in ipairs(names) do redis.call('HINCRBY', mine, name, 1) end
  return 'ok ' .. now .. ' ' .. table.concat(used, ' ') .. spent
end

if act == 'end' then
  local here = redis.call('ZSCORE', gates, me)
  local tokens, cost, keys = tonumber(ARGV[3]), ARGV[4], nil
  for place = 5, #ARGV, 2 do
    local name, what = ARGV[place], ARGV[place + 1]
    if cost ~= '0' and string.find(what, 'b') then
      keys = keys or periods()
      -- A count that is as large as one can be stays so.
      for _, key in ipairs(keys) do redis.pcall('HINCRBY', key, name, cost) end
    end
    if tokens > 0 and string.find(what, 't') then
      redis.call('HINCRBY', minute, 't/' .. name, tokens)
      redis.call('EXPIRE', minute, 120)
    end
    if here and string.find(what, 'p') and redis.call('HINCRBY', mine, name, -1) < 1 then
      redis.call('HDEL', mine, name)
    end
  end
  for place, key in ipairs(keys or {}) do redis.call('EXPIRE', key, ages[place] * 86400) end
  return 'ok'
end

if act == 'join' then
  lease()
  redis.call('DEL', mine)
  local first = 6 + tonumber(ARGV[5]) * 2
  for place = 6, first - 1, 2 do redis.call('HSET', mine, ARGV[place], ARGV[place + 1]) end
  if tonumber(ARGV[4]) == number then
    for place = first, #ARGV, 5 do
      for offset, kind in ipairs({'r/', 't/'}) do
        local field = kind .. ARGV[place]
        local had = tonumber(redis.call('HGET', minute, field)) or 0
        local new = math.max(had, tonumber(ARGV[place + offset])) + tonumber(ARGV[place + offset + 2])
        if new > had then redis.call('HSET', minute, field, new) end
      end
    end
    redis.call('EXPIRE', minute, 120)
  end
  return 'ok ' .. now
end

if act == 'spent' then
  if not redis.call('ZSCORE', gates, me) then return 'unknown' end
  local keys, told = periods(), {}
  for place = 3, #ARGV do
    for _, key in ipairs(keys) do told[#told + 1] = redis.call('HGET', key, ARGV[place]) or '0' end
  end
  return 'ok ' .. now .. ' ' .. table.concat(told, ' ')
end

if act == 'restore' then
  local keys, dates = periods()
  for period, key in ipairs(keys) do
    if dates[period] == ARGV[period + 2] then
      for place = 6, #ARGV, 7 do
        local name, known, owed = ARGV[place], ARGV[place + period], ARGV[place + period + 3]
        if tonumber(known) > tonumber(redis.call('HGET', key, name) or '0') then
          redis.call('HSET', key, name, known)
        end
        if owed ~= '0' then redis.pcall('HINCRBY', key, name, owed) end
      end
      redis.call('EXPIRE', key, ages[period] * 86400)
    end
  end
  return 'ok ' .. now
end

if act == 'beat' then
  if not redis.call('ZSCORE', gates, me) then return 'unknown' end
  lease()
  return 'ok'
end

redis.call('DEL', mine)
redis.call('ZREM', gates, me)
return 'ok'
"""
