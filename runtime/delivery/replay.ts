import { Clock, Effect, Latch, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { EventBus } from "../events/EventBus.ts"
import type { Reaction } from "../module/Reaction.ts"
import { Database } from "../sql/Database.ts"
import { moveBack, type ModulePositions, never } from "./positions.ts"

/** Where a replay stands. */
export const Replay = Schema.Struct({
  reaction: Schema.String.annotate({ examples: ["user.record-order"] }),
  module: Schema.String.annotate({ examples: ["user"] }),
  topic: Schema.String.annotate({ examples: ["order_created"] }),
  state: Schema.Literals(["resetting", "reading", "done"]).annotate({
    description: "`resetting` while the reaction undoes what it did, then `reading`.",
  }),
  remaining: Schema.Natural.annotate({
    description: "Records of the topic that the module has still to read.",
    examples: [1200],
  }),
}).annotate({ identifier: "Replay", description: "Where the replay stands." })
export type Replay = typeof Replay.Type

/** The reaction has nothing to undo itself by. */
export class NoReset extends Schema.TaggedError<NoReset>()("NoReset", {}) {}

/** The log does not have all records of the topic any more: what the reaction did before `since` could not come again. */
export class LogNotWhole extends Schema.TaggedError<LogNotWhole>()("LogNotWhole", { since: Schema.Date }) {}

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
        const lags = yield* options.positions.lag(yield* bus.ends([topic]))
        const remaining = lags.reduce((sum, { records }) => sum + records, 0)
        const state = resets.length > 0 ? "resetting" : remaining > 0 ? "reading" : "done"
        return { reaction: reaction.name, module: options.module, topic, state, remaining } satisfies Replay
      }).pipe(Effect.orDie)

    /** From now on the reaction sees nothing, in any instance, until it is reset. */
    const requestReset = (reaction: Reaction<never>) =>
      Effect.gen(function* () {
        const topic = reaction.event.type
        const ends = yield* bus.ends([topic])
        if (ends.some(({ first }) => first > 0)) return yield* new LogNotWhole({ since: yield* oldestOf(topic) })
        const now = new Date(yield* Clock.currentTimeMillis)
        yield* database.transaction(
          Effect.gen(function* () {
            yield* sql`insert into reset (reaction, requested_at) values (${reaction.name}, ${now}) on conflict do nothing`
            yield* sql`
              insert into reaction_start (reaction, topic, partition, start_at)
              select ${reaction.name}, topic, partition, ${never}::bigint from position where topic = ${topic}
              on conflict (reaction, topic, partition) do update set start_at = excluded.start_at`
            yield* sql`update position set epoch = epoch + 1 where topic = ${topic}`
            yield* ring
          }),
        )
        yield* wake.open
      })

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
        const topic = reaction.event.type
        const ends = yield* bus.ends([topic])
        const positions =
          from === undefined
            ? ends.map(({ first, ...partition }) => ({ ...partition, next: first }))
            : yield* bus.since(topic, from)
        yield* database.transaction(Effect.andThen(moveBack(sql, { reaction: reaction.name, positions }), ring))
      })

    /** One step of a reset; says whether there is more to do. */
    const step = (reaction: Reaction<never>) =>
      Effect.gen(function* () {
        const { name, reset = Effect.succeed(false) } = reaction
        for (const table of ["held", "inbox"]) {
          const gone = yield* sql`
            delete from ${sql(table)} where ctid in (
              select ctid from ${sql(table)} where reaction = ${name} limit ${perStatement}) returning 1`
          if (gone.length > 0) return true
        }
        if (yield* database.transaction(reset)) return true
        const ends = yield* bus.ends([reaction.event.type])
        yield* database.transaction(
          Effect.gen(function* () {
            const positions = ends.map(({ first, ...partition }) => ({ ...partition, next: first }))
            yield* moveBack(sql, { reaction: name, positions })
            yield* sql`delete from reset where reaction = ${name}`
            yield* ring
          }),
        )
        yield* Effect.logInfo(`${name} is reset; it sees ${reaction.event.type} again from the start`)
        return false
      })

    /** Works on the resets that were requested, in this process or in another one that has ended. */
    const turn = Effect.gen(function* () {
      yield* database.writable
      const [next] = yield* sql<{ reaction: string }>`select reaction from reset order by requested_at limit 1`
      const reaction = options.reactions.find(({ name }) => name === next?.reaction)
      if (reaction === undefined) return false
      yield* step(reaction)
      return true
    })

    const start = (reaction: Reaction<never>, from: number | undefined, reset: boolean) =>
      Effect.gen(function* () {
        if (reset && reaction.reset === undefined) return yield* new NoReset()
        const work = reset ? requestReset(reaction) : seeAgain(reaction, from)
        yield* Effect.catchIf(work, (error) => !(error instanceof LogNotWhole), Effect.die)
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
