import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { afterEach, beforeEach, vi } from "vitest"
import { type Handle, HandledTooLate } from "../EventBus.ts"
import { makeCalls } from "./calls.ts"

const received = { topic: "t", partition: 0, offset: 0, time: 0, key: null, value: null, headers: {} }
const slice = { records: [received], span: { topic: "t", partition: 0, from: 0, next: 1 } } as const

const started = (handle: Handle, evicted: Effect.Effect<never, unknown> = Effect.never) => {
  const calls = makeCalls(handle, 1_000)
  return { calls, fiber: Effect.runFork(calls.run(slice, evicted)) }
}

describe("A call of handle", () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it("has the records and what they cover", async () => {
    const seen: Array<unknown> = []
    const { calls, fiber } = started((...given) => Effect.sync(() => void seen.push(given)))
    expect(await Effect.runPromise(Fiber.join(fiber))).toEqual(Exit.void)
    expect(seen).toEqual([[slice.records, [slice.span]]])
    expect([calls.isIdle(), calls.hanging()]).toEqual([true, 0])
  })

  it("is interrupted at its deadline, which is a failure", async () => {
    const { calls, fiber } = started(() => Effect.never)
    await vi.advanceTimersByTimeAsync(999)
    expect([calls.isIdle(), fiber.pollUnsafe()]).toEqual([false, undefined])
    await vi.advanceTimersByTimeAsync(1)
    expect(await Effect.runPromise(Fiber.join(fiber))).toEqual(Exit.fail(new HandledTooLate({ millis: 1_000 })))
    expect([calls.isIdle(), calls.foundHanging()]).toEqual([true, false])
  })

  it("is interrupted when the member is evicted", async () => {
    const { fiber } = started(() => Effect.never, Effect.delay(Effect.fail("evicted"), 10))
    await vi.advanceTimersByTimeAsync(10)
    expect(await Effect.runPromise(Fiber.join(fiber))).toEqual(Exit.fail("evicted"))
  })

  it("hangs when it has not ended 5 s after its interruption, until it ends", async () => {
    const { calls, fiber } = started(() => Effect.uninterruptible(Effect.sleep("60 seconds")))
    await vi.advanceTimersByTimeAsync(5_999)
    expect([calls.foundHanging(), calls.isIdle()]).toEqual([false, false])
    await vi.advanceTimersByTimeAsync(1)
    expect([calls.foundHanging(), calls.foundHanging()]).toEqual([true, false])
    expect([calls.isIdle(), calls.hanging()]).toEqual([true, 1])
    await vi.advanceTimersByTimeAsync(60_000)
    await Effect.runPromise(Fiber.join(fiber))
    expect(calls.hanging()).toBe(0)
  })
})
