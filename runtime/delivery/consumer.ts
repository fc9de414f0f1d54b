import { Effect, Exit } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { SqlClient } from "effect/sql"
import type { Handle, Received } from "../events/EventBus.ts"
import { inbox, type Position } from "../inbox/Inbox.ts"
import type { Reaction } from "../module/Reaction.ts"
import { Database } from "../sql/Database.ts"
import { placeOfRecord } from "../telemetry/messages.ts"
import * as metrics from "../telemetry/metrics.ts"
import { loggedAt } from "../telemetry/trace.ts"
import { type Run, runReaction, takeAlone } from "./attempt.ts"
import { asideOf, deliveriesOf, type Delivery } from "./Delivery.ts"
import { faultOf } from "./fault.ts"
import { waiting } from "./outcome.ts"

/**
 * Failures that look like the infrastructure's, while it answers, until an event by itself is at fault (DELIVERY.md,
 * *Whose fault it is*).
 */
const suspectAfter = 5

/** What became of deliveries: those that took effect, and how many had been taken charge of before. */
interface Taken {
  readonly applied: ReadonlyArray<Delivery>
  readonly known: number
}

/** Deliveries in one transaction: many, for most of its cost is its own; not so many that requests wait for long. */
const slice = 200

/**
 * Takes charge of records for one module (DELIVERY.md, *Taking charge*): each event takes effect once for each of its reactions, in
 * order within a key; one that fails steps aside with those of its key behind it, and holds up nothing else.
 *
 * A slice of a batch is one transaction. When it fails by an event's fault, it is taken again in halves, down to the
 * one event that is guilty. It fails only by the fault of the infrastructure, and may then be called
 * again with the same records.
 */
