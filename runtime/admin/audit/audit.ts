import { Clock, type Duration, Effect } from "effect"
import type { Facts, Violation } from "../../module/Audit.ts"
import { judge, type Snapshot } from "./invariants.ts"

/** A module whose facts are compared with those of the others. */
export interface Source<E = never> {
  readonly module: string
  readonly facts: (after: number, limit: number) => Effect.Effect<ReadonlyArray<Facts>, E>
}

/** Facts of one module that are read at a time. */
export const pageSize = 500

/** Violations that are checked again; a look ends when it has found so many. */
export const mostSuspects = 10_000

/**
 * The orders after `after`, by rising ids, as far as the pages of all sources cover them. `end`: the last id that they
 * cover; undefined: all orders.
 */
const windowOf = <E>(sources: ReadonlyArray<Source<E>>, after: number, limit: number) =>
  Effect.gen(function* () {
    const pages = yield* Effect.forEach(
      sources,
      ({ module, facts }) => Effect.map(facts(after, limit), (page) => ({ module, page })),
      { concurrency: "unbounded" },
    )
    const ends = pages.flatMap(({ page }) => (page.length < limit ? [] : [page.at(-1)!.order_id]))
    const end = ends.length === 0 ? undefined : Math.min(...ends)
    const asked = new Set(sources.map(({ module }) => module))
    const orders = new Map<number, Map<string, Facts>>()
    for (const { module, page } of pages) {
      for (const facts of page) {
        if (end !== undefined && facts.order_id > end) break
        const known = orders.get(facts.order_id) ?? new Map<string, Facts>()
        orders.set(facts.order_id, known.set(module, facts))
      }
    }
    const snapshots = Array.from(orders, ([order_id, facts]): Snapshot => ({ order_id, asked, facts }))
    return { snapshots: snapshots.sort((a, b) => a.order_id - b.order_id), end }
  })

interface Suspect extends Violation {
  readonly order_id: number
}

const judgeAll = (snapshots: ReadonlyArray<Snapshot>, now: number) =>
  snapshots.flatMap((snapshot) =>
    judge(snapshot, now).map((violation): Suspect => ({ ...violation, order_id: snapshot.order_id })),
  )

/** Compares all orders. */
const compareAll = <E>(sources: ReadonlyArray<Source<E>>, limit: number) =>
  Effect.gen(function* () {
    const suspects: Array<Suspect> = []
    for (let after: number | undefined = 0; after !== undefined && suspects.length < mostSuspects;) {
      const window: Effect.Success<ReturnType<typeof windowOf<E>>> = yield* windowOf(sources, after, limit)
      suspects.push(...judgeAll(window.snapshots, yield* Clock.currentTimeMillis))
      after = window.end
    }
    return suspects
  })

/** Compares these orders, given by rising ids. */
const compareSome = <E>(sources: ReadonlyArray<Source<E>>, ids: ReadonlyArray<number>, limit: number) =>
  Effect.gen(function* () {
    const wanted = new Set(ids)
    const suspects: Array<Suspect> = []
    let end: number | undefined = 0
    for (const id of ids) {
      if (end === undefined) break
      if (id <= end) continue
      const window: Effect.Success<ReturnType<typeof windowOf<E>>> = yield* windowOf(sources, id - 1, limit)
      const some = window.snapshots.filter(({ order_id }) => wanted.has(order_id))
      suspects.push(...judgeAll(some, yield* Clock.currentTimeMillis))
      end = window.end
    }
    return suspects
  })

const nameOf = ({ invariant, module, subject }: Violation) => JSON.stringify([invariant, module, subject])

/** Those that were found before too. */
const persisting = <V extends Violation>(violations: ReadonlyArray<V>, before: ReadonlyArray<Violation>) => {
  const seen = new Set(before.map(nameOf))
  return violations.filter((violation) => seen.has(nameOf(violation)))
}

/**
 * Finds violations over all sources, and by `local` within single modules. Only violations that are found by each of
 * `looks` looks are returned, because what is only in transit is gone at the next look. `pause` lies between two looks,
 * and `limit` is the size of a page.
 */
export const audit = <E = never, E2 = never>(options: {
  readonly sources: ReadonlyArray<Source<E>>
  readonly local: Effect.Effect<ReadonlyArray<Violation>, E2>
  readonly looks: number
  readonly pause: Duration.Input
  readonly limit?: number
}): Effect.Effect<ReadonlyArray<Violation>, E | E2> =>
  Effect.gen(function* () {
    const { sources, looks, pause, limit = pageSize } = options
    let local = yield* options.local
    let suspects: ReadonlyArray<Suspect> = yield* compareAll(sources, limit)
    for (let look = 1; look < looks && local.length + suspects.length > 0; look++) {
      yield* Effect.sleep(pause)
      if (local.length > 0) local = persisting(yield* options.local, local)
      const ids = [...new Set(suspects.map(({ order_id }) => order_id))]
      suspects = persisting(yield* compareSome(sources, ids, limit), suspects)
    }
    const named = ({ invariant, module, subject, details }: Violation) => ({ invariant, module, subject, details })
    return [...local, ...suspects.map(named)]
  })
