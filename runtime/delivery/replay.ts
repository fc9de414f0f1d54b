import { Effect, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { EventBus } from "../events/EventBus.ts"
import type { Reaction } from "../module/Reaction.ts"
import { Database } from "../sql/Database.ts"

/** Where a replay stands. */
export const Replay = Schema.Struct({
  reaction: Schema.String.annotate({ examples: ["user.record-order"] }),
  module: Schema.String.annotate({ examples: ["user"] }),
  topic: Schema.String.annotate({ examples: ["order_created"] }),
  remaining: Schema.Natural.annotate({
    description: "Records of the topic that the module has still to read.",
    examples: [1200],
  }),
}).annotate({ identifier: "Replay", description: "Where the replay stands." })
export type Replay = typeof Replay.Type

/** The reaction has nothing to undo itself by. */
export class NoReset extends Schema.TaggedError<NoReset>()("NoReset", {}) {}

/**
 * Lets a reaction meet its topic again, from the start or from a time: for a reaction that was added later, or a
 * projection that is to be rebuilt. The module's own consumer goes back and reads on, so the order of each key holds;
 * all other reactions to the topic know the events, and so does this one unless it is reset.
 *
 * With `reset` the reaction first undoes what it did, and forgets which events it met: in one transaction, while no
 * event of the topic is handled.
 */
export const makeReplay = (options: { readonly module: string; readonly group: string }) =>
  Effect.gen(function* () {
    const bus = yield* EventBus
    const sql = yield* SqlClient.SqlClient
    const database = yield* Database

    const stateOf = (reaction: Reaction<never>): Effect.Effect<Replay> =>
      Effect.map(Effect.orDie(bus.lag(options.group)), (lags) => {
        const topic = reaction.event.type
        const remaining = lags.filter((lag) => lag.topic === topic).reduce((sum, { records }) => sum + records, 0)
        return { reaction: reaction.name, module: options.module, topic, remaining }
      })

    const forget = ({ name, reset = Effect.void }: Reaction<never>) =>
      database.transaction(
        Effect.gen(function* () {
          yield* Effect.orDie(sql`delete from inbox where reaction = ${name}`)
          yield* Effect.orDie(sql`delete from held where reaction = ${name}`)
          yield* reset
        }),
      )

    const start = (reaction: Reaction<never>, from: number | undefined, reset: boolean) =>
      Effect.gen(function* () {
        if (reset && reaction.reset === undefined) return yield* new NoReset()
        yield* Effect.orDie(
          bus.rewind({
            group: options.group,
            topic: reaction.event.type,
            from,
            meanwhile: reset ? forget(reaction) : Effect.void,
          }),
        )
        yield* Effect.logInfo(`A person asked to replay ${reaction.event.type} for ${reaction.name}`).pipe(
          Effect.annotateLogs({
            module: options.module,
            reset,
            from: from === undefined ? "start" : new Date(from).toISOString(),
          }),
        )
        return yield* stateOf(reaction)
      })

    return { start, stateOf }
  })
