import { randomUUID } from "node:crypto"
import { Clock, Effect, Latch, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { EventBus } from "../events/EventBus.ts"
import type { Reaction } from "../module/Reaction.ts"
import { Database } from "../sql/Database.ts"
import { deadLetterRemoval } from "./deadLetterTable.ts"
import { inboxTable } from "./inboxTable.ts"
import { positionReplay } from "./positionTable.ts"
import { type Reset, resetTable } from "./resetTable.ts"

/** The reaction declares no `reset`. */
export class NoReset extends Schema.TaggedError<NoReset>()("NoReset", {}) {}

/** The reaction is being reset already. */
export class ResetUnderWay extends Schema.TaggedError<ResetUnderWay>()("ResetUnderWay", {}) {}

/** The log has pruned records of the topic: effects from before `since` could not be rebuilt. */
export class LogIncomplete extends Schema.TaggedError<LogIncomplete>()("LogIncomplete", { since: Schema.Date }) {}

/** Rows in one statement, so that requests get their turn. */
const perStatement = 1_000

/** The bell that is rung in every instance of the module when a replay or a reset moved positions. */
export const positionsBell = "positions"

/**
 * Resets reactions (DELIVERY.md, *Resets*). A reset is a stored intent: the reaction gets no records while its effects
 * are undone, step by step, and a process that starts later resumes it.
 */
export const makeReset = (options: { readonly reactions: ReadonlyArray<Reaction<never>> }) =>
  Effect.gen(function* () {
    const bus = yield* EventBus
    const sql = yield* SqlClient.SqlClient
    const database = yield* Database
    const { ring } = database.bell(positionsBell)
    const [resets, positions] = [resetTable(sql), positionReplay(sql)]
    const [deadLetters, inbox] = [deadLetterRemoval(sql), inboxTable(sql)]
    const wake = Latch.makeUnsafe(true)

    /**
     * Takes the reaction's positions away, in all instances. Fails with `NoReset`, `ResetUnderWay`, or `LogIncomplete` when
     * the log has pruned records of the topic.
     */
    const request = (reaction: Reaction<never>) =>
      Effect.gen(function* () {
        if (reaction.reset === undefined) return yield* new NoReset()
        const { name } = reaction
        const topic = reaction.event.type
        const ends = yield* bus.ends([topic])
        if (ends.some(({ first }) => first > 0)) return yield* new LogIncomplete({ since: yield* oldestOf(bus, topic) })
        const now = new Date(yield* Clock.currentTimeMillis)
        yield* database.transaction(
          Effect.gen(function* () {
            const isAdded = yield* resets.add({ reaction: name, id: randomUUID(), topic }, now)
            if (!isAdded) return yield* new ResetUnderWay()
            yield* positions.lockOf(name)
            yield* positions.unset(name)
            yield* ring
          }),
        )
        yield* wake.open
      })

    /**
     * One step of a reset, in a transaction of its own that first locks the intent. Returns whether there is more to do.
     * Dead letters go first: what a worker still does with one is then undone with the rest.
     */
    const step = (reset: Reset, undo: Effect.Effect<boolean>) =>
      database.transaction(
        Effect.gen(function* () {
          const { reaction, topic } = reset
          if (!(yield* resets.lock(reset))) return false
          yield* deadLetters.lockUnreadable(topic)
          if ((yield* deadLetters.removeOf(reaction, perStatement)) > 0) return true
          if (yield* undo) return true
          if ((yield* inbox.removeOf(reaction, perStatement)) > 0) return true
          yield* positions.lockOf(reaction)
          yield* positions.restart(reaction)
          yield* resets.end(reset)
          yield* ring
          yield* Effect.logInfo(`${reaction} is reset; it reads ${topic} again from the beginning`)
          return false
        }),
      )

    /** Does one step of the oldest reset, requested by this process or by another. Returns whether there may be more. */
    const turn = Effect.gen(function* () {
      yield* database.writable
      for (const reset of yield* resets.list) {
        const reaction = options.reactions.find(({ name }) => name === reset.reaction)
        if (reaction === undefined) continue
        yield* step(reset, reaction.reset ?? Effect.succeed(false))
        return true
      }
      return false
    })

    return { request, turn, wake, isRunning: resets.isReset }
  })

/** When the log took the oldest record of the topic that it has, to the second. */
const oldestOf = (bus: EventBus["Service"], topic: string) =>
  Effect.gen(function* () {
    const firsts = new Map((yield* bus.ends([topic])).map(({ partition, first }) => [partition, first]))
    let [before, after] = [0, yield* Clock.currentTimeMillis]
    while (after - before > 1_000) {
      const middle = Math.floor((before + after) / 2)
      const isOlder = (yield* bus.since(topic, middle)).every(({ partition, next }) => next === firsts.get(partition))
      if (isOlder) before = middle
      else after = middle
    }
    return new Date(before)
  })
