# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script with which gates count in a Valkey or Redis that they share. It runs there, one call at a time.

KEYS[1] is the set of the gates by the time at which their lease ends; all other keys begin with the same prefix:

    llmfleet:gates          sorted set: name of a gate -> end of its lease, seconds since the epoch
    llmfleet:gate:NAME      hash of a gate: name of a count -> its requests in flight
    llmfleet:minute:NUMBER  hash of a minute: r/NAME -> requests, t/NAME -> tokens; it expires

A gate that is killed gives nothing back, so its hash goes when its lease is over. Gates whose requests in flight count
are those of the set, and each call first removes those that are over. ARGV[1] is what to do, ARGV[2] the gate:

    join LEASE MINUTE N {NAME COUNT} x N {NAME REQUESTS TOKENS OWED_REQUESTS OWED_TOKENS}...
        take a gate with what it holds. Requests and tokens of this minute are those known to it if here are fewer, as
        after a loss of data, and what it admitted while it could not ask is added.
    admit {NAME RPM TPM PARALLEL}...    a limit that does not apply is empty
        "ok NOW {REQUESTS TOKENS}..." and the request is counted, or "LIMIT NOW INDEX" and nothing is, where LIMIT is
        one of `rpm`, `tpm`, `parallel`, and INDEX counts from 0; "unknown" if the gate has to join first.
    end TOKENS {NAME WHAT}...           WHAT has a t where tokens are counted, and a p where requests in flight are
    beat LEASE                          "ok", or "unknown"
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

local function lease()
  redis.call('ZADD', gates, string.format('%.6f', tonumber(now) + tonumber(ARGV[3])), me)
end

if act == 'admit' then
  if not redis.call('ZSCORE', gates, me) then return 'unknown' end
  local fields, names, most, index = {}, {}, {}, {}
  local told, rows = false, (#ARGV - 2) / 4
  for row = 0, rows - 1 do
    local name = ARGV[row * 4 + 3]
    fields[row * 2 + 1], fields[row * 2 + 2] = 'r/' .. name, 't/' .. name
    told = told or ARGV[row * 4 + 4] ~= '' or ARGV[row * 4 + 5] ~= ''
    if ARGV[row * 4 + 6] ~= '' then
      names[#names + 1], most[#most + 1], index[#index + 1] = name, tonumber(ARGV[row * 4 + 6]), row
    end
  end
  local used = told and redis.call('HMGET', minute, unpack(fields)) or fields
  for row = 0, rows - 1 do
    for place, limit in ipairs({'rpm', 'tpm'}) do
      local count = told and tonumber(used[row * 2 + place]) or 0
      used[row * 2 + place] = count
      local given = tonumber(ARGV[row * 4 + 3 + place])
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
    if ARGV[row * 4 + 4] ~= '' then
      used[row * 2 + 1] = redis.call('HINCRBY', minute, fields[row * 2 + 1], 1)
      if used[row * 2 + 1] == 1 then redis.call('EXPIRE', minute, 120) end
    end
  end
  for _, name in ipairs(names) do redis.call('HINCRBY', mine, name, 1) end
  return 'ok ' .. now .. ' ' .. table.concat(used, ' ')
end

if act == 'end' then
  local here = redis.call('ZSCORE', gates, me)
  local tokens = tonumber(ARGV[3])
  for place = 4, #ARGV, 2 do
    local name, what = ARGV[place], ARGV[place + 1]
    if tokens > 0 and string.find(what, 't') then
      redis.call('HINCRBY', minute, 't/' .. name, tokens)
      redis.call('EXPIRE', minute, 120)
    end
    if here and string.find(what, 'p') and redis.call('HINCRBY', mine, name, -1) < 1 then
      redis.call('HDEL', mine, name)
    end
  end
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

if act == 'beat' then
  if not redis.call('ZSCORE', gates, me) then return 'unknown' end
  lease()
  return 'ok'
end

redis.call('DEL', mine)
redis.call('ZREM', gates, me)
return 'ok'
"""
