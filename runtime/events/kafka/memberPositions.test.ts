import { Deferred, Effect, Fiber, Latch } from "effect"
import type { Consumer } from "kafkajs"
import { describe, expect, it } from "vitest"
import type { Partition } from "../EventBus.ts"
import { makeMemberPositions, passedBy } from "./memberPositions.ts"

/** A batch without a record for the member. */
const passed = (firstOffset: string | null, lastOffset: string) => ({
  topic: "t",
  partition: 3,
  batchSize: 0,
  firstOffset,
  lastOffset,
})

describe("A batch without a record", () => {
  it("moves the position behind it", () => {
    expect(passedBy(passed("7", "9"), 7)).toEqual({ topic: "t", partition: 3, from: 7, next: 10 })
    expect(passedBy(passed("5", "9"), 7)).toEqual({ topic: "t", partition: 3, from: 7, next: 10 })
  })

  it.each([
    ["has records", { ...passed("7", "9"), batchSize: 1 }, 7],
    ["is empty", passed(null, "-1"), 7],
    ["is of a partition that the member does not have", passed("7", "9"), undefined],
    ["begins after the position", passed("8", "9"), 7],
    ["ends before the position", passed("3", "6"), 7],
  ])("moves nothing when it %s", (_what, batch, at) => {
    expect(passedBy(batch, at)).toBeUndefined()
  })
})

/** The part of kafkajs' consumer that is used, with what it is to do at a seek. */
const consumerWith = (seek: Consumer["seek"]) =>
  ({ seek, commitOffsets: () => Promise.resolve() }) as Pick<Consumer, "seek" | "commitOffsets"> as Consumer

describe("The positions of a member", () => {
  it("are asked for again in all of its partitions of a topic", async () => {
    const asked: Array<ReadonlyArray<Partition>> = []
    const sought: Array<unknown> = []
    const consumer = consumerWith((position) => void sought.push(position))
    await Effect.gen(function* () {
      const begin = (partitions: ReadonlyArray<Partition>) =>
        Effect.sync(() => {
          asked.push(partitions)
          return partitions.map((partition) => ({ ...partition, next: asked.length }))
        })
      const moved = yield* Latch.make(false)
      const positions = yield* makeMemberPositions({ begin, moved, pass: () => Effect.void }, () => Effect.succeed([]))
      positions.joined(consumer, { t: [3, 5], u: [1] })
      yield* positions.ready
      sought.length = 0
      yield* positions.again("t")
    }).pipe(Effect.scoped, Effect.runPromise)
    const ofTopic = [
      { topic: "t", partition: 3 },
      { topic: "t", partition: 5 },
    ]
    expect(asked.at(-1)).toEqual(ofTopic)
    expect(sought).toEqual(ofTopic.map((partition) => ({ ...partition, offset: "2" })))
  })

  it("become known to a batch that waits already when they are asked for again meanwhile", async () => {
    const consumer = consumerWith(() => {})
    const at = await Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const moved = yield* Latch.make(false)
      let count = 0
      const begin = Effect.suspend(() =>
        ++count === 1
          ? Effect.andThen(Deferred.succeed(asked, undefined), Effect.never)
          : Effect.succeed([{ topic: "t", partition: 3, next: 7 }]),
      )
      const positions = yield* makeMemberPositions({ begin: () => begin, moved, pass: () => Effect.void }, () =>
        Effect.succeed([]),
      )
      positions.joined(consumer, { t: [3] })
      yield* Deferred.await(asked)
      const batch = yield* Effect.forkChild(positions.ready, { startImmediately: true })
      yield* moved.open
      yield* Effect.timeout(Fiber.join(batch), "2 seconds")
      return positions.at({ topic: "t", partition: 3 })
    }).pipe(Effect.scoped, Effect.runPromise)
    expect(at).toBe(7)
  })
})
