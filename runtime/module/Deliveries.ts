import { Context, type Effect } from "effect"
import type { End, EventBusError } from "../events/EventBus.ts"
import type { EventType } from "../events/Event.ts"

/**
 * What a module may know of its own consumer: whether it has taken charge of everything that was published about one
 * key before a moment. A deadline that an event could still lift is safe to enforce only then.
 */
export class Deliveries extends Context.Service<
  Deliveries,
  {
    /** Where these topics end now, in the partition of `key`. Asks the event log: call it outside of transactions. */
    readonly ends: (events: ReadonlyArray<EventType>, key: string) => Effect.Effect<ReadonlyArray<End>, EventBusError>

    /**
     * Whether the module has taken charge of all that came before `ends` and is kept, and no dead letter under `held`
     * (as `Reaction.heldKey` makes it, or the key of reactions that are held by it) is open in its reactions to these
     * topics. Ask in the transaction that decides, after `ends`. A reaction that is reset and replayed is not waited for.
     */
    readonly caughtUp: (ends: ReadonlyArray<End>, held: string) => Effect.Effect<boolean>
  }
>()("galleria/Deliveries") {}
