import { Clock, Effect, Latch, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { randomUUID } from "node:crypto"
import { EventBus } from "../events/EventBus.ts"
import type { Reaction } from "../module/Reaction.ts"
import { Database } from "../sql/Database.ts"
import { ofNoReaction } from "./outcome.ts"
import { beginning, type ModulePositions } from "./positions.ts"

/** Where a replay stands. */
export const Replay = Schema.Struct({
  reaction: Schema.String.annotate({ examples: ["user.record-order"] }),
  module: Schema.String.annotate({ examples: ["user"] }),
  topic: Schema.String.annotate({ examples: ["order_created"] }),
  state: Schema.Literals(["resetting", "reading", "done"]).annotate({
    description: "`resetting` while the reaction undoes what it did, then `reading`.",
    examples: ["reading"],
  }),
  remaining: Schema.Natural.annotate({
    description: "Records of the topic that the module has still to read.",
    examples: [1200],
  }),
}).annotate({ identifier: "Replay", description: "Where the replay stands." })
export type Replay = typeof Replay.Type

/** The reaction has nothing to undo itself by. */
export class NoReset extends Schema.TaggedError<NoReset>()("NoReset", {}) {}

/** The reaction is being reset already. */
export class ResetRunning extends Schema.TaggedError<ResetRunning>()("ResetRunning", {}) {}

/** The log does not have all records of the topic any more: what the reaction did before `since` could not come again. */
export class LogNotWhole extends Schema.TaggedError<LogNotWhole>()("LogNotWhole", { since: Schema.Date }) {}

/** A reset that was requested. */
interface Intent {
  readonly reaction: string
  readonly id: string
  readonly topic: string
}

/** Rows in one statement, so that requests get their turn. */
const perStatement = 1_000

/** The bell that rings when positions were moved by a replay, in every instance of the module. */
export const positionsBell = "positions"

/**
 * Lets a reaction see its topic again, from the start or from a time: for a reaction that was added later, or a
 * projection that is to be built again. The module's own consumer goes back and reads on, so the order of each key holds;
 * all other reactions to the topic skip what they have seen, and so does this one what it has, unless it is reset.
 *
 * A reset is an intent that is kept: the reaction sees nothing while it undoes what it did, step by step, and a process
 * that starts later goes on with it.
 */
export const makeReplay = (options: {
  readonly module: string
  readonly reactions: ReadonlyArray<Reaction<never>>
  readonly positions: ModulePositions
}) =>
  Effect.gen(function* () {
    const bus = yield* EventBus
    const sql = yield* SqlClient.SqlClient
    const database = yield* Database
    const { ring } = database.bell(positionsBell)
    const wake = Latch.makeUnsafe(true)

    const stateOf = (reaction: Reaction<never>) =>
      Effect.gen(function* () {
        const topic = reaction.event.type
        const resets = yield* sql`select 1 from reset where reaction = ${reaction.name}`
        const lags = yield* options.positions.lag(reaction.name)
        const remaining = lags.filter((lag) => lag.topic === topic).reduce((sum, { records }) => sum + records, 0)
        const state = resets.length > 0 ? "resetting" : remaining > 0 ? "reading" : "done"
        return { reaction: reaction.name, module: options.module, topic, state, remaining } satisfies Replay
      }).pipe(Effect.orDie)

    /** From now on the reaction sees nothing, in any instance, until it is reset. */
    const requestReset = (reaction: Reaction<never>) =>
      Effect.gen(function* () {
        const { name } = reaction
        const topic = reaction.event.type
        const ends = yield* bus.ends([topic])
        if (ends.some(({ first }) => first > 0)) return yield* new LogNotWhole({ since: yield* oldestOf(topic) })
        const now = new Date(yield* Clock.currentTimeMillis)
        yield* database.transaction(
          Effect.gen(function* () {
            const added = yield* sql`
              insert into reset (reaction, id, topic, asked_at) values (${name}, ${randomUUID()}, ${topic}, ${now})
              on conflict do nothing returning 1`
            if (added.length === 0) return yield* new ResetRunning()
            yield* lockPositions(name)
            yield* sql`update position set next = null, epoch = epoch + 1 where reaction = ${name}`
            yield* ring
          }),
        )
        yield* wake.open
      })

    const lockPositions = (reaction: string) => sql`
      select 1 from position where reaction = ${reaction} order by topic, partition for no key update`

    /** When the log took the oldest record that it has, to the second. */
    const oldestOf = (topic: string) =>
      Effect.gen(function* () {
        const firsts = new Map((yield* bus.ends([topic])).map(({ partition, first }) => [partition, first]))
        let [before, after] = [0, yield* Clock.currentTimeMillis]
        while (after - before > 1_000) {
          const middle = Math.floor((before + after) / 2)
          const isOlder = (yield* bus.since(topic, middle)).every(
            ({ partition, next }) => next === firsts.get(partition),
          )
          if (isOlder) before = middle
          else after = middle
        }
        return new Date(before)
      })

    const seeAgain = (reaction: Reaction<never>, from: number | undefined) =>
      Effect.gen(function* () {
        const { name } = reaction
        const topic = reaction.event.type
        const positions =
          from === undefined
            ? (yield* bus.ends([topic])).map((end) => ({ ...end, next: beginning }))
            : yield* bus.since(topic, from)
        const moved = yield* database.transaction(
          Effect.gen(function* () {
            yield* lockPositions(name)
            const rows = yield* sql`
              update position p set next = least(p.next, x.next), epoch = p.epoch + 1
              from json_to_recordset(${JSON.stringify(positions)}::json) as x (topic text, partition int, next bigint)
              where p.reaction = ${name} and p.topic = x.topic and p.partition = x.partition and p.next is not null
              returning 1`
            yield* ring
            return rows.length
          }),
        )
        if (moved === 0 && positions.length > 0) return yield* new ResetRunning()
      })

    /**
     * One step of a reset, in a transaction of its own that finds the intent still there; says whether there is more to do.
     * Dead letters go first: what a worker still does with one is then undone with the rest (DELIVERY.md, *Resets*).
     */
    const step = ({ reaction: name, id, topic }: Intent, reset: Effect.Effect<boolean>) =>
      database.transaction(
        Effect.gen(function* () {
          const there = yield* sql`select 1 from reset where reaction = ${name} and id = ${id} for update`
          if (there.length === 0) return false
          yield* sql`
            select 1 from held where reaction = ${ofNoReaction} and topic = ${topic}
              and status in ('waiting', 'retrying', 'parked') order by pos for update`
          for (const table of ["held", "inbox"]) {
            if (table === "inbox" && (yield* reset)) return true
            const gone = yield* sql`
              delete from ${sql(table)} where ctid in (
                select ctid from ${sql(table)} where reaction = ${name} limit ${perStatement}) returning 1`
            if (gone.length > 0) return true
          }
          yield* lockPositions(name)
          yield* sql`update position set next = ${beginning}, epoch = epoch + 1 where reaction = ${name}`
          yield* sql`delete from reset where reaction = ${name} and id = ${id}`
          yield* ring
          yield* Effect.logInfo(`${name} is reset; it sees ${topic} again from the start`)
          return false
        }),
      )

    /** Works on the resets that were requested, in this process or in another one that has ended. */
    const turn = Effect.gen(function* () {
      yield* database.writable
      const intents = yield* sql<Intent>`select reaction, id, topic from reset order by asked_at`
      for (const intent of intents) {
        const reaction = options.reactions.find(({ name }) => name === intent.reaction)
        if (reaction === undefined) continue
        yield* step(intent, reaction.reset ?? Effect.succeed(false))
        return true
      }
      return false
    })

    const start = (reaction: Reaction<never>, from: number | undefined, reset: boolean) =>
      Effect.gen(function* () {
        if (reset && reaction.reset === undefined) return yield* new NoReset()
        const work = reset ? requestReset(reaction) : seeAgain(reaction, from)
        yield* Effect.catchIf(
          work,
          (error) => !(error instanceof LogNotWhole || error instanceof ResetRunning),
          (error) => Effect.die(error),
        )
        yield* Effect.logInfo(`Replay of ${reaction.event.type} for ${reaction.name} requested`).pipe(
          Effect.annotateLogs({
            module: options.module,
            reset,
            from: from === undefined ? "start" : new Date(from).toISOString(),
          }),
        )
        return yield* stateOf(reaction)
      })

    return { start, stateOf, turn, wake }
  })
