-- Takes cells for gates: for each as many as all three of its buckets hold, and the same number from all three.
-- (GCRA: a bucket is the time at which it will be full again, in microseconds of this server's clock.)
--
-- KEYS: since, processes, everybody's bucket; then for each gate those of its client and of its class.
-- ARGV: whether the caller knows that cells were given that this memory does not know of ('1'); the microseconds
--       to settle; the caller's name, or '' if it was told lately; rate and burst of everybody; then for each gate:
--       cells that are needed, to take ahead, and to take in reserve from buckets that are more than half full;
--       rate and burst of the client, rate and burst of the class.
-- Returns: microseconds until cells are given (0: they were), microseconds since they are, how many processes
--          there are (0: did not count); then for each gate: cells given, cells in reserve, microseconds until
--          there is one more, the level (1, 2, 3) that was the narrowest, cells left there, microseconds until it
--          is full.
--
-- `since` is the time from which this memory is all there is: then, every bucket counts as empty. It lies ahead
-- for as long as processes may still give cells by themselves; until then none are given here.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local settle = tonumber(ARGV[2])

local since = tonumber(redis.call('GET', KEYS[1]) or -1)
-- The third: a clock that went back.
if since < 0 or (ARGV[1] == '1' and since <= now) or since > now + settle then
    since = now + settle
    redis.call('SET', KEYS[1], string.format('%.0f', since))
end

local processes = 0
if ARGV[3] ~= '' then
    redis.call('ZADD', KEYS[2], now, ARGV[3])
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - 10000000)
    processes = redis.call('ZCARD', KEYS[2])
end

if since > now then
    return {since - now, 0, processes}
end

local function bucket(key, rate, burst)
    -- Rounded up, so that what is lost by rounding is never gained by the clients.
    local interval = math.ceil(1000000 / rate)
    local depth = interval * burst
    -- One that is not there is full, unless it has been empty too lately; and none is worse than empty.
    local full_at = math.max(now, since + depth, tonumber(redis.call('GET', key) or 0))
    full_at = math.min(full_at, now + depth)
    return {key = key, burst = burst, interval = interval, depth = depth, full_at = full_at}
end

local function cells(of)
    return math.floor((now + of.depth - of.full_at) / of.interval)
end

local function save(of)
    if of.full_at > now then
        redis.call('SET', of.key, string.format('%.0f', of.full_at), 'PX', math.ceil((of.full_at - now) / 1000))
    end
end

local answer = {0, now - since, processes}
local everybody = bucket(KEYS[3], tonumber(ARGV[4]), tonumber(ARGV[5]))
local gates = (#KEYS - 3) / 2
for gate = 0, gates - 1 do
    local key, arg = 4 + 2 * gate, 6 + 7 * gate
    local needed, ahead, reserve = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2])
    local levels = {
        everybody,
        bucket(KEYS[key], tonumber(ARGV[arg + 3]), tonumber(ARGV[arg + 4])),
        bucket(KEYS[key + 1], tonumber(ARGV[arg + 5]), tonumber(ARGV[arg + 6])),
    }
    local held = math.min(cells(levels[1]), cells(levels[2]), cells(levels[3]))
    local whole = math.min(levels[1].burst, levels[2].burst, levels[3].burst)
    local given = math.min(needed, held)
    -- What is taken ahead may be lost: so no more than half of what is left for others.
    given = given + math.min(ahead, math.floor((held - given) / 2))
    local reserved = math.max(0, math.min(reserve, held - given - math.floor(whole / 2)))
    local wait, narrowest, left, left_wait = 0, 1, nil, nil
    for level = 1, 3 do
        local of = levels[level]
        of.full_at = of.full_at + (given + reserved) * of.interval
        local of_left, of_wait = cells(of), of.full_at + of.interval - of.depth - now
        wait = math.max(wait, of_wait)
        if left == nil or of_left < left or (of_left == left and of_wait > left_wait) then
            narrowest, left, left_wait = level, of_left, of_wait
        end
    end
    save(levels[2])
    save(levels[3])
    for _, number in ipairs({given, reserved, wait, narrowest, left, levels[narrowest].full_at - now}) do
        answer[#answer + 1] = number
    end
end
save(everybody)
return answer
