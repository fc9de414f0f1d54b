import { Clock, Effect, Exit, Schema } from "effect"
import { map, type NonEmptyReadonlyArray } from "effect/Array"
import type { SqlClient } from "effect/sql"
import type { Inbox } from "../inbox/Inbox.ts"
import type { Reaction } from "../module/Reaction.ts"
import { reactionSeconds } from "../telemetry/metrics.ts"
import { processing } from "../telemetry/messages.ts"
import { asideOf, type Delivery } from "./Delivery.ts"
import { faultOf } from "./fault.ts"
import { outcomeOf, waiting } from "./outcome.ts"

/** How long a reaction may take, for one event or for a slice of a batch: less than what ends its transaction. */
const deadline = "4 seconds"

/** A reaction that did not come back in time. */
export class DeadlineExceeded extends Schema.TaggedError<DeadlineExceeded>()("DeadlineExceeded", {
  reaction: Schema.String,
}) {
  override get message(): string {
    return `${this.reaction} took longer than ${deadline}`
  }
}

/** A delivery that a reaction is to see. */
export type Run = NonNullable<Delivery["run"]> & Pick<Delivery, "record">

/** Runs a reaction; one that takes too long is interrupted, and fails as if it had thrown. */
export const runReaction = (reaction: Reaction<never>, runs: NonEmptyReadonlyArray<Run>) =>
  Effect.gen(function* () {
    const module = moduleOf(reaction)
    const before = yield* Clock.currentTimeMillis
    yield* Effect.timeoutOrElse(reaction.run(map(runs, ({ event }) => event)), {
      duration: deadline,
      orElse: () => Effect.die(new DeadlineExceeded({ reaction: reaction.name })),
    }).pipe(processing({ module, reaction: reaction.name, messages: runs }))
    yield* reactionSeconds({ module, reaction: reaction.name }, ((yield* Clock.currentTimeMillis) - before) / 1_000)
  })

const moduleOf = ({ name }: Reaction<never>) => name.slice(0, name.indexOf("."))

/**
 * Runs the reaction for one event in a savepoint of the running transaction. Undefined when it went well, else what
 * becomes of the event. Fails by the fault of the infrastructure alone.
 */
export const attempt = (sql: SqlClient.SqlClient, delivery: Delivery, isAway: IsAway = away) =>
  Effect.gen(function* () {
    if (delivery.run === undefined) return delivery.outcome
    const { reaction } = delivery.run
    const run = runReaction(reaction, [{ ...delivery.run, record: delivery.record }])
    const exit = yield* Effect.exit(sql.withTransaction(Effect.andThen(run, settled(sql))))
    if (Exit.isSuccess(exit)) return undefined
    if (faultOf(exit.cause) !== "event" && (yield* isAway)) return yield* Effect.failCause(exit.cause)
    return yield* outcomeOf(exit.cause, reaction.retry)
  })

/**
 * Fails where the commit would: when a statement's failure was hidden, or a deferred constraint does not hold. Takes
 * back that constraints are immediate, for more events may follow in the same transaction.
 */
const settled = (sql: SqlClient.SqlClient) =>
  Effect.all([sql`savepoint settled`, sql`set constraints all immediate`, sql`rollback to savepoint settled`], {
    discard: true,
  })

/** Whether a fault of the infrastructure is taken for what it looks like. */
export type IsAway = Effect.Effect<boolean>
const away: IsAway = Effect.succeed(true)

/**
 * Takes charge of one delivery in the running transaction: it is applied, or set aside as the outcome says, or was known.
 * Fails by the fault of the infrastructure alone.
 */
export const takeAlone = (sql: SqlClient.SqlClient, inbox: Inbox, delivery: Delivery, isAway: IsAway = away) =>
  Effect.gen(function* () {
    const [fresh] = yield* inbox.takeCharge([delivery])
    if (fresh === undefined) return "known" as const
    const isHeld = yield* inbox.heldOf([fresh])
    const outcome = isHeld(fresh) ? waiting : yield* attempt(sql, fresh, isAway)
    if (outcome === undefined) return "applied" as const
    yield* inbox.setAside([asideOf(fresh, outcome)])
    return outcome
  })
