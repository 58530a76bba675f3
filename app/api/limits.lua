-- Takes up to ARGV[1] cells from every bucket at once: as many as the fullest lets, and the same from all.
-- (GCRA: a bucket is the time at which it will be whole again, in microseconds of this server's clock.)
--
-- KEYS: the epoch, the processes, then a bucket for each level.
-- ARGV: cells, the epoch that the caller knows, whether it admitted by itself meanwhile ('1'), its name, then
--       rate (cells a second) and burst (cells) of each bucket.
-- Returns: cells given; microseconds until there is one more; the level that was the narrowest; cells left in it
--       and microseconds until it is whole; the epoch; how many processes there are; whether buckets were emptied
--       within the last second.
--
-- The epoch is when this memory began. A server that has lost its memory, or was away while processes admitted by
-- themselves, must not hand out whole bursts again: then every bucket counts as empty at the epoch.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local wanted = tonumber(ARGV[1])
local known, was_alone, caller = ARGV[2], ARGV[3] == '1', ARGV[4]

local stamp = string.format('%.0f', now)
local epoch = redis.call('GET', KEYS[1])
if not epoch then
    epoch = stamp .. (known ~= '' and ':empty' or ':full')
    redis.call('SET', KEYS[1], epoch)
elseif was_alone then
    epoch = stamp .. ':empty'
    redis.call('SET', KEYS[1], epoch)
elseif known ~= '' and known ~= epoch and string.sub(epoch, -5) == ':full' then
    epoch = string.gsub(epoch, ':full', ':empty')
    redis.call('SET', KEYS[1], epoch)
end
local empty_at = 0
if string.sub(epoch, -6) == ':empty' then
    empty_at = tonumber(string.match(epoch, '^%d+'))
end

redis.call('ZADD', KEYS[2], time[1], caller)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', time[1] - 60)
local processes = redis.call('ZCARD', KEYS[2])

local whole_at, cost, depth = {}, {}, {}
local given, soonest = wanted, 0
for level = 1, #KEYS - 2 do
    cost[level] = 1000000 / ARGV[3 + 2 * level]
    depth[level] = cost[level] * ARGV[4 + 2 * level]
    local at = math.max(now, tonumber(redis.call('GET', KEYS[2 + level]) or 0))
    if empty_at > 0 then
        at = math.max(at, empty_at + depth[level])
    end
    whole_at[level] = at
    given = math.min(given, math.max(0, math.floor((now + depth[level] - at) / cost[level] + 0.000001)))
    soonest = math.max(soonest, at + cost[level] - depth[level] - now)
end
local narrowest, left = 1, nil
for level = 1, #KEYS - 2 do
    whole_at[level] = whole_at[level] + given * cost[level]
    if given > 0 then
        local text = string.format('%.0f', whole_at[level])
        redis.call('SET', KEYS[2 + level], text, 'PX', math.ceil((whole_at[level] - now) / 1000) + 1)
    end
    local cells = math.max(0, math.floor((now + depth[level] - whole_at[level]) / cost[level] + 0.000001))
    if left == nil or cells < left then
        narrowest, left = level, cells
    end
end
return {
    given, math.ceil(math.max(0, soonest)), narrowest, left, math.ceil(whole_at[narrowest] - now), epoch,
    processes, now - empty_at < 1000000 and 1 or 0,
}
