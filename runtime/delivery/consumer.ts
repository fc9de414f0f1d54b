import { Cause, Effect, Exit } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { SqlClient } from "effect/sql"
import { type Handle, type Partition, partitionName, PositionMoved } from "../events/EventBus.ts"
import { inbox } from "./inbox.ts"
import type { Reaction } from "../module/Reaction.ts"
import { Database } from "../sql/Database.ts"
import { placeOfRecord } from "../telemetry/messages.ts"
import * as metrics from "../telemetry/metrics.ts"
import { loggedAt } from "../telemetry/trace.ts"
import { ReactionStuck, type Run, runReaction, takeAlone } from "./attempt.ts"
import { asideOf, deliveriesOf, type Delivery } from "./Delivery.ts"
import { faultOf } from "../sql/fault.ts"
import { failureOf, ofNoReaction, waiting } from "./outcome.ts"
import { makePace } from "./pace.ts"
import type { ModulePositions } from "./positions.ts"
import { makeProgress, type Progress } from "./progress.ts"
import { brokenReaction } from "./systemic.ts"

/**
 * Failures that look like the infrastructure's, while it answers, until an event by itself is at fault (DELIVERY.md,
 * *Whose fault it is*).
 */
const suspectAfter = 5

/** More of them are not remembered; without one an event is suspected a few calls later. */
const mostSuspicions = 1_000

/** What became of deliveries: those that took effect, and how many had been taken charge of before. */
interface Taken {
  readonly applied: ReadonlyArray<Delivery>
  readonly known: number
}

interface Options {
  readonly module: string
  readonly reactions: ReadonlyArray<Reaction<never>>
  /** Moved with what is taken charge of; left out, the caller keeps the position. */
  readonly positions?: Pick<ModulePositions, "advance" | "moveAll" | "seated"> | undefined
  /** The statements it works by; others only to show that the tests notice. */
  readonly inbox?: typeof inbox
}

/**
 * Takes charge of records for one module (DELIVERY.md, *Taking charge*): each event takes effect
 * once for each of its reactions, in order within a key; one that fails steps aside with those of its key behind it, and holds up nothing else.
 *
 * A slice of a batch is one transaction, of more events while that is quick and of fewer while it is slow. When it fails
 * by an event's fault, it is taken again in halves, down to the one event that is guilty. It fails only by the fault of
 * the infrastructure, or when a reaction fails for every key, and may then be called again with the same records.
 */
export const makeConsumer = (options: Options) =>
  Effect.gen(function* () {
    const database = yield* Database
    const { module, reactions, positions } = options
    const take = yield* makeTake(options)
    const pace = makePace()

    /** A reaction without a position in the partition, as while it is reset, does not see its records. */
    const seatedOf = (record: Partition) => {
      if (positions === undefined) return reactions
      const names = new Set(positions.seated(record).map(({ reaction }) => reaction))
      return reactions.filter(({ name }) => names.has(name))
    }

    const handle: Handle = (records, spans = []) =>
      Effect.gen(function* () {
        yield* database.writable
        const progress = makeProgress(positions === undefined ? [] : spans)
        const deliveries: Array<Delivery> = []
        for (const record of records) {
          deliveries.push(...(yield* deliveriesOf(record, seatedOf(record))))
        }
        const tombstones = records.filter(({ value }) => value === null)
        yield* metrics.skipped({ module, topic: records[0].topic }, tombstones.length)
        for (let at = 0; at < deliveries.length;) {
          const slice = deliveries.slice(at, at + pace.size())
          yield* report(module, yield* pace.timed(take(slice, progress)))
          at += slice.length
        }
        const rest = progress.rest()
        if (positions !== undefined && rest.length > 0) yield* database.transaction(positions.moveAll(rest))
      }).pipe(Effect.annotateLogs({ module }), Effect.withTracerEnabled(false))

    return handle
  })

