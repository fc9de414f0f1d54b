import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { eventId } from "./eventId.ts"

it.live("makes UUIDv7s that differ in their random part and sort as they were made", () =>
  Effect.gen(function* () {
    const before = Date.now()
    // More than the random bytes of one draw are enough for.
    const ids = yield* Effect.all(Array.from({ length: 2_000 }, () => eventId))
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u)
    expect(ids.toSorted()).toEqual(ids)
    expect(new Set(ids.map((id) => id.slice(-12))).size).toBe(ids.length)
    expect(Number.parseInt(ids[0]!.replaceAll("-", "").slice(0, 12), 16)).toBeGreaterThanOrEqual(before)
  }),
)
