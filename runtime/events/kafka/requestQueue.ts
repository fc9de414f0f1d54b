import { changeOnce } from "./internals.ts"

/** What is used here of kafkajs' queue of the requests of one connection. */
interface RequestQueue {
  readonly pending: ReadonlyArray<unknown>
  /** Unix ms; -1 while the broker does not throttle. */
  readonly throttledUntil: number
  /** Requests without an answer, by correlation id. */
  readonly inflight: ReadonlyMap<number, SentRequest>
  readonly enforceRequestTimeout: boolean
  readonly isConnected: () => boolean
  requestTimeoutIntervalId: NodeJS.Timeout
  readonly destroy: () => void
  scheduleCheckPendingRequests: (this: RequestQueue) => void
  scheduleRequestTimeoutCheck: (this: RequestQueue) => void
}

interface SentRequest {
  /** Unix ms. */
  readonly sentAt: number
  /** In ms. */
  readonly requestTimeout: number
  readonly timeoutRequest: () => void
}

/** So often each connection looks for requests whose time-out has passed, in milliseconds. */
const lookMillis = 500

/**
 * Saves timers of kafkajs 2.2.4, which has two on every connection, whether requests wait or not. One fires each millisecond
 * (tulios/kafkajs#1704, #1751) and cost an idle module 4 % of a core: now it runs while requests wait or the broker throttles.
 * The other fires each 100 ms and looks for requests that are not answered in time: now it does so each 500 ms. Changes
 * kafkajs once for the process.
 */
export const withoutIdleTimers = (): void =>
  changeOnce<{ readonly prototype: RequestQueue }>("kafkajs/src/network/requestQueue", ({ prototype }) => {
    const schedule = prototype.scheduleCheckPendingRequests
    prototype.scheduleCheckPendingRequests = function () {
      if (this.pending.length > 0 || this.throttledUntil > Date.now()) schedule.call(this)
    }
    prototype.scheduleRequestTimeoutCheck = function () {
      if (!this.enforceRequestTimeout) return
      this.destroy()
      this.requestTimeoutIntervalId = setInterval(() => {
        const now = Date.now()
        for (const request of this.inflight.values()) {
          if (now - request.sentAt > request.requestTimeout) request.timeoutRequest()
        }
        if (!this.isConnected()) this.destroy()
      }, lookMillis)
    }
  })
