import { Context, type Effect } from "effect"
import type { End, EventBusError } from "../events/EventBus.ts"
import type { EventType } from "../events/Event.ts"

/**
 * Shows whether the module's consumer has taken charge of everything that was published for a key before a point in time.
 * Only then may a module enforce a deadline that an event could still lift.
 */
export class Deliveries extends Context.Service<
  Deliveries,
  {
    /** The current ends of these topics, in the partition of `key`. Reads from the event log: call it outside of transactions. */
    readonly ends: (events: ReadonlyArray<EventType>, key: string) => Effect.Effect<ReadonlyArray<End>, EventBusError>

    /**
     * Whether the module has taken charge of all retained records before `ends`, and no dead letter with the key `held` (from
     * `Reaction.heldKey`, or the event's key for reactions without `heldBy`) is open in its reactions to these topics. Call it
     * after `ends`, in the transaction of the decision. False while one of these reactions is being reset or replayed.
     */
    readonly caughtUp: (ends: ReadonlyArray<End>, held: string) => Effect.Effect<boolean>
  }
>()("galleria/Deliveries") {}
