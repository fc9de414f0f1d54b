/** What is read of an order's journey (`GET /admin/journeys/{order_id}`). */
export interface WalkedJourney {
  readonly events: ReadonlyArray<{
    readonly topic: string
    readonly deliveries: ReadonlyArray<{ readonly reaction: string; readonly status: string }>
  }>
  readonly unsent: ReadonlyArray<{ readonly module: string; readonly type: string }>
  readonly steps: ReadonlyArray<{
    readonly module: string
    readonly kind: string
    readonly state: string
    readonly why?: string
  }>
}

/** A delivery that is over, or that the answering process knows nothing about. */
const settled = new Set(["applied", "resolved", "redriven", "unknown"])

/** A call to the outside that is still to be made, or whose result is not known. */
const open = new Set(["waiting", "due", "called", "retrying", "unknown"])

/**
 * Where an order stands: what is open in its journeys, one from each process. `nothing is open` when all was done that the
 * modules have begun.
 */
export const standing = (journeys: ReadonlyArray<WalkedJourney>): string => {
  const found = journeys.flatMap(({ events, unsent, steps }) => [
    ...unsent.map(({ module, type }) => `${type} of ${module} is not on the log`),
    ...events.flatMap(({ topic, deliveries }) =>
      deliveries.flatMap(({ reaction, status }) => (settled.has(status) ? [] : [`${reaction} of ${topic}: ${status}`])),
    ),
    ...steps.flatMap(({ module, kind, state, why }) =>
      open.has(state) ? [`${kind} by ${module}: ${state}${why === undefined ? "" : `, ${why}`}`] : [],
    ),
  ])
  return found.length === 0 ? "nothing is open" : [...new Set(found)].join("; ")
}