/** Takes charge of deliveries, in as few transactions as their failures allow. */
const makeTake = (options: Options) =>
  Effect.gen(function* () {
    const database = yield* Database
    const sql = yield* SqlClient.SqlClient
    const statements = (options.inbox ?? inbox)(sql)
    const { takeCharge, heldOf, setAside } = statements
    const { positions } = options
    /** How often in a row the slices that begin with an event failed, while the database answered. */
    const suspicions = new Map<string, number>()
    const isAway = Effect.match(database.probe, { onSuccess: () => false, onFailure: () => true })

    const suspect = (delivery: Delivery) => {
      if (suspicions.size >= mostSuspicions) suspicions.clear()
      suspicions.set(nameOf(delivery), (suspicions.get(nameOf(delivery)) ?? 0) + 1)
    }
    const isSuspect = (delivery: Delivery) => (suspicions.get(nameOf(delivery)) ?? 0) >= suspectAfter

    /** Of deliveries those that their reaction has not seen, by the positions that `advance` has locked. */
    const unseen = (deliveries: ReadonlyArray<Delivery>, nexts: ReadonlyMap<string, number>) =>
      deliveries.filter(({ reaction, record }) => {
        const next = nexts.get(`${reaction} ${partitionName(record)}`)
        return next === undefined || record.offset >= next
      })

    const together = (deliveries: ReadonlyArray<Delivery>, progress: Progress): Effect.Effect<Taken, unknown> => {
      const spans = progress.covers(deliveries)
      return database
        .transaction(
          Effect.gen(function* () {
            const nexts = positions === undefined ? new Map<string, number>() : yield* positions.moveAll(spans)
            const fresh = yield* takeCharge(unseen(deliveries, nexts))
            const known = deliveries.length - fresh.length
            if (fresh.length === 0) return { applied: [], known }
            const isHeld = yield* heldOf(fresh)
            yield* setAside(fresh.filter(isHeld).map((delivery) => asideOf(delivery, waiting)))
            const applied = fresh.filter((delivery) => !isHeld(delivery))
            for (const [reaction, runs] of byReaction(applied)) yield* runReaction(sql, reaction, runs)
            return { applied, known }
          }),
        )
        .pipe(Effect.tap(() => Effect.sync(() => progress.done(spans))))
    }

    /** Takes one delivery, and moves the position of its reaction alone. */
    const takeOne = (delivery: Delivery, progress: Progress, isDoubted: boolean) =>
      database.transaction(
        Effect.gen(function* () {
          const { reaction, record } = delivery
          const from = progress.from(delivery)
          if (positions !== undefined && from !== undefined && reaction !== ofNoReaction) {
            const { topic, partition, offset } = record
            const nexts = yield* positions.advance([{ reaction, topic, partition, from, next: offset + 1 }])
            if (unseen([delivery], nexts).length === 0) return "known" as const
          }
          return yield* takeAlone(sql, statements, delivery, isDoubted ? isAway : undefined)
        }),
      )

    const alone = (delivery: Delivery, progress: Progress, isDoubted: boolean) =>
      Effect.gen(function* () {
        const outcome = yield* takeOne(delivery, progress, isDoubted)
        if (outcome !== "applied" && outcome !== "known" && outcome.status !== "waiting") {
          yield* Effect.logWarning(`${serviceOf(options.module)} ${failureOf(delivery, outcome)}`).pipe(
            Effect.annotateLogs({ event_id: delivery.event_id, topic: delivery.record.topic, status: outcome.status }),
            loggedAt(placeOfRecord(delivery.record)),
          )
        }
        return outcome
      })

    const oneByOne = (deliveries: ReadonlyArray<Delivery>, progress: Progress, isDoubted: boolean) =>
      Effect.gen(function* () {
        const outcomes = yield* Effect.forEach(deliveries, (delivery) => alone(delivery, progress, isDoubted))
        const spans = progress.covers(deliveries)
        if (positions !== undefined) yield* database.transaction(positions.moveAll(spans))
        progress.done(spans)
        return {
          applied: deliveries.filter((_, n) => outcomes[n] === "applied"),
          known: outcomes.filter((outcome) => outcome === "known").length,
        } satisfies Taken
      })

    /** One bad event among many costs some transactions more, not one for each. */
    const inHalves = (deliveries: ReadonlyArray<Delivery>, progress: Progress): Effect.Effect<Taken, unknown> =>
      Effect.gen(function* () {
        const middle = deliveries.length >> 1
        const first = yield* take(deliveries.slice(0, middle), progress, false)
        const second = yield* take(deliveries.slice(middle), progress, false)
        return { applied: [...first.applied, ...second.applied], known: first.known + second.known }
      })

    /** What is done about a slice that failed by an event's fault; of a half it is known that not every key fails. */
    const search = (
      deliveries: ReadonlyArray<Delivery>,
      progress: Progress,
      isWhole: boolean,
      cause: Cause.Cause<unknown>,
    ) =>
      Effect.gen(function* () {
        const broken = isWhole ? yield* brokenReaction(sql, database, statements, deliveries) : undefined
        if (broken !== undefined) return yield* broken
        // To find a stuck one in halves would take the time for which it is stuck at each step.
        const isStuck = Cause.squash(cause) instanceof ReactionStuck
        return yield* isStuck || deliveries.length === 1
          ? oneByOne(deliveries, progress, false)
          : inHalves(deliveries, progress)
      })

    const doubted = (deliveries: ReadonlyArray<Delivery>, progress: Progress, first: Delivery) =>
      Effect.tap(oneByOne(deliveries, progress, true), () => Effect.sync(() => void suspicions.delete(nameOf(first))))

    const take = (
      deliveries: ReadonlyArray<Delivery>,
      progress: Progress,
      isWhole: boolean,
    ): Effect.Effect<Taken, unknown> =>
      Effect.gen(function* () {
        const [first] = deliveries as NonEmptyReadonlyArray<Delivery>
        if (isSuspect(first)) return yield* doubted(deliveries, progress, first)
        for (let tries = 1; ; tries++) {
          const exit = deliveries.some(({ run }) => run === undefined)
            ? Exit.fail(undefined)
            : yield* Effect.exit(together(deliveries, progress))
          if (Exit.isSuccess(exit)) {
            suspicions.delete(nameOf(first))
            return exit.value
          }
          if (Cause.squash(exit.cause) instanceof PositionMoved) return yield* Effect.failCause(exit.cause)
          const fault = faultOf(exit.cause)
          if (fault === "event") return yield* search(deliveries, progress, isWhole, exit.cause)
          if (fault === "again" && tries < 3) continue
          if (yield* isAway) return yield* Effect.failCause(exit.cause)
          suspect(first)
          return yield* isSuspect(first) ? doubted(deliveries, progress, first) : Effect.failCause(exit.cause)
        }
      })

    /** A call that was interrupted took too long: what it began with comes again, and may be why. */
    return (deliveries: ReadonlyArray<Delivery>, progress: Progress) =>
      Effect.onInterrupt(take(deliveries, progress, true), () => Effect.sync(() => suspect(deliveries[0]!)))
  })

const serviceOf = (module: string) => `[${module.charAt(0).toUpperCase()}${module.slice(1)}Service]`

const report = (module: string, { applied, known }: Taken) =>
  Effect.gen(function* () {
    yield* metrics.duplicates({ module }, known)
    for (const [reaction, runs] of byReaction(applied)) {
      yield* metrics.applied({ module, reaction: reaction.name }, runs.length)
    }
    if (applied.length > 3) {
      return yield* Effect.logInfo(`${serviceOf(module)} Received ${applied.length} ${applied[0]!.record.topic} events`)
    }
    for (const { run, record } of applied) {
      if (run === undefined) continue
      yield* Effect.logInfo(`${serviceOf(module)} Received ${run.event.type} event: ${idsIn(run.event.data)}`).pipe(
        loggedAt(placeOfRecord(record)),
      )
    }
  })

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
