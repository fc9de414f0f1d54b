import { Duration } from "effect"
import { describe, expect, it } from "vitest"
import { modules } from "./modules.ts"
import { eventsOf, projectedBy } from "./module/Module.ts"
import { retentionOf, shorter } from "./topics.ts"

const days = (count: number) => Duration.days(count)
const all = Object.values(modules)
const projected = projectedBy(all)

const kept = (retentionDays: number | undefined) =>
  Object.fromEntries(
    eventsOf(all).map((event) => {
      const retention = retentionOf(event, { retentionDays, projected })
      return [event.type, retention === undefined ? "for ever" : Duration.toDays(retention)]
    }),
  )

describe("The retention of topics", () => {
  it("is 30 days while RETENTION_DAYS is unset, and unlimited for what feeds a projection with a reset", () => {
    const forEver = ["user_created", "order_created", "order_processed", "order_failed", "order_cancelled"]
    const expected = eventsOf(all).map(({ type }) => [type, forEver.includes(type) ? "for ever" : 30])
    expect(kept(undefined)).toEqual(Object.fromEntries(expected))
  })

  it("is what RETENTION_DAYS says, but for user_created", () => {
    const expected = eventsOf(all).map(({ type }) => [type, type === "user_created" ? "for ever" : 7])
    expect(kept(7)).toEqual(Object.fromEntries(expected))
  })
})

describe("A topic that exists", () => {
  it.each([
    [days(30), undefined, days(30), undefined],
    [days(31), undefined, days(30), undefined],
    [undefined, undefined, days(30), undefined],
    [undefined, undefined, undefined, undefined],
    [days(7), undefined, days(30), "topic t keeps its records for 7 days, not 30 days"],
    [Duration.hours(1), undefined, days(30), "topic t keeps its records for 0.04 days, not 30 days"],
    [days(7), undefined, undefined, "topic t keeps its records for 7 days, not for ever"],
    [days(30), "retention.bytes=1000", days(30), "topic t keeps its records by retention.bytes=1000, not 30 days"],
    [
      undefined,
      "cleanup.policy=compact",
      undefined,
      "topic t keeps its records by cleanup.policy=compact, not for ever",
    ],
    [
      days(7),
      "retention.bytes=1000",
      days(30),
      "topic t keeps its records for 7 days and by retention.bytes=1000, not 30 days",
    ],
  ])("that keeps its records for %j, sooner by %j, where %j is wanted", (retention, sooner, wanted, text) => {
    expect(shorter({ topic: "t", retention, sooner }, wanted)).toBe(text)
  })
})
