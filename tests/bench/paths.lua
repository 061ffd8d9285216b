-- SPDX-License-Identifier: Apache-2.0
-- For wrk: walks the paths of a file in turn from a random one on; prints its result as JSON. Arguments: the file, and
-- optionally a bearer token.
local requests, at = {}, 0

function init(args)
   local headers = args[2] and { Authorization = "Bearer " .. args[2] } or nil
   for path in io.lines(args[1]) do
      requests[#requests + 1] = wrk.format("GET", path, headers)
   end
   math.randomseed(os.time())
   at = math.random(#requests)
end

function request()
   at = at % #requests + 1
   return requests[at]
end

function done(summary, latency, _)
   local errors = summary.errors
   print(string.format(
      'RESULT {"requests": %d, "seconds": %f, "failures": %d, "p50_ms": %f, "p99_ms": %f}', summary.requests,
      summary.duration / 1e6, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
      latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
