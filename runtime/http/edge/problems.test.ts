import { describe, expect, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { modules } from "../../modules.ts"
import { Scenario, scenario } from "../../test/harness/scenario.ts"
import { catalogue, declare } from "../Problem.ts"
import { ask } from "../../test/http/ask.ts"
import { words } from "../../test/http/badValues.ts"

/** What others look for, by status. */
const promised: Readonly<Record<number, string>> = {
  400: "malformed-json bad-request invalid-cursor invalid-idempotency-key",
  401: "unauthorized",
  403: "forbidden",
  404: "not-found user-not-found order-not-found dead-letter-not-found",
  405: "method-not-allowed",
  408: "request-timeout",
  409: "email-taken order-not-cancellable request-in-progress",
  413: "content-too-large",
  415: "unsupported-media-type",
  422: "validation-failed idempotency-key-reused",
  429: "too-many-requests",
  431: "headers-too-large",
  500: "internal",
  503: "unavailable",
}

describe("A problem that two contracts declare", () => {
  const kind = { slug: "sold-out", status: 409, title: "Sold out", detail: "Nothing of this product is left." } as const

  it("is one, when both say the same", () => {
    class First extends declare<First>()("First", kind) {}
    class Second extends declare<Second>()("Second", { ...kind }) {}
    const problems = [new First({}), new Second({})].map(({ type, status, detail }) => ({ type, status, detail }))
    expect(problems[0]).toEqual(problems[1])
    expect(catalogue().filter(({ slug }) => slug === kind.slug)).toEqual([kind])
  })

  it.each([{ status: 410 }, { title: "Gone" }, { detail: "It is gone." }])(
    "is refused when they differ: %j",
    (other) => {
      declare()("First", kind)
      expect(() => declare()("Other", { ...kind, ...other })).toThrow(
        new RegExp(`the problem sold-out is declared twice, with another ${Object.keys(other)[0]}: .*409.*`, "u"),
      )
      expect(catalogue().filter(({ slug }) => slug === kind.slug)).toEqual([kind])
    },
  )
})

/** What a browser says that it accepts. */
const browser = { accept: "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8" }

layer(scenario(Object.values(modules)), { excludeTestServices: true })("/problems", (it) => {
  const get = (path: string, headers: Readonly<Record<string, string>> = {}) =>
    Effect.flatMap(Scenario, ({ url }) => Effect.promise(() => ask(url, { path, headers })))

  it.effect("has every problem that is promised, with its status", () =>
    Effect.gen(function* () {
      const { body } = yield* get("/problems")
      const statuses = Object.fromEntries(
        body.items.map(({ type, status }: { type: string; status: number }) => [type, status]),
      )
      for (const [status, slugs] of Object.entries(promised)) {
        for (const slug of words(slugs)) expect([slug, statuses[`/problems/${slug}`]]).toEqual([slug, Number(status)])
      }
    }),
  )

  it.effect("explains each of them, to programs and to people", () =>
    Effect.gen(function* () {
      const { body } = yield* get("/problems", { accept: "application/json" })
      const all = yield* get("/problems", browser)
      expect(body.items.length).toBe(catalogue().length)
      for (const problem of body.items) {
        expect(problem).toEqual({
          type: expect.stringMatching(/^\/problems\/[a-z-]+$/u),
          title: expect.stringMatching(/\S/u),
          status: expect.any(Number),
          detail: expect.stringMatching(/^[A-Z].{20,}\.$/u),
        })
        const one = yield* get(problem.type, { accept: "*/*" })
        expect(one).toMatchObject({ status: 200, headers: { "content-type": "application/json" }, body: problem })
        const page = yield* get(problem.type, browser)
        expect(page).toMatchObject({
          status: 200,
          headers: { "content-type": "text/html; charset=utf-8", vary: "accept" },
        })
        for (const text of [page.text, all.text]) {
          expect(text).toContain(`href="${problem.type}"`)
          expect(text).toContain(`${problem.status} ${problem.title}.`)
        }
      }
    }),
  )

  it.effect("knows no other", () =>
    Effect.gen(function* () {
      for (const slug of ["nothing", "INTERNAL", "%3Cscript%3E", "constructor"]) {
        const { status, headers } = yield* get(`/problems/${slug}`, browser)
        expect({ status, type: headers["content-type"] }).toEqual({ status: 404, type: "application/problem+json" })
      }
    }),
  )

  it.effect("shows names of code as such, and can run nothing", () =>
    Effect.gen(function* () {
      const { text } = yield* get("/problems", browser)
      expect(text).toContain("<code>Retry-After</code>")
      expect(text).not.toMatch(/`|<script|https?:/u)
    }),
  )
})
