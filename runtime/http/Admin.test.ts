import { describe, expect, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { modules } from "../modules.ts"
import { Scenario, scenario } from "../test/harness/scenario.ts"
import { isNear, makeAttempts } from "./Admin.ts"
import { api as adminApi } from "../admin/api.ts"
import { endpointsOf } from "./openapi/document.ts"
import { type Ask, ask, expectProblem, json } from "../test/http/ask.ts"

const token = "a-token~of+32.characters/or_more="
const paths = endpointsOf(adminApi).map(({ method, path }) => ({
  method,
  path: path.replaceAll(/:\w+/gu, "019b7f4e-5c3a-7d21-9b1e-3f6a5d0c8e42"),
}))
const send = (request: Ask) => Effect.flatMap(Scenario, ({ url }) => Effect.promise(() => ask(url, request)))
const bearer = (text: string) => ({ authorization: `Bearer ${text}` })

const unauthorized = { status: 401, slug: "unauthorized" }
const forbidden = { status: 403, slug: "forbidden" }

layer(scenario(Object.values(modules), { ADMIN_TOKEN: token }), { excludeTestServices: true })(
  "/admin with a token",
  (it) => {
    it.effect("is closed without it, at every address, whatever else is wrong with the request", () =>
      Effect.gen(function* () {
        expect(paths.length).toBeGreaterThan(5)
        for (const { method, path } of paths) {
          const body = method === "GET" ? {} : { body: "{", headers: json }
          const answer = yield* send({ method, path, ...body })
          expectProblem(answer, unauthorized)
          expect(answer.headers["www-authenticate"]).toBe("Bearer")
        }
      }),
    )

    it.effect("is closed without it also where there is no such path or method", () =>
      Effect.gen(function* () {
        const absent = ["", "/", "?a=1", "/nope", "/faults", "/journeys/1/2", "/dead-letters/%"].map((rest): Ask => ({
          path: `/admin${rest}`,
        }))
        for (const request of [...absent, { method: "PUT", path: "/admin/faults/mail" }]) {
          expectProblem(yield* send(request), unauthorized)
          expectProblem(yield* send({ ...request, headers: bearer(token) }), { status: 404, slug: "not-found" })
        }
        for (const method of ["DELETE", "PATCH", "POST"]) {
          const request = { method, path: "/admin/overview" }
          expectProblem(yield* send(request), unauthorized)
          const answer = yield* send({ ...request, headers: bearer(token) })
          expectProblem(answer, { status: 405, slug: "method-not-allowed" })
          expect(answer.headers["allow"]).toBe("GET, HEAD, OPTIONS")
        }
        expectProblem(yield* send({ path: "/administration" }), { status: 404, slug: "not-found" })
      }),
    )

    it.effect("is open with it, from anywhere and through a proxy", () =>
      Effect.gen(function* () {
        const headers = { ...bearer(token), host: "galleria.example", "x-forwarded-for": "192.0.2.1", via: "1.1 proxy" }
        expect((yield* send({ path: "/admin/dead-letters", headers })).status).toBe(200)
        const scheme = { authorization: `bearer  ${token}` }
        expect((yield* send({ path: "/admin/dead-letters", headers: scheme })).status).toBe(200)
      }),
    )

    it.effect.each([
      "",
      " ",
      token.slice(0, 1),
      token.slice(0, -1),
      `${token}=`,
      `${token}${token}`,
      token.toUpperCase(),
      ` ${token} x`,
      "\u00e9",
    ])("is closed with %j in its place", (wrong) =>
      Effect.gen(function* () {
        expectProblem(yield* send({ path: "/admin/dead-letters", headers: bearer(wrong) }), unauthorized)
      }),
    )

    it.effect.each([{ authorization: token }, { authorization: `Basic ${token}` }, { "x-token": token }])(
      "is closed with the token elsewhere: %j",
      (headers) =>
        Effect.gen(function* () {
          expectProblem(
            yield* send({ path: `/admin/dead-letters?token=${token}&access_token=${token}`, headers }),
            unauthorized,
          )
        }),
    )

    it.effect("answers 429 to too many wrong ones, and still opens to who has shown the right one", () =>
      Effect.gen(function* () {
        const path = "/admin/dead-letters"
        expect((yield* send({ path, headers: bearer(token) })).status).toBe(200)
        const answers = yield* Effect.forEach(Array.from({ length: 60 }), (_, n) =>
          send({ path, headers: bearer(`guess-${n}`) }),
        )
        const refused = answers.filter(({ status }) => status === 429)
        expect(refused.length).toBeGreaterThan(20)
        for (const answer of answers) {
          if (answer.status === 401) expectProblem(answer, unauthorized)
          else expectProblem(answer, { status: 429, slug: "too-many-requests" })
        }
        for (const { headers } of refused) expect(headers["retry-after"]).toMatch(/^[1-9]\d?$/u)
        expect((yield* send({ path, headers: bearer(token) })).status).toBe(200)
        // No token is no wrong one.
        expectProblem(yield* send({ path }), unauthorized)
      }),
    )
  },
)

layer(scenario(Object.values(modules)), { excludeTestServices: true })("/admin without a token", (it) => {
  const path = "/admin/dead-letters"

  it.effect("is open to this machine, and to a page that it served itself", () =>
    Effect.gen(function* () {
      const { url } = yield* Scenario
      const { host, port } = new URL(url)
      for (const headers of [
        {},
        { host: `localhost:${port}` },
        { host: "localhost" },
        { host: "LOCALHOST:80", origin: "http://localhost" },
        { host: `[::1]:${port}`, origin: `http://[::1]:${port}` },
        { host, origin: `http://${host}` },
        bearer("whatever"),
      ]) {
        expect([headers, (yield* send({ path, headers })).status]).toEqual([headers, 200])
      }
    }),
  )

  it.effect.each([
    { host: "galleria.example" },
    { host: "127.0.0.1.example" },
    { host: "localhost.example:8000" },
    { host: "localhost@evil.example" },
    { host: "192.168.1.5:8000" },
    { host: "0.0.0.0" },
    { host: "localhost:8000", origin: "http://localhost:3000" },
    { host: "localhost:8000", origin: "http://localhost" },
    { host: "localhost:8000", origin: "https://localhost:8000" },
    { host: "localhost:8000", origin: "http://127.0.0.1:8000" },
    { host: "localhost:8000", origin: "http://localhost:8000.example" },
    { host: "localhost:8000", origin: "https://elsewhere.example" },
    { host: "localhost:8000", origin: "null" },
    { host: "localhost:8000", origin: "" },
    { forwarded: "for=192.0.2.1" },
    { "x-forwarded-for": "192.0.2.1" },
    { "x-forwarded-host": "localhost" },
    { "x-forwarded-proto": "https" },
    { "x-forwarded-port": "443" },
    { "X-Forwarded-Anything": "" },
    { "x-real-ip": "127.0.0.1" },
    { via: "1.1 proxy" },
  ])("is closed with %j", (headers) =>
    Effect.gen(function* () {
      for (const asked of [{ path }, { method: "POST", path: `${path}/redrive` }]) {
        expectProblem(yield* send({ ...asked, headers: { ...headers } }), forbidden)
      }
    }),
  )
})

describe("A peer of this machine", () => {
  const headers = { host: "localhost:8000" }
  it.each(["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])("is %s", (address) =>
    expect(isNear({ address, headers })).toBe(true),
  )
  it.each([undefined, "", "192.168.1.5", "::ffff:192.168.1.5", "10.127.0.1", "::", "0.0.0.0", "fe80::1", "1127.0.0.1"])(
    "is not %s",
    (address) => expect(isNear({ address, headers })).toBe(false),
  )
  it.each([{}, { host: "" }])("is not one whose request has %j", (headers) =>
    expect(isNear({ address: "127.0.0.1", headers })).toBe(false),
  )
})

describe("Attempts", () => {
  const second = 1_000
  const wrong = (attempts: ReturnType<typeof makeAttempts>, address: string, now: number) =>
    attempts.judge({ address, isRight: false, now })

  it("are let through again one by one, at the pace of Retry-After", () => {
    const attempts = makeAttempts()
    let now = 0
    while (wrong(attempts, "a", now) === "wrong") continue
    const wait = wrong(attempts, "a", now)
    expect(wait).toBeGreaterThanOrEqual(1)
    // An address that has not sent the right token yet does not learn whether this one is right.
    expect(attempts.judge({ address: "a", isRight: true, now })).toBe(wait)
    now += Number(wait) * second
    expect(wrong(attempts, "a", now)).toBe("wrong")
    expect(wrong(attempts, "a", now)).toBe(wait)
    now += Number(wait) * second
    expect(attempts.judge({ address: "a", isRight: true, now })).toBe("right")
  })

  it("of one address are not counted against another", () => {
    const attempts = makeAttempts()
    while (wrong(attempts, "a", 0) === "wrong") continue
    expect(wrong(attempts, "b", 0)).toBe("wrong")
  })

  it("from ever new addresses are bounded together, and do not shut out who has shown the right token", () => {
    const attempts = makeAttempts()
    expect(attempts.judge({ address: "operator", isRight: true, now: 0 })).toBe("right")
    const verdicts = Array.from({ length: 20_000 }, (_, n) => wrong(attempts, `address ${n}`, n / 100))
    expect(verdicts.filter((verdict) => verdict === "wrong").length).toBeLessThan(5_000)
    expect(attempts.judge({ address: "operator", isRight: true, now: 200 })).toBe("right")
  })
})
