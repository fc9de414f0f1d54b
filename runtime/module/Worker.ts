import type { Effect } from "effect"

/**
 * Work that a module does by itself, such as calling somebody outside: rows that say what is to be done.
 *
 * A turn does what is due now, outside any transaction that it does not open itself, and says whether there may be
 * more. It never sleeps: the runtime repeats turns, so tests and simulations can call them in any order.
 */
export interface Worker<out R> {
  readonly name: string
  readonly turn: Effect.Effect<boolean, never, R>
}
