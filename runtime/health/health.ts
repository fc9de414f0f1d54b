import { Effect } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import { endpoints, serveAt } from "../http/openapi/operations.ts"
import { Kinds, problemOf, responseOf } from "../http/Problem.ts"
import { Loops } from "../loop/loop.ts"

export interface Check {
  readonly name: string
  /** The fault; undefined when there is none. */
  readonly fault: Effect.Effect<string | undefined>
  /** Whether a fault makes the process unavailable; a fault of other checks only makes it degraded. */
  readonly needed: boolean
}

export interface Health {
  state: "starting" | "running" | "stopping"
}

/** A loop that has not turned for this long makes `/livez` fail. */
const stillMillis = 60_000

/** `/livez`: whether the loops turn. `/readyz`: whether requests can be answered, and which checks fail. */
const answers = (health: Health, checks: ReadonlyArray<Check>) =>
  Effect.map(Loops, (loops) => ({
    livez: Effect.gen(function* () {
      const still = yield* loops.still(stillMillis)
      if (still.length === 0) return HttpServerResponse.jsonUnsafe({ status: "ok" })
      return unavailable({ detail: `These loops are stalled: ${still.join(", ")}` })
    }),
    readyz: Effect.gen(function* () {
      const results = yield* Effect.forEach(
        checks,
        (check) => Effect.map(check.fault, (fault) => ({ ...check, fault })),
        { concurrency: "unbounded" },
      )
      const report = Object.fromEntries(results.map(({ name, fault }) => [name, fault ?? "ok"]))
      if (health.state !== "running") return unavailable({ state: health.state, checks: report })
      if (results.some(({ fault, needed }) => needed && fault !== undefined)) {
        return unavailable({ state: "unavailable", checks: report })
      }
      const state = results.every(({ fault }) => fault === undefined) ? "ready" : "degraded"
      return HttpServerResponse.jsonUnsafe({ state, checks: report })
    }),
  }))

/** Adds both routes to the router. */
export const healthRoutes = (health: Health, checks: ReadonlyArray<Check>) =>
  Effect.gen(function* () {
    const { livez, readyz } = yield* answers(health, checks)
    yield* serveAt(endpoints.livez, livez)
    yield* serveAt(endpoints.readyz, readyz)
  })

/** Answers before the routes exist: `/livez`, `/readyz`, and 503 for everything else. */
export const whileStarting = (health: Health, checks: ReadonlyArray<Check>) =>
  Effect.map(answers(health, checks), ({ livez, readyz }) =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ url }) => {
      const [path] = url.split("?")
      if (path === "/livez") return livez
      return path === "/readyz" ? readyz : Effect.succeed(responseOf(Kinds.unavailable, { "retry-after": "1" }))
    }),
  )

const unavailable = (members: object) =>
  HttpServerResponse.jsonUnsafe(
    { ...problemOf(Kinds.unavailable), ...members },
    { status: 503, contentType: "application/problem+json", headers: { "retry-after": "1" } },
  )
