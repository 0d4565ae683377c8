-- How records get onto the streams of the prediction log and of shadow experiments. A script that uses any of it ends with
-- `write_counts()`.
--
-- Bytes of records that may wait for the observer: about a quarter of a million rows of ten inputs. Chunks of files and
-- the rows of candidates are added to a quarter at most, so that requests have room.
local MOST_LOGGED, MOST_LOGGED_BEFORE = 64 * 1024 * 1024, 16 * 1024 * 1024
-- Bytes of records that may wait for the candidate of one experiment.
local MOST_SHADOWED = 8 * 1024 * 1024
local LOGGED, SHADOW = 'mg:logged', 'mg:shadow:'

-- Adds an entry with records of `size` bytes to a stream, unless more than `most` bytes would wait in it. Returns whether
-- it did. A full stream, or a worker that has replaced it, must not fail the script.
local function add_within(most, stream, size, entry)
  local waiting = redis.pcall('INCRBY', stream .. ':bytes', size)
  if type(waiting) == 'number' and waiting <= most then
    if type(redis.pcall('XADD', stream, '*', unpack(entry))) == 'string' then return true end
  end
  redis.pcall('DECRBY', stream .. ':bytes', size)
  return false
end

-- Notes that there was no room for rows of an experiment, beside the `others` that its next entry was to tell.
local function drop_shadowed(experiment, model, rows, others)
  local key = SHADOW .. experiment .. ':dropped'
  redis.pcall('INCRBY', key, rows + others)
  call('EXPIRE', key, KEEP_SHADOWED)
  count('model:' .. model, 'shadow_rows_total|dropped', rows)
end

-- Gives the prediction log the records in ARGV from `first` on (`log_arguments` in broker/state/prediction_log.py), all in
-- one entry, with the ids of jobs that were not answered. Returns their rows if there was no room, else nil.
local function log_records(first, without, most)
  local entry, rows, size = { 'version', ARGV[first] }, 0, 0
  if #without > 0 then entry[3], entry[4] = 'without', table.concat(without, ' ') end
  for i = first + 1, #ARGV, 4 do
    entry[#entry + 1], entry[#entry + 2] = i, ARGV[i + 1]
    rows, size = rows + tonumber(ARGV[i]), size + #ARGV[i + 1]
  end
  if not add_within(most, LOGGED, size, entry) then return rows end
end

-- Lets each of the same records that belongs to an experiment wait for its candidate, in an entry of its own.
local function shadow_records(first, without)
  local model = string.match(ARGV[first], '^[^@]*')
  for i = first + 1, #ARGV, 4 do
    local rows, line, experiment = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    if experiment ~= '' then
      if ARGV[i + 3] ~= '' then line = ARGV[i + 3] end
      local stream = SHADOW .. experiment
      local dropped = redis.pcall('GET', stream .. ':dropped') or 0
      local entry = { 'version', ARGV[first], 'rows', rows, 'dropped', whole(dropped) or 0, 'without',
        table.concat(without, ' '), 'record', line }
      if add_within(MOST_SHADOWED, stream, #line, entry) then
        call('DEL', stream .. ':dropped')
      else
        drop_shadowed(experiment, model, rows, 0)
      end
      call('EXPIRE', stream, KEEP_SHADOWED)
      call('EXPIRE', stream .. ':bytes', KEEP_SHADOWED)
    end
  end
end
