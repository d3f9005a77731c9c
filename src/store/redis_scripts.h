// redis_scripts.h - what runs inside Redis. Each is one atomic step there; all keys share one hash tag.
//
// A record is a hash {version, revision, bytes}: version "EPOCH:COUNTER:COMMIT", revision the newest that its history
// ever had. Its history is a stream whose ids are the revisions ("7-0"). An index, a sorted set with one score, has the
// keys in byte order. Numbers stay text wherever a Lua number (53 bits) would round them.
#pragma once

namespace syzygy {

// KEYS: epoch, counter, index, then record and history of each change.
// ARGV: the epoch's value, channel, handle, number of changes; then of each change: key, expected version or "", commit
//       id, bytes, floor, "1" to tell others, number of rows, and of each row: revision, bytes.
// Looks at everything before it writes anything: a script is not rolled back. Its first write tells whether Redis takes
// writes at all (memory, disk, replica); the record is written last of what belongs to a change.
// Answers, each after the server's time (seconds, microseconds):
//   "epoch", the value or ""      another life of the store; nothing was done
//   "falls", change, newest       its history does not rise; nothing was done
//   "denied", error               nothing was done
//   "torn", error                 something was done, and something not
//   "done", of each change        its counter; or, as a conflict: {version, bytes}, {} of what is absent or big
inline constexpr char kRedisCommit[] = R"lua(
local time = redis.call('TIME')
local epoch = redis.call('GET', KEYS[1])
if epoch ~= ARGV[1] then return {time[1], time[2], 'epoch', epoch or ''} end
redis.call('STRLEN', KEYS[2])
redis.call('ZCARD', KEYS[3])

local function above(a, b)
  return #a > #b or (#a == #b and a > b)
end

local changes = {}
local at = 5
for i = 1, tonumber(ARGV[4]) do
  local c = {key = ARGV[at], commit = ARGV[at + 2], bytes = ARGV[at + 3], floor = ARGV[at + 4],
             told = ARGV[at + 5] == '1', rows = tonumber(ARGV[at + 6]), first = at + 7,
             record = KEYS[2 * i + 2], history = KEYS[2 * i + 3]}
  local stored = redis.call('HMGET', c.record, 'version', 'revision')
  c.absent = not stored[1]
  c.fits = (stored[1] or '') == ARGV[at + 1]
  c.revision = stored[2] or '0'
  if c.fits then
    redis.call('XLEN', c.history)
    if c.rows > 0 and not above(ARGV[c.first], c.revision) then return {time[1], time[2], 'falls', i, c.revision} end
  end
  at = c.first + 2 * c.rows
  changes[i] = c
end

local wrote, failed = false, nil
local function write(...)
  if failed then return nil end
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    failed = reply.err
    return nil
  end
  wrote = true
  return reply
end

local done, told = {time[1], time[2], 'done'}, 0
for i, c in ipairs(changes) do
  done[i + 3] = {}
  if not c.fits and not c.absent and told < 8388608 then
    local held = redis.call('HMGET', c.record, 'version', 'bytes')
    told = told + #(held[2] or '')
    if told < 8388608 then done[i + 3] = held end
  elseif c.fits and not failed then
    local counter = write('INCR', KEYS[2])
    if not failed then
      local text = string.format('%.0f', counter)
      local version = string.sub(epoch, 3) .. ':' .. text .. ':' .. c.commit
      for row = c.first, c.first + 2 * c.rows - 1, 2 do
        write('XADD', c.history, ARGV[row] .. '-0', 'bytes', ARGV[row + 1])
        c.revision = ARGV[row]
      end
      if c.floor ~= '0' then write('XTRIM', c.history, 'MINID', c.floor) end
      if c.absent then write('ZADD', KEYS[3], '0', c.key) end
      write('HSET', c.record, 'version', version, 'revision', c.revision, 'bytes', c.bytes)
      if c.told and not failed then
        redis.pcall('PUBLISH', ARGV[2], ARGV[3] .. ' ' .. version .. ' ' .. c.key)
      end
      done[i + 3] = text
    end
  end
end
if failed then return {time[1], time[2], wrote and 'torn' or 'denied', failed} end
return done
)lua";

// KEYS: epoch, index. ARGV: lowest and highest key as ZRANGEBYLEX has them, how many, what a record's key begins with,
// "1" in a cluster. Gives the server's time (seconds, microseconds), the epoch's value or "", and then key, version,
// key, version ... A record that the index has and this node has not is on its way to another node of the cluster, or
// was evicted where somebody allowed that.
inline constexpr char kRedisScan[] = R"lua(
local time = redis.call('TIME')
local page = {time[1], time[2], redis.call('GET', KEYS[1]) or ''}
for _, key in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], ARGV[1], ARGV[2], 'LIMIT', '0', ARGV[3])) do
  local version = redis.call('HGET', ARGV[4] .. key, 'version')
  if version then
    page[#page + 1] = key
    page[#page + 1] = version
  elseif ARGV[5] == '1' then
    return redis.error_reply('TRYAGAIN the record ' .. key .. ' is on its way to another node')
  end
end
return page
)lua";

// KEYS: counter, record, history, index, all of them of its own. ARGV: channel.
// Does once what a commit does, so that a missing permission shows at the start and not within a commit: the errors.
inline constexpr char kRedisProbe[] = R"lua(
local errors = {}
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then errors[#errors + 1] = reply.err end
end
try('TIME')
try('INCR', KEYS[1])
try('STRLEN', KEYS[1])
try('HSET', KEYS[2], 'probe', '1')
try('HMGET', KEYS[2], 'probe')
try('HGET', KEYS[2], 'probe')
try('XADD', KEYS[3], 'MAXLEN', '1', '*', 'probe', '1')
try('XLEN', KEYS[3])
try('XTRIM', KEYS[3], 'MINID', '1')
try('ZADD', KEYS[4], '0', 'probe')
try('ZCARD', KEYS[4])
try('ZRANGEBYLEX', KEYS[4], '-', '+', 'LIMIT', '0', '1')
try('PUBLISH', ARGV[1], '')
return errors
)lua";

}  // namespace syzygy
