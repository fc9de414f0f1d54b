import { describe, expect, it } from "@effect/vitest"
import { type Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { setTimeout as sleep } from "node:timers/promises"
import { type Committer, makeCommits } from "./commits.ts"

/** A payload whose commits are written down, such as `t/0 at 5`, and fail as often as `failures` says. */
const broker = (failures = 0) => {
  const commits: Array<string> = []
  const payload: Committer = {
    commitOffsetsIfNecessary: async (offsets) => {
      commits.push(
        offsets!.topics
          .flatMap(({ topic, partitions }) => partitions.map((p) => `${topic}/${p.partition} at ${p.offset}`))
          .join(", "),
      )
      if (failures-- > 0) throw new Error("the broker is away")
    },
  }
  return { commits, payload }
}

const at = (next: number, partition = 0) => ({ topic: "t", partition, next })

/** So much time passes, and what waits for no time is done. */
const pass = (time: Duration.Input) =>
  Effect.andThen(
    TestClock.adjust(time),
    Effect.promise(() => sleep(5)),
  )

describe("The commits of a member", () => {
  it.effect("are made soon, and at most every 100 ms", () =>
    Effect.gen(function* () {
      const { commits, payload } = broker()
      const { add } = yield* makeCommits
      yield* pass("1 minute")
      add(at(1), payload)
      yield* pass("1 millis")
      expect(commits).toEqual(["t/0 at 1"])
      add(at(2), payload)
      add(at(7, 1), payload)
      add(at(3), payload)
      yield* pass("98 millis")
      expect(commits).toHaveLength(1)
      yield* pass("2 millis")
      expect(commits.slice(1)).toEqual(["t/0 at 3, t/1 at 7"])
      yield* pass("1 minute")
      expect(commits).toHaveLength(2)
    }),
  )

  it.effect("are retried when they failed, with what was added meanwhile", () =>
    Effect.gen(function* () {
      const { commits, payload } = broker(2)
      const { add } = yield* makeCommits
      add(at(1), payload)
      add(at(4, 1), payload)
      yield* pass("1 millis")
      add(at(2), payload)
      yield* pass("2 seconds")
      yield* pass("2 seconds")
      yield* pass("1 minute")
      expect(commits).toEqual(["t/0 at 1, t/1 at 4", "t/0 at 2, t/1 at 4", "t/0 at 2, t/1 at 4"])
    }),
  )
})
