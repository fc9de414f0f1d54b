import { describe, expect, it } from "@effect/vitest"
import { type Attempt, causeOf, logged } from "./cause.ts"

const failure = (error: string, more: Partial<Parameters<typeof causeOf>[0]> = {}) =>
  causeOf({ reaction: "inventory.hold", topic: "order_created", reason: "failed", error, ...more })

describe("the cause of a dead letter", () => {
  it.each([
    ["numbers", "no shelf for order 17", "no shelf for order 4711"],
    ["ids", "no 019b7f4e-5c3a-7d21-9b1e-3f6a5d0c8e42", "no 019b7f4e-5b02-7c11-8f0a-1d2c3b4a5968"],
    ["quoted text", `no shelf for kind "bulky"`, `no shelf for kind "a 'small' one"`],
    ["addresses", "cannot write to ada@example.org now", "cannot write to bob@example.com now"],
    ["further lines", "no shelf\nat x", "no shelf\nat y"],
    ["the rest of a long text", `${"x".repeat(200)}a`, `${"x".repeat(200)}b`],
  ])("is the same whatever the %s", (_, one, other) => {
    expect(failure(one)).toBe(failure(other))
    expect(failure(one)).toMatch(/^[0-9a-f]{16}$/u)
  })

  it("differs by reaction, reason and error, and for unreadable records by topic", () => {
    const unreadable = (topic: string) => failure("e", { reaction: "*", topic })
    const causes = [
      failure("e"),
      failure("f"),
      failure("e", { reason: "schema" }),
      failure("e", { reaction: "user.x" }),
      unreadable("order_created"),
      unreadable("user_created"),
    ]
    expect(new Set(causes).size).toBe(causes.length)
    expect(failure("e", { topic: "other" })).toBe(failure("e"))
  })
})

describe("the log of attempts", () => {
  it("keeps the first 5 and the last 15", () => {
    const attempt = (n: number): Attempt => ({ at: String(n), error: null, took_ms: n })
    let log: ReadonlyArray<Attempt> | null = null
    for (let n = 1; n <= 30; n++) log = logged(log, attempt(n))
    expect(log?.map(({ took_ms }) => took_ms).join()).toBe("1,2,3,4,5,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30")
  })
})
