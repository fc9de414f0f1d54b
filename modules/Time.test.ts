import { afterAll, beforeAll, describe, expect, it, vi } from "@effect/vitest"
import { Result, Schema } from "effect"
import { Instant } from "./Time.ts"

const decode = Schema.decodeUnknownResult(Instant)

describe("Instant", () => {
  // A zone that is not UTC, so that nothing goes well by luck.
  beforeAll(() => void vi.stubEnv("TZ", "America/New_York"))
  afterAll(() => void vi.unstubAllEnvs())

  const Millis = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: Date.UTC(10_000, 0) - 1 }))

  it.prop("comes back as it was written, in UTC with milliseconds", [Millis], ([millis]) => {
    const at = new Date(millis)
    const text = Schema.encodeSync(Instant)(at)
    expect(text).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/u)
    expect(Result.getOrThrow(decode(text))).toEqual(at)
  })

  it.each([
    ["2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.678Z"],
    ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z"],
    ["2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05.000Z"],
    ["2026-01-02T03:04:05.678901Z", "2026-01-02T03:04:05.678Z"],
    ["2026-01-02 03:04", "2026-01-02T03:04:00.000Z"],
    ["2026-01-02T03:04:05.678901", "2026-01-02T03:04:05.678Z"],
    ["2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"],
    ["1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.000Z"],
    ["9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"],
  ])("reads %s as %s", (text, utc) => expect(Result.getOrThrow(decode(text)).toISOString()).toBe(utc))

  it.each([
    "",
    "now",
    "yesterday",
    "1",
    "12",
    "Jan 2 2026",
    "2026-01-02",
    "20260102T030405Z",
    "2026-00-10T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-01-00T00:00:00Z",
    "2026-01-32T00:00:00Z",
    "2026-04-31T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2025-02-29T00:00:00Z",
    "2026-01-02T25:00:00Z",
    "1969-12-31T23:59:59.999Z",
    "+010000-01-01T00:00:00.000Z",
    "-000001-01-01T00:00:00.000Z",
    1_767_323_045_000,
    null,
    {},
  ])("refuses %j", (wrong) => expect(Result.isFailure(decode(wrong))).toBe(true))
})
