import { Effect } from "effect"
import { type RemoteCalls, isoNow } from "./calls.ts"
import { mergeOverviews, type RemoteLook, type RemoteOverview } from "./merge.ts"
import { type RemoteProcess, Unreachable } from "./processes.ts"

/** The overviews of all processes, merged. Remembers since when a process does not answer. */
export const overviewOver = (calls: RemoteCalls) => {
  const silent = new Map<string, string>()
  const look = (process: RemoteProcess) =>
    Effect.gen(function* () {
      const { url, modules } = process
      const answer = yield* calls.one(process, { method: "GET", path: "/admin/overview" })
      if (answer.status !== 200) return yield* new Unreachable({ why: `it answered ${answer.status}` })
      const overview = JSON.parse(answer.text) as RemoteOverview
      const missing = modules.filter((name) => !overview.modules.some(({ module }) => module === name))
      if (missing.length > 0) return yield* new Unreachable({ why: `${missing.join(", ")} does not run at ${url}` })
      silent.delete(url)
      return { modules, overview } satisfies RemoteLook
    }).pipe(
      Effect.catchTag("Unreachable", ({ why }) =>
        Effect.map(isoNow, (now) => {
          const since = silent.get(process.url) ?? now
          silent.set(process.url, since)
          return { modules: process.modules, since, why } satisfies RemoteLook
        }),
      ),
    )
  return Effect.gen(function* () {
    const looks = yield* Effect.forEach(calls.processes, look, { concurrency: "unbounded" })
    return mergeOverviews(looks, yield* isoNow)
  })
}
