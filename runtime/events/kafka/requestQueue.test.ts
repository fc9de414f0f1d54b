import { createRequire } from "node:module"
import { describe, expect, it, vi } from "vitest"
import { withoutIdleTimers } from "./requestQueue.ts"

withoutIdleTimers()

/** kafkajs' queue, with the timer by which it looks again at what waits. */
const queue = () => {
  const RequestQueue = createRequire(import.meta.url)("kafkajs/src/network/requestQueue") as new (options: object) => {
    pending: Array<unknown>
    throttledUntil: number
    readonly throttleCheckTimeoutId: unknown
    scheduleCheckPendingRequests(): void
    scheduleRequestTimeoutCheck(): void
    push(request: object): void
    destroy(): void
  }
  const logger = { namespace: () => ({ debug: () => {} }) }
  const options = { maxInFlightRequests: null, requestTimeout: 1_000, enforceRequestTimeout: true, logger }
  return new RequestQueue({ ...options, clientId: "c", broker: "b" })
}

describe("The requests of a connection to Kafka", () => {
  it("have no timer while none waits", () => {
    const idle = queue()
    idle.scheduleCheckPendingRequests()
    expect(idle.throttleCheckTimeoutId).toBeFalsy()
  })

  it.each([
    ["one waits", { pending: [{}] }],
    ["the broker throttles", { throttledUntil: Date.now() + 10_000 }],
  ])("have one while %s", (_when, state) => {
    const busy = Object.assign(queue(), state)
    busy.scheduleCheckPendingRequests()
    expect(busy.throttleCheckTimeoutId).toBeTruthy()
    busy.destroy()
  })

  it("fail when they are not answered in time", () => {
    vi.useFakeTimers()
    try {
      const own = queue()
      own.scheduleRequestTimeoutCheck()
      const failed: Array<string> = []
      const reject = (error: unknown) => failed.push(String(error))
      const entry = { correlationId: 1, apiName: "Fetch", apiKey: 1, apiVersion: 11, reject }
      own.push({ entry, expectResponse: true, sendRequest: () => {} })
      vi.advanceTimersByTime(1_000)
      expect(failed).toEqual([])
      vi.advanceTimersByTime(501)
      expect(failed).toEqual([expect.stringContaining("Request Fetch(key: 1, version: 11) timed out")])
      own.destroy()
      expect(vi.getTimerCount()).toBe(0)
    } finally {
      vi.useRealTimers()
    }
  })
})
