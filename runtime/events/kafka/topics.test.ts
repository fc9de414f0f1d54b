import { Duration } from "effect"
import { describe, expect, it } from "vitest"
import { differingIn, retentionOf } from "./topics.ts"

describe("The retention of a topic", () => {
  const day = Duration.days(1)

  it.each([
    ["nothing set", {}, undefined, undefined],
    ["a time", { "retention.ms": "86400000" }, day, undefined],
    ["no time", { "retention.ms": "-1" }, undefined, undefined],
    ["a size", { "retention.ms": "86400000", "retention.bytes": "1000" }, day, "retention.bytes=1000"],
    ["no size", { "retention.ms": "86400000", "retention.bytes": "-1" }, day, undefined],
    [
      "compaction",
      { "cleanup.policy": "compact", "retention.ms": "86400000", "retention.bytes": "1000" },
      undefined,
      "cleanup.policy=compact",
    ],
    [
      "both policies",
      { "cleanup.policy": "compact,delete", "retention.ms": "86400000" },
      day,
      "cleanup.policy=compact,delete",
    ],
  ])("follows from %s", (_what, config, retention, sooner) => {
    expect(retentionOf("t", new Map(Object.entries(config)))).toEqual({ topic: "t", retention, sooner })
  })
})

describe("The number of partitions", () => {
  const topic = (name: string, partitions: number | undefined) => ({ name, partitions, retention: undefined })
  const found = new Map([
    ["a", 6],
    ["b", 3],
  ])

  it("is as wanted where it is the same, is not set, or the topic does not exist", () => {
    expect(differingIn([topic("a", 6), topic("b", undefined), topic("c", 1)], found)).toBeUndefined()
  })

  it("differs otherwise, of the first such topic", () => {
    expect(differingIn([topic("a", 6), topic("b", 6)], found)).toMatchObject({ topic: "b", wanted: 6, found: 3 })
  })
})
