import { Cause, Effect, Schema } from "effect"
import type { SqlClient } from "effect/sql"
import type { Inbox } from "./inbox.ts"
import { textOf } from "../loop/defect.ts"
import { Postpone, Reject } from "../module/Reaction.ts"
import type { Database } from "../sql/Database.ts"
import { sqlErrorIn } from "../sql/transaction.ts"
import { attemptCause } from "./attempt.ts"
import type { Delivery } from "./Delivery.ts"
import { faultOf } from "../sql/fault.ts"

/** When this many keys fail alike, the reaction is at fault and not the events. */
const enoughKeys = 8

/** A reaction fails in the same way for every key: no dead letters are added, and the batch is retried. */
export class ReactionBroken extends Schema.TaggedError<ReactionBroken>()("ReactionBroken", {
  reaction: Schema.String,
  keys: Schema.Int,
  error: Schema.String,
}) {
  override get message(): string {
    return `${this.reaction} fails for all of ${this.keys} keys: ${this.error}`
  }
}

/** For each reaction with enough keys, the first delivery of each key of the log. */
const samples = (deliveries: ReadonlyArray<Delivery>): ReadonlyArray<ReadonlyArray<Delivery>> => {
  const runnable = deliveries.filter(({ run }) => run !== undefined)
  const reactions = Map.groupBy(runnable, ({ reaction }) => reaction).values()
  const firsts = Array.from(reactions, (those) => [
    ...new Map(those.toReversed().map((delivery) => [delivery.record.key, delivery])).values(),
  ])
  return firsts.filter(({ length }) => length >= enoughKeys)
}

/** The text of a failure without its numbers, so that like failures have the same text; undefined for a deliberate one. */
const kindOf = (cause: Cause.Cause<unknown>): string | undefined => {
  const error = sqlErrorIn(cause)?.reason.cause ?? Cause.squash(cause)
  const isDeliberate = error instanceof Reject || error instanceof Postpone || Schema.isSchemaError(error)
  return isDeliberate || faultOf(cause) !== "event" ? undefined : textOf(error).replace(/\d+/gu, "#")
}

/** Rolls the transaction back. */
const rollback = Symbol("rollback")

/**
 * Finds a reaction that fails alike for every key of a slice that failed, as with a missing table or a defect of this
 * release. Tries one event of each key, stops at the first that succeeds or fails differently, and rolls everything back.
 */
export const brokenReaction = (
  sql: SqlClient.SqlClient,
  database: Database["Service"],
  inbox: Inbox,
  deliveries: ReadonlyArray<Delivery>,
) =>
  Effect.gen(function* () {
    for (const sample of samples(deliveries)) {
      let broken: ReactionBroken | undefined
      const look = Effect.gen(function* () {
        const fresh = yield* inbox.takeCharge(sample)
        const isHeld = yield* inbox.heldKeys(fresh)
        const due = fresh.filter((delivery) => !isHeld(delivery))
        let kind: string | undefined
        for (const delivery of due) {
          const cause = yield* attemptCause(sql, delivery)
          const found = cause === undefined ? undefined : kindOf(cause)
          if (found === undefined || (kind !== undefined && kind !== found)) return
          kind = found
        }
        if (kind === undefined || due.length < enoughKeys) return
        broken = new ReactionBroken({ reaction: due[0]!.reaction, keys: due.length, error: kind })
      })
      yield* Effect.exit(database.transaction(Effect.andThen(look, Effect.die(rollback))))
      if (broken !== undefined) return broken
    }
    return undefined
  })
