import { changeOnce } from "./internals.ts"

/** What is used here of kafkajs' queue of the requests of one connection. */
interface RequestQueue {
  readonly pending: ReadonlyArray<unknown>
  /** Unix ms; -1 while the broker does not throttle. */
  readonly throttledUntil: number
  scheduleCheckPendingRequests: (this: RequestQueue) => void
}

/**
 * Stops a timer of kafkajs 2.2.4 that fires each millisecond on every connection, whether requests wait or not
 * (tulios/kafkajs#1704, #1751): it cost an idle module 4 % of a core. The timer still runs while requests wait or the
 * broker throttles. Changes kafkajs once for the process.
 */
export const withoutIdleTimer = (): void =>
  changeOnce<{ readonly prototype: RequestQueue }>("kafkajs/src/network/requestQueue", ({ prototype }) => {
    const schedule = prototype.scheduleCheckPendingRequests
    prototype.scheduleCheckPendingRequests = function () {
      if (this.pending.length > 0 || this.throttledUntil > Date.now()) schedule.call(this)
    }
  })
