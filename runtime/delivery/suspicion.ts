import type { Delivery } from "./Delivery.ts"

/**
 * Failures that look like the infrastructure's, while it answers, until an event by itself is at fault (DELIVERY.md,
 * *Whose fault it is*).
 */
const suspectAfter = 5

/** More suspicions are not kept; an event that loses its own is suspected a few calls later. */
const mostSuspicions = 1_000

/** Counts how often in a row the slices that begin with an event failed, while the database answered. */
export const makeSuspicions = () => {
  const suspicions = new Map<string, number>()
  return {
    add: (first: Delivery) => {
      if (suspicions.size >= mostSuspicions) suspicions.clear()
      suspicions.set(nameOf(first), (suspicions.get(nameOf(first)) ?? 0) + 1)
    },
    clear: (first: Delivery) => void suspicions.delete(nameOf(first)),
    isSuspect: (first: Delivery) => (suspicions.get(nameOf(first)) ?? 0) >= suspectAfter,
  }
}

const nameOf = ({ source, event_id }: Delivery) => `${source} ${event_id}`
