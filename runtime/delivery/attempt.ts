import { Effect, Exit, Schema } from "effect"
import { map, type NonEmptyReadonlyArray } from "effect/Array"
import type { SqlClient } from "effect/sql"
import type { Inbox } from "./inbox.ts"
import { DatabaseUnavailable } from "../sql/Database.ts"
import type { Reaction } from "../module/Reaction.ts"
import { reactionSeconds } from "../telemetry/metrics.ts"
import { processing } from "../telemetry/messages.ts"
import { deadLetterOf, type Delivery } from "./Delivery.ts"
import { faultOf } from "../sql/fault.ts"
import { outcomeOf, waiting } from "./outcome.ts"
import { unlessStuck } from "../sql/watch.ts"

/** A reaction that does nothing for this long is stuck (ms): less than the time limit of an idle transaction. */
const stuckMillis = 4_000

/** A reaction is stuck: no statement of it runs, and it does not end. */
export class ReactionStuck extends Schema.TaggedError<ReactionStuck>()("ReactionStuck", { reaction: Schema.String }) {
  override get message(): string {
    return `${this.reaction} did nothing for ${stuckMillis / 1_000} s`
  }
}

/** A delivery that is given to its reaction. */
export type Run = NonNullable<Delivery["run"]> & Pick<Delivery, "record">

/** Runs a reaction in the current transaction. A stuck reaction is interrupted and dies with `ReactionStuck`. */
export const runReaction = (sql: SqlClient.SqlClient, reaction: Reaction<never>, runs: NonEmptyReadonlyArray<Run>) =>
  Effect.gen(function* () {
    const module = moduleOf(reaction)
    const before = performance.now()
    yield* unlessStuck(sql, reaction.run(map(runs, ({ event }) => event)), {
      millis: stuckMillis,
      stuck: Effect.die(new ReactionStuck({ reaction: reaction.name })),
    }).pipe(processing({ module, reaction: reaction.name, messages: runs }))
    yield* reactionSeconds({ module, reaction: reaction.name }, (performance.now() - before) / 1_000)
  })

const moduleOf = ({ name }: Reaction<never>) => name.slice(0, name.indexOf("."))

/** The time limit for one event alone, after slices that begin with it were too slow (ms). */
const mostMillis = 15_000

/**
 * Runs the reaction for one event in a savepoint of the current transaction. Returns the cause of a failure, undefined
 * after a success. A reaction that exceeds the time limit fails with `DatabaseUnavailable`: the database may be slow.
 */
export const attemptCause = (sql: SqlClient.SqlClient, { run, record }: Delivery) =>
  Effect.gen(function* () {
    if (run === undefined) return undefined
    const { name } = run.reaction
    const reacting = Effect.timeoutOrElse(runReaction(sql, run.reaction, [{ ...run, record }]), {
      duration: mostMillis,
      orElse: () => Effect.die(new DatabaseUnavailable({ reason: `${name} took longer than ${mostMillis / 1_000} s` })),
    })
    const exit = yield* Effect.exit(sql.withTransaction(Effect.andThen(reacting, settled(sql))))
    return Exit.isSuccess(exit) ? undefined : exit.cause
  })

/**
 * Like `attemptCause`, but returns what becomes of an event that failed. Fails only by the fault of the infrastructure,
 * and only while `isAway`.
 */
export const attempt = (sql: SqlClient.SqlClient, delivery: Delivery, isAway: IsAway = away) =>
  Effect.gen(function* () {
    if (delivery.run === undefined) return yield* delivery.outcome
    const cause = yield* attemptCause(sql, delivery)
    if (cause === undefined) return undefined
    if (faultOf(cause) !== "event" && (yield* isAway)) return yield* Effect.failCause(cause)
    return yield* outcomeOf(cause, delivery.run.reaction.retry)
  })

/**
 * Fails where the commit would fail: when a statement's failure was hidden, or a deferred constraint does not hold.
 * Afterwards constraints are deferred again, because more events may follow in the same transaction.
 */
const settled = (sql: SqlClient.SqlClient) =>
  Effect.all([sql`savepoint settled`, sql`set constraints all immediate`, sql`rollback to savepoint settled`], {
    discard: true,
  })

/** Whether the database is away. */
export type IsAway = Effect.Effect<boolean>
const away: IsAway = Effect.succeed(true)

/**
 * Takes charge of one delivery in the current transaction: it is known already, applied, or a dead letter with the
 * outcome that is returned. Fails only by the fault of the infrastructure, and only while `isAway`.
 */
export const takeAlone = (sql: SqlClient.SqlClient, inbox: Inbox, delivery: Delivery, isAway: IsAway = away) =>
  Effect.gen(function* () {
    const [fresh] = yield* inbox.takeCharge([delivery])
    if (fresh === undefined) return "known" as const
    const isHeld = yield* inbox.heldKeys([fresh])
    const outcome = isHeld(fresh) ? waiting : yield* attempt(sql, fresh, isAway)
    if (outcome === undefined) return "applied" as const
    yield* inbox.addDeadLetters([deadLetterOf(fresh, outcome)])
    return outcome
  })
