import { Effect, Schema } from "effect"
import type { makeCursors } from "../http/edge/signedPages.ts"
import { InvalidCursor } from "../http/Page.ts"
import { responseOf } from "../http/Problem.ts"
import { type RemoteCalls, json, noneOf, passOn, pathOf, queryOf, type Reply } from "./calls.ts"
import { MergedPosition, mergePages, type RemotePage } from "./merge.ts"
import type { RemoteCall, RemoteProcess } from "./processes.ts"

/** A list that is ordered by ids, over all processes, or over the one of the module in the query. */
export const listOver =
  (calls: RemoteCalls, cursors: ReturnType<typeof makeCursors>) =>
  (call: RemoteCall): Reply =>
    Effect.gen(function* () {
      const path = pathOf(call)
      const { cursor, limit, ...filters } = Object.fromEntries(queryOf(call))
      const name = [
        path,
        ...Object.entries(filters)
          .toSorted(([a], [b]) => (a < b ? -1 : 1))
          .flat(),
      ]
      const from = cursor === undefined ? undefined : yield* positionIn(yield* cursors.open(name, cursor))
      const among = calls.of(filters["module"]).filter(({ url }) => from === undefined || url in from)
      const page = (process: RemoteProcess) => {
        const { cursor = null, skip = 0 } = from?.[process.url] ?? {}
        const own = new URLSearchParams({ ...filters, ...(limit && { limit }), ...(cursor && { cursor }) })
        const asked = Effect.result(
          calls.one(process, { ...call, path: own.size === 0 ? path : `${path}?${own.toString()}` }),
        )
        return Effect.map(asked, (answer) => ({ url: process.url, cursor, skip, answer }))
      }
      const pages = yield* Effect.forEach(among, page, { concurrency: "unbounded" })
      const answered = pages.flatMap(({ answer, ...page }) =>
        answer._tag === "Success" ? [{ ...page, answer: answer.success }] : [],
      )
      if (answered.length === 0 && among.length > 0) return yield* noneOf(among)
      const refused = answered.find(({ answer }) => answer.status !== 200)
      if (refused !== undefined) return passOn(refused.answer)
      const read = answered.map(({ answer, ...page }) => ({ ...page, ...(JSON.parse(answer.text) as RemotePage) }))
      const merged = mergePages(read, Number(limit ?? 50))
      const next = merged.next === undefined ? null : cursors.seal(name, JSON.stringify(merged.next))
      const times = read.flatMap(({ checked_at }) => checked_at ?? [])
      const checked = times.length === 0 ? {} : { checked_at: times.toSorted()[0] }
      return json({ ...checked, items: merged.items, next_cursor: next })
    }).pipe(Effect.catchTag("InvalidCursor", () => Effect.succeed(responseOf(invalidCursor))))

const invalidCursor = {
  slug: "invalid-cursor",
  status: 400,
  title: "Invalid cursor",
  detail: new InvalidCursor({}).detail,
}

/** Of a signed cursor. It does not decode only if another release has signed it. */
const positionIn = (text: string) =>
  Effect.mapError(Schema.decodeEffect(MergedPosition)(text), () => new InvalidCursor({}))
