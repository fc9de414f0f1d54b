import { describe, expect, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { modules } from "../modules.ts"
import { Scenario, scenario } from "../test/harness/scenario.ts"
import { type Ask, ask, expectProblem } from "../test/http/ask.ts"
import { forwardedTo } from "./publicCalls.ts"

describe("forwardedTo", () => {
  it.each([
    ["GET", "/users", "/users"],
    ["GET", "/users/1/order-summary", "/users/1/order-summary"],
    ["POST", "/orders", "/orders"],
    ["GET", "/orders?user_id=1&status=a/b?c", "/orders?user_id=1&status=a/b?c"],
    ["POST", "/orders/1/cancel", "/orders/1/cancel"],
    ["GET", "/orders/1/history", "/orders/1/history"],
    ["PUT", "/inventory/LAPTOP.001_a-b", "/inventory/LAPTOP.001_a-b"],
    ["GET", "/notifications?order_id=1", "/notifications?order_id=1"],
  ])("forwards %s %s", (method, path, target) => {
    expect(forwardedTo(method, `/console/api${path}`)).toBe(target)
  })

  it.each([
    ["GET", "/admin/dead-letters"],
    ["POST", "/admin/dead-letters/redrive"],
    ["GET", "/metrics"],
    ["PUT", "/orders"],
    ["DELETE", "/orders/1"],
    ["POST", "/inventory/A"],
    ["GET", "/orders/.."],
    ["GET", "/orders/%2e%2E/history"],
    ["GET", "/orders/."],
    ["GET", "/orders/1/history/2"],
    ["GET", "//example.org/orders"],
    ["GET", "/orders\\..\\admin"],
    ["GET", ""],
  ])("does not forward %s %s", (method, path) => {
    expect(forwardedTo(method, `/console/api${path}`)).toBeUndefined()
  })
})

const token = "0123456789abcdef0123456789abcdef"
const send = (request: Ask) => Effect.flatMap(Scenario, ({ url }) => Effect.promise(() => ask(url, request)))
const headers = { authorization: `Bearer ${token}` }
const json = { ...headers, "content-type": "application/json" }

layer(scenario(Object.values(modules), { ADMIN_TOKEN: token, USER_WAIT_MS: "30000" }), { excludeTestServices: true })(
  "/console/api",
  (it) => {
    it.effect("makes the public calls of the modules, with their answers and problems", () =>
      Effect.gen(function* () {
        const body = JSON.stringify({ email: "ada@example.org", name: "Ada" })
        const user = yield* send({ method: "POST", path: "/console/api/users", headers: json, body })
        expect([user.status, user.headers.location]).toEqual([201, "/users/1"])
        const wrong = yield* send({ method: "POST", path: "/console/api/users", headers: json, body: "{}" })
        expect(wrong.body).toMatchObject({ type: "/problems/validation-failed", status: 422 })
        const users = yield* send({ path: "/console/api/users?limit=1", headers })
        expect(users.body).toEqual((yield* send({ path: "/users?limit=1" })).body)
        expectProblem(yield* send({ path: "/console/api/orders/9", headers }), { status: 404, slug: "order-not-found" })
      }),
    )

    it.effect("makes no other call, and none without access", () =>
      Effect.gen(function* () {
        const other = yield* send({ path: "/console/api/admin/dead-letters", headers })
        expectProblem(other, { status: 404, slug: "not-found" })
        expectProblem(yield* send({ path: "/console/api/users" }), { status: 401, slug: "unauthorized" })
        const deleted = yield* send({ method: "DELETE", path: "/console/api/orders/1", headers })
        expectProblem(deleted, { status: 405, slug: "method-not-allowed" })
      }),
    )
  },
)
