import { Context } from "effect"

/**
 * The time (ms) that a fiber may still wait for the database, over all its statements. Each wait is subtracted, apart from
 * very short ones.
 */
export interface Patience {
  left: number
}

/** Set for requests, whose answers have to be in time. Undefined for loops, which may wait for longer. */
export const Patience = Context.Reference<Patience | undefined>("galleria/sql/Patience", {
  defaultValue: () => undefined,
})

/** The patience of a request, which is answered 503 within 2 s. */
export const ofRequest = (): Patience => ({ left: 1_700 })

/** The same for each statement anew, for a request of very many. */
export const ofEach = (): Patience => ({
  get left() {
    return ofRequest().left
  },
  set left(_) {},
})

/** No limit. */
export const endless: Patience = { left: Number.POSITIVE_INFINITY }

/** A wait that is not subtracted, in milliseconds. */
const swift = 50

/** Subtracts a wait that has ended. */
export const spend = (patience: Patience | undefined, millis: number) => {
  if (patience !== undefined && millis > swift) patience.left = Math.max(0, patience.left - millis)
}
