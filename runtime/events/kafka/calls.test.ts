import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { afterEach, beforeEach, vi } from "vitest"
import { type Handle, HandledTooLate } from "../EventBus.ts"
import { makeCalls } from "./calls.ts"

const sliceOf = (partition: number) =>
  ({
    records: [{ topic: "t", partition, offset: 0, time: 0, key: null, value: null, headers: {} }],
    span: { topic: "t", partition, from: 0, next: 1 },
  }) as const
const slice = sliceOf(0)

const started = (handle: Handle, evicted: Effect.Effect<never, unknown> = Effect.never) => {
  const calls = makeCalls(handle, 1_000)
  return { calls, fiber: Effect.runFork(calls.run(slice, evicted)) }
}

const byFirst = ([a]: ReadonlyArray<number>, [b]: ReadonlyArray<number>) => a! - b!

/** Runs slices of these partitions as they come from one fetch, and records the partitions of each call. */
const fetched = (work: (partitions: ReadonlyArray<number>) => Effect.Effect<void, unknown>) => {
  const seen: Array<ReadonlyArray<number>> = []
  const calls = makeCalls((records) => {
    const partitions = records.map(({ partition }) => partition)
    seen.push(partitions)
    return work(partitions)
  }, 1_000)
  const run = (partitions: ReadonlyArray<number>) =>
    partitions.map((partition) => Effect.runPromise(calls.run(sliceOf(partition), Effect.never)))
  return { seen, run, calls }
}

describe("A call of handle", () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it("has the records and what they cover", async () => {
    const seen: Array<unknown> = []
    const { calls, fiber } = started((...given) => Effect.sync(() => void seen.push(given)))
    await vi.advanceTimersByTimeAsync(0)
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

describe("Slices of several partitions", () => {
  it("share a call, and those that come meanwhile the next one", async () => {
    const { seen, run } = fetched(() => Effect.sleep("10 millis"))
    const first = run([0, 1, 2])
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(await Promise.all([...first, ...run([3, 4])])).toEqual(Array(5).fill(Exit.void))
    expect(seen).toEqual([
      [0, 1, 2],
      [3, 4],
    ])
  })

  it("are called alone after their call has failed, each until it succeeds", async () => {
    let broken: number | undefined = 1
    const { seen, run } = fetched((partitions) =>
      broken !== undefined && partitions.includes(broken) ? Effect.fail("broken") : Effect.void,
    )
    const exits = await Promise.all(run([0, 1, 2]))
    expect(exits).toEqual([Exit.void, Exit.fail("broken"), Exit.void])
    expect(seen[0]).toEqual([0, 1, 2])
    expect(seen.slice(1).toSorted(byFirst)).toEqual([[0], [1], [2]])

    seen.length = 0
    await Promise.all(run([0, 1, 2]))
    expect(seen.toSorted(byFirst)).toEqual([[0, 2], [1]])

    broken = undefined
    await Promise.all(run([1]))
    seen.length = 0
    await Promise.all(run([0, 1, 2]))
    expect(seen).toEqual([[0, 1, 2]])
  })

  it("fail together at the deadline, and are called alone the next time", async () => {
    const { seen, run } = fetched((partitions) => (partitions.includes(1) ? Effect.never : Effect.void))
    expect(await Promise.all(run([0, 1]))).toEqual(Array(2).fill(Exit.fail(new HandledTooLate({ millis: 1_000 }))))
    expect(await Promise.all(run([0]))).toEqual([Exit.void])
    expect(seen).toEqual([[0, 1], [0]])
  })

  it("go on when the member was evicted from the partition of the first", async () => {
    const { seen, calls, run } = fetched(() => Effect.sleep("20 millis"))
    const first = Effect.runPromise(calls.run(sliceOf(0), Effect.delay(Effect.fail("evicted"), 5)))
    const others = run([1, 2])
    expect(await first).toEqual(Exit.fail("evicted"))
    expect(await Promise.all(others)).toEqual([Exit.void, Exit.void])
    expect(seen).toEqual([[0, 1, 2], [1], [2]])
  })

  it("do not wait for a call that hangs", async () => {
    vi.useFakeTimers()
    try {
      const { calls, run } = fetched((partitions) =>
        partitions.includes(0) ? Effect.uninterruptible(Effect.never) : Effect.void,
      )
      void run([0])
      await vi.advanceTimersByTimeAsync(1)
      const others = Promise.all(run([1]))
      await vi.advanceTimersByTimeAsync(6_001)
      expect(calls.foundHanging()).toBe(true)
      await vi.advanceTimersByTimeAsync(1)
      expect(await others).toEqual([Exit.void])
    } finally {
      vi.useRealTimers()
    }
  })
})
