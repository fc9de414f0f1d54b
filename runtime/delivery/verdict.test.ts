import { describe, expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { type Failure, verdictOn } from "./verdict.ts"

const now = new Date("2026-01-02T00:00:00Z")
const hours = (n: number) => new Date(now.getTime() - n * 3_600_000)
const twice = Schedule.max([Schedule.spaced("7 seconds"), Schedule.recurs(2)])

const deadLetter = { attempts: 1, reason: "failed", postponed_at: null, first_failed_at: hours(30), redriven_at: null }
const failed: Failure = { status: "retrying", attempts: 1, reason: "failed", error: "locked", due: null }
const postponed: Failure = { status: "retrying", attempts: 0, reason: "postponed", error: "", due: hours(-6) }

const verdict = (change: Partial<typeof deadLetter> | object, outcome: Failure) =>
  verdictOn({ ...deadLetter, ...change }, outcome, twice, now)

describe("The verdict on a dead letter whose attempt failed", () => {
  it.effect("counts the attempt and follows the schedule", () =>
    Effect.map(verdict({}, failed), (found) =>
      expect(found).toEqual({
        status: "retrying",
        attempts: 2,
        due: new Date(now.getTime() + 7_000),
        reason: "failed",
        error: "locked",
        postponed_at: null,
      }),
    ),
  )

  it.effect("is parked when the schedule is done", () =>
    Effect.map(verdict({ attempts: 2 }, failed), (found) =>
      expect(found).toMatchObject({ status: "parked", attempts: 3, due: null }),
    ),
  )

  it.effect("is parked when the outcome is", () =>
    Effect.map(verdict({}, { ...failed, status: "parked", reason: "rejected" }), (found) =>
      expect(found).toMatchObject({ status: "parked", attempts: 2, due: null, reason: "rejected" }),
    ),
  )

  it.effect("counts nothing when the outcome does not, and takes its time", () =>
    Effect.map(verdict({ attempts: 2 }, { ...failed, attempts: 0, reason: "unavailable", due: hours(-1) }), (found) =>
      expect(found).toMatchObject({ status: "retrying", attempts: 2, due: hours(-1), postponed_at: null }),
    ),
  )

  it.effect("keeps the time of the first postponement in a row", () =>
    Effect.gen(function* () {
      const first = yield* verdict({}, postponed)
      expect(first).toMatchObject({ status: "retrying", attempts: 1, due: hours(-6), postponed_at: now })
      const later = yield* verdict({ reason: "postponed", postponed_at: hours(20) }, postponed)
      expect(later).toMatchObject({ status: "retrying", postponed_at: hours(20) })
    }),
  )

  it.effect("takes the first failure for the first postponement by the consumer", () =>
    Effect.map(verdict({ reason: "postponed", first_failed_at: hours(23) }, postponed), (found) =>
      expect(found).toMatchObject({ status: "retrying", postponed_at: hours(23) }),
    ),
  )

  it.effect("is parked after 24 hours of postponements, counted again from a redrive", () =>
    Effect.gen(function* () {
      const long = { reason: "postponed", postponed_at: hours(24) }
      expect(yield* verdict(long, postponed)).toMatchObject({ status: "parked", due: null })
      const redriven = yield* verdict({ ...long, redriven_at: hours(2) }, postponed)
      expect(redriven).toMatchObject({ status: "retrying", postponed_at: hours(2) })
    }),
  )
})
