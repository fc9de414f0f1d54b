import { Context } from "effect"

/**
 * How long whoever is being answered still waits for the database, over all that is asked of it: `left` is taken from
 * by each wait, but for those that are too short to matter.
 */
export interface Patience {
  left: number
}

/** Whose answer must come in time has patience; a loop has none, for it can wait for longer. */
export const Patience = Context.Reference<Patience | undefined>("galleria/sql/Patience", {
  defaultValue: () => undefined,
})

/** A request is told within 2 s to come back later. */
export const ofRequest = (): Patience => ({ left: 1_700 })

/** Says that the database may take as long as it takes. */
export const endless: Patience = { left: Number.POSITIVE_INFINITY }

/** A wait that is no sign of trouble, in milliseconds. */
const swift = 50

/** Takes a wait that is over from what is left. */
export const spend = (patience: Patience | undefined, millis: number) => {
  if (patience !== undefined && millis > swift) patience.left = Math.max(0, patience.left - millis)
}