export const makeConsumer = (options: {
  readonly module: string
  readonly reactions: ReadonlyArray<Reaction<never>>
  /** The statements it works by; others only to show that the tests notice. */
  readonly inbox?: typeof inbox
}) =>
  Effect.gen(function* () {
    const database = yield* Database
    const sql = yield* SqlClient.SqlClient
    const statements = (options.inbox ?? inbox)(sql)
    const { takeCharge, advance, heldOf, setAside } = statements
    const { module } = options
    const service = `${module.charAt(0).toUpperCase()}${module.slice(1)}Service`
    /** How often in a row the slices that begin with an event failed, while the database answered. */
    const suspicions = new Map<string, number>()

    const together = (deliveries: ReadonlyArray<Delivery>) =>
      database.transaction(
        Effect.gen(function* () {
          const fresh = yield* takeCharge(deliveries)
          yield* advance(positionsAfter(deliveries))
          const known = deliveries.length - fresh.length
          if (fresh.length === 0) return { applied: [], known }
          const isHeld = yield* heldOf(fresh)
          yield* setAside(fresh.filter(isHeld).map((delivery) => asideOf(delivery, waiting)))
          const applied = fresh.filter((delivery) => !isHeld(delivery))
          for (const [reaction, runs] of byReaction(applied)) yield* runReaction(reaction, runs)
          return { applied, known }
        }),
      )

    const alone = (delivery: Delivery, isDoubted: boolean) =>
      Effect.gen(function* () {
        const outcome = yield* database.transaction(
          Effect.tap(takeAlone(sql, statements, delivery, isDoubted ? isAway : undefined), () =>
            advance(positionsAfter([delivery])),
          ),
        )
        if (outcome !== "applied" && outcome !== "known" && outcome.status !== "waiting") {
          yield* Effect.logWarning(`[${service}] ${delivery.reaction} failed (${outcome.reason}), its key waits`).pipe(
            Effect.annotateLogs({ event_id: delivery.event_id, topic: delivery.record.topic, status: outcome.status }),
            loggedAt(placeOfRecord(delivery.record)),
          )
        }
        return outcome
      })

    const take = (deliveries: ReadonlyArray<Delivery>): Effect.Effect<Taken, unknown> =>
      Effect.gen(function* () {
        const [first] = deliveries as NonEmptyReadonlyArray<Delivery>
        for (let tries = 1; ; tries++) {
          const exit = deliveries.some((delivery) => delivery.run === undefined)
            ? Exit.fail(undefined)
            : yield* Effect.exit(together(deliveries))
          if (Exit.isSuccess(exit)) {
            suspicions.delete(nameOf(first))
            return exit.value
          }
          const fault = faultOf(exit.cause)
          if (fault === "event" && deliveries.length > 1) return yield* inHalves(deliveries)
          if (fault === "event") break
          if (fault === "again" && tries < 3) continue
          if (yield* isAway) return yield* Effect.failCause(exit.cause)
          suspicions.set(nameOf(first), (suspicions.get(nameOf(first)) ?? 0) + 1)
          if (!isSuspect(first)) return yield* Effect.failCause(exit.cause)
          break
        }
        const isDoubted = isSuspect(first)
        const outcomes = yield* Effect.forEach(deliveries, (delivery) => alone(delivery, isDoubted))
        suspicions.delete(nameOf(first))
        return {
          applied: deliveries.filter((_, n) => outcomes[n] === "applied"),
          known: outcomes.filter((outcome) => outcome === "known").length,
        }
      })

    /** One bad event among many costs some transactions more, not one for each. */
    const inHalves = (deliveries: ReadonlyArray<Delivery>) =>
      Effect.gen(function* () {
        const middle = deliveries.length >> 1
        const first = yield* take(deliveries.slice(0, middle))
        const second = yield* take(deliveries.slice(middle))
        return { applied: [...first.applied, ...second.applied], known: first.known + second.known }
      })

    const isAway = Effect.match(database.probe, { onSuccess: () => false, onFailure: () => true })

    const isSuspect = (delivery: Delivery) => (suspicions.get(nameOf(delivery)) ?? 0) >= suspectAfter

    const report = ({ applied, known }: Taken) =>
      Effect.gen(function* () {
        yield* metrics.duplicates({ module }, known)
        for (const [reaction, runs] of byReaction(applied)) {
          yield* metrics.applied({ module, reaction: reaction.name }, runs.length)
        }
        if (applied.length > 3) {
          return yield* Effect.logInfo(`[${service}] Received ${applied.length} ${applied[0]!.record.topic} events`)
        }
        for (const { run, record } of applied) {
          if (run === undefined) continue
          yield* Effect.logInfo(`[${service}] Received ${run.event.type} event: ${idsIn(run.event.data)}`).pipe(
            loggedAt(placeOfRecord(record)),
          )
        }
      })

    const handle: Handle = (records) =>
      Effect.gen(function* () {
        yield* database.writable
        const deliveries: Array<Delivery> = []
        for (const record of records) deliveries.push(...(yield* deliveriesOf(record, options.reactions)))
        yield* metrics.skipped(
          { module, topic: records[0].topic },
          records.filter(({ value }) => value === null).length,
        )
        for (let at = 0; at < deliveries.length; at += slice) {
          yield* report(yield* take(deliveries.slice(at, at + slice)))
        }
        const rest = records.slice(records.findLastIndex((record) => record === deliveries.at(-1)?.record) + 1)
        if (rest.length > 0) yield* advance(positionsIn(rest))
      }).pipe(Effect.annotateLogs({ module }), Effect.withTracerEnabled(false))

    return handle
  })

/** What is behind records of which nothing is left to be done. */
const positionsIn = (records: ReadonlyArray<Received>): ReadonlyArray<Position> => [
  ...new Map(
    records.map(({ topic, partition, offset }) => [`${topic}/${partition}`, { topic, partition, next: offset + 1 }]),
  ).values(),
]

/** The same, behind deliveries: a record is done with the last of its deliveries. */
const positionsAfter = (deliveries: ReadonlyArray<Delivery>) =>
  positionsIn(deliveries.filter(({ isLast }) => isLast).map(({ record }) => record))

const nameOf = ({ source, event_id }: Delivery) => `${source} ${event_id}`

const byReaction = (deliveries: ReadonlyArray<Delivery>) => {
  const groups = new Map<Reaction<never>, [Run, ...Array<Run>]>()
  for (const { run, record } of deliveries) {
    if (run === undefined) continue
    const runs = groups.get(run.reaction)
    if (runs === undefined) groups.set(run.reaction, [{ ...run, record }])
    else runs.push({ ...run, record })
  }
  return groups as ReadonlyMap<Reaction<never>, NonEmptyReadonlyArray<Run>>
}

/** Ids alone: nothing personal, no payload. */
const idsIn = (data: unknown): string =>
  JSON.stringify(Object.fromEntries(Object.entries(data as object).filter(([name]) => name.endsWith("_id"))))
