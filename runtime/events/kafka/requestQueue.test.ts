import { createRequire } from "node:module"
import { describe, expect, it } from "vitest"
import { withoutIdleTimer } from "./requestQueue.ts"

withoutIdleTimer()

/** kafkajs' queue, with the timer by which it looks again at what waits. */
const queue = () => {
  const RequestQueue = createRequire(import.meta.url)("kafkajs/src/network/requestQueue") as new (options: object) => {
    pending: Array<unknown>
    throttledUntil: number
    readonly throttleCheckTimeoutId: unknown
    scheduleCheckPendingRequests(): void
    destroy(): void
  }
  const logger = { namespace: () => ({ debug: () => {} }) }
  return new RequestQueue({ maxInFlightRequests: null, requestTimeout: 1_000, clientId: "c", broker: "b", logger })
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
})
