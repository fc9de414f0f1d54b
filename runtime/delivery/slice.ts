import { Effect } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { SqlClient } from "effect/sql"
import type { Reaction } from "../module/Reaction.ts"
import { Database } from "../sql/Database.ts"
import { placeOfRecord } from "../telemetry/messages.ts"
import { loggedAt } from "../telemetry/trace.ts"
import { type IsAway, type Run, runReaction, takeAlone } from "./attempt.ts"
import { deadLetterOf, type Delivery, unseen } from "./Delivery.ts"
import { inbox } from "./inbox.ts"
import { failureOf, ofNoReaction, waiting } from "./outcome.ts"
import type { ModulePositions } from "./positions.ts"
import type { Progress } from "./progress.ts"
import { brokenReaction } from "./systemic.ts"

/** What became of deliveries: those that took effect, and how many the module had taken charge of before. */
export interface Taken {
  readonly applied: ReadonlyArray<Delivery>
  readonly known: number
}

export interface SliceOptions {
  readonly module: string
  /** Moved with what is taken charge of; left out, the caller keeps the position. */
  readonly positions?: Pick<ModulePositions, "advance" | "moveAll" | "seated"> | undefined
  /** The statements of the transactions. Tests replace them to show that a mistake is noticed. */
  readonly inbox?: typeof inbox
}

/** The transactions in which a module takes charge of a slice of deliveries (DELIVERY.md, *Taking charge*). */
export const makeSlices = (options: SliceOptions) =>
  Effect.gen(function* () {
    const database = yield* Database
    const sql = yield* SqlClient.SqlClient
    const statements = (options.inbox ?? inbox)(sql)
    const { takeCharge, heldKeys, addDeadLetters } = statements
    const { positions } = options

    /** Takes all deliveries in one transaction. */
    const together = (deliveries: ReadonlyArray<Delivery>, progress: Progress): Effect.Effect<Taken, unknown> => {
      const spans = progress.covers(deliveries)
      return database
        .transaction(
          Effect.gen(function* () {
            const nexts = positions === undefined ? new Map<string, number>() : yield* positions.moveAll(spans)
            const fresh = yield* takeCharge(unseen(deliveries, nexts))
            const known = deliveries.length - fresh.length
            if (fresh.length === 0) return { applied: [], known }
            const isHeld = yield* heldKeys(fresh)
            yield* addDeadLetters(fresh.filter(isHeld).map((delivery) => deadLetterOf(delivery, waiting)))
            const applied = fresh.filter((delivery) => !isHeld(delivery))
            for (const [reaction, runs] of byReaction(applied)) yield* runReaction(sql, reaction, runs)
            return { applied, known }
          }),
        )
        .pipe(Effect.tap(() => Effect.sync(() => progress.done(spans))))
    }

    /** Takes one delivery in one transaction and moves the position of its reaction alone. */
    const alone = (delivery: Delivery, progress: Progress, isAway: IsAway | undefined) =>
      database.transaction(
        Effect.gen(function* () {
          const { reaction, record } = delivery
          const from = progress.from(delivery)
          if (positions !== undefined && from !== undefined && reaction !== ofNoReaction) {
            const { topic, partition, offset } = record
            const nexts = yield* positions.advance([{ reaction, topic, partition, from, next: offset + 1 }])
            if (unseen([delivery], nexts).length === 0) return "known" as const
          }
          return yield* takeAlone(sql, statements, delivery, isAway)
        }),
      )

    const aloneAndLogged = (delivery: Delivery, progress: Progress, isAway: IsAway | undefined) =>
      Effect.gen(function* () {
        const outcome = yield* alone(delivery, progress, isAway)
        if (outcome !== "applied" && outcome !== "known" && outcome.status !== "waiting") {
          yield* Effect.logWarning(`${serviceOf(options.module)} ${failureOf(delivery, outcome)}`).pipe(
            Effect.annotateLogs({ event_id: delivery.event_id, topic: delivery.record.topic, status: outcome.status }),
            loggedAt(placeOfRecord(delivery.record)),
          )
        }
        return outcome
      })

    /**
     * Takes each delivery in a transaction of its own. With `isAway`, a fault of the infrastructure is the event's while
     * the database answers.
     */
    const oneByOne = (deliveries: ReadonlyArray<Delivery>, progress: Progress, isAway?: IsAway) =>
      Effect.gen(function* () {
        const outcomes = yield* Effect.forEach(deliveries, (delivery) => aloneAndLogged(delivery, progress, isAway))
        const spans = progress.covers(deliveries)
        if (positions !== undefined) yield* database.transaction(positions.moveAll(spans))
        progress.done(spans)
        return {
          applied: deliveries.filter((_, n) => outcomes[n] === "applied"),
          known: outcomes.filter((outcome) => outcome === "known").length,
        } satisfies Taken
      })

    /** Finds a reaction that fails for every key, in a transaction that is rolled back. */
    const findBroken = (deliveries: ReadonlyArray<Delivery>) => brokenReaction(sql, database, statements, deliveries)

    return { together, oneByOne, findBroken }
  })

/** The name of a module's service in log lines, such as `[OrderService]`. */
export const serviceOf = (module: string) => `[${module.charAt(0).toUpperCase()}${module.slice(1)}Service]`

/** The runs of each reaction, in the order of the deliveries. */
export const byReaction = (deliveries: ReadonlyArray<Delivery>) => {
  const groups = new Map<Reaction<never>, [Run, ...Array<Run>]>()
  for (const { run, record } of deliveries) {
    if (run === undefined) continue
    const runs = groups.get(run.reaction)
    if (runs === undefined) groups.set(run.reaction, [{ ...run, record }])
    else runs.push({ ...run, record })
  }
  return groups as ReadonlyMap<Reaction<never>, NonEmptyReadonlyArray<Run>>
}
