import { Effect, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { EventBus } from "../events/EventBus.ts"
import type { Reaction } from "../module/Reaction.ts"
import { Database } from "../sql/Database.ts"
import type { ModulePositions } from "./positions.ts"
import { beginning, positionReplay } from "./positionTable.ts"
import { LogIncomplete, makeReset, NoReset, positionsBell, ResetUnderWay } from "./reset.ts"

/** The progress of a replay. */
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
}).annotate({ identifier: "Replay", description: "The progress of the replay." })
export type Replay = typeof Replay.Type

/**
 * Lets a reaction read its topic again, from the beginning or from a time: for a reaction that was added later, or a
 * projection that is to be rebuilt. The module's own consumer goes back and reads on, so the order of each key holds. All
 * other reactions to the topic skip what they have passed, and so does this one, unless it is reset.
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
    const positions = positionReplay(sql)
    const resets = yield* makeReset(options)

    const stateOf = (reaction: Reaction<never>) =>
      Effect.gen(function* () {
        const topic = reaction.event.type
        const isResetting = yield* resets.isRunning(reaction.name)
        const lags = yield* options.positions.lag(reaction.name)
        const remaining = lags.filter((lag) => lag.topic === topic).reduce((sum, { records }) => sum + records, 0)
        const state = isResetting ? "resetting" : remaining > 0 ? "reading" : "done"
        return { reaction: reaction.name, module: options.module, topic, state, remaining } satisfies Replay
      }).pipe(Effect.orDie)

    /** Moves the reaction back to `from` (ms), or to the beginning. Fails with `ResetUnderWay` when it has no positions. */
    const moveBack = ({ name, event: { type: topic } }: Reaction<never>, from: number | undefined) =>
      Effect.gen(function* () {
        const targets =
          from === undefined
            ? (yield* bus.ends([topic])).map((end) => ({ ...end, next: beginning }))
            : yield* bus.since(topic, from)
        const moved = yield* database.transaction(
          Effect.gen(function* () {
            yield* positions.lockOf(name)
            const count = yield* positions.moveBack(name, targets)
            yield* ring
            return count
          }),
        )
        if (moved === 0 && targets.length > 0) return yield* new ResetUnderWay()
      })

    /**
     * Requests a replay, from `from` (ms) or from the beginning, with or without a reset. Fails with `NoReset`,
     * `ResetUnderWay` or `LogIncomplete`.
     */
    const start = (reaction: Reaction<never>, from: number | undefined, reset: boolean) =>
      Effect.gen(function* () {
        const work = reset ? resets.request(reaction) : moveBack(reaction, from)
        yield* Effect.catchIf(
          work,
          (error) => !(error instanceof LogIncomplete || error instanceof ResetUnderWay || error instanceof NoReset),
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

    return { start, stateOf, turn: resets.turn, wake: resets.wake }
  })
