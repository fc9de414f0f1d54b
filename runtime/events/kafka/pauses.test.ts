import { Cause } from "effect"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { makePauses } from "./pauses.ts"

/** Batches of one partition, and how often that was paused and resumed. */
const partition = (n: number, onResume = () => {}) => {
  const counts = { paused: 0, resumed: 0 }
  const pause = () => {
    counts.paused++
    return () => {
      counts.resumed++
      onResume()
    }
  }
  return { batch: { topic: "t", partition: n }, pause, counts }
}

const cause = (text: string) => Cause.fail(text)

describe("A partition that fails", () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it("is paused for longer each time, and each time resumed", async () => {
    const [one, pauses] = [partition(0), makePauses(() => {})]
    for (let n = 1; n <= 4; n++) {
      pauses.failed(one, cause("refused"))
      const [least, most] = [80 * 2 ** (n - 1), 120 * 2 ** (n - 1)]
      await vi.advanceTimersByTimeAsync(least - 1)
      expect(one.counts).toEqual({ paused: n, resumed: n - 1 })
      await vi.advanceTimersByTimeAsync(most - least + 1)
      expect(one.counts).toEqual({ paused: n, resumed: n })
    }
  })

  it("begins with the shortest pause again after a success", async () => {
    const [one, pauses] = [partition(0), makePauses(() => {})]
    for (let n = 0; n < 8; n++) pauses.failed(one, cause("refused"))
    await vi.runAllTimersAsync()
    pauses.succeeded(one.batch)
    pauses.failed(one, cause("refused"))
    await vi.advanceTimersByTimeAsync(120)
    expect(one.counts).toEqual({ paused: 9, resumed: 9 })
  })

  it("says why until it succeeds, or all is forgotten", () => {
    let failures = 0
    const [one, other, pauses] = [partition(0), partition(1), makePauses(() => failures++)]
    expect(pauses.cause()).toBeUndefined()
    pauses.failed(one, cause("one"))
    pauses.failed(other, cause("other"))
    expect([failures, pauses.cause()]).toEqual([2, cause("one")])
    pauses.succeeded(one.batch)
    expect(pauses.cause()).toEqual(cause("other"))
    pauses.clear()
    expect(pauses.cause()).toBeUndefined()
  })

  it("may belong to a consumer that has stopped when it is to be resumed", async () => {
    const stopped = partition(0, () => {
      throw new Error("the consumer has stopped")
    })
    makePauses(() => {}).failed(stopped, cause("refused"))
    await vi.runAllTimersAsync()
    expect(stopped.counts.resumed).toBe(1)
  })
})
