import { Effect, Latch } from "effect"
import { EventBus, type Partition, type Received } from "../../events/EventBus.ts"
import type { Reaction } from "../../module/Reaction.ts"
import { makeConsumer } from "../../delivery/consumer.ts"
import { makePositions } from "../../delivery/positions.ts"

/** A process of a module with these reactions that was given the partition. */
export const memberOf = (reactions: ReadonlyArray<Reaction<never>>, place: Partition) =>
  Effect.gen(function* () {
    const bus = yield* EventBus
    const positions = yield* makePositions({
      module: "suite",
      reactions,
      moved: Latch.makeUnsafe(false),
      logKnown: Effect.void,
    })
    const right = yield* makeConsumer({ module: "suite", reactions, positions })
    return {
      positions,
      /** Where it begins. */
      begin: Effect.map(positions.begin([place], bus.ends([place.topic])), ([position]) => position?.next),
      handle: ([first, ...rest]: ReadonlyArray<Received>) =>
        right([first!, ...rest], [{ ...place, from: first!.offset, next: first!.offset + 1 + rest.length }]),
    }
  })
