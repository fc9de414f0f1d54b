import { expect, it } from "@effect/vitest"
import { actorOf } from "./actor.ts"

it("is the name that is given, in one line of at most 60 characters, or how the request is allowed", () => {
  expect(actorOf({ "x-actor": "ada", authorization: "Bearer x" })).toBe("ada")
  expect(actorOf({ "x-actor": " a\nb " })).toBe("a b")
  expect(actorOf({ "x-actor": "x".repeat(100) })).toHaveLength(60)
  expect(actorOf({ "x-actor": " ", authorization: "Bearer x" })).toBe("token")
  expect(actorOf({})).toBe("loopback")
})
