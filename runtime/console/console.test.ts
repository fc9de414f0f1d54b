import { describe, expect, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { createHash } from "node:crypto"
import { modules } from "../modules.ts"
import { eventually, Scenario, scenario } from "../test/harness/scenario.ts"
import { type Answered, type Ask, ask, expectProblem } from "../test/http/ask.ts"
import { nameIn, nextIn } from "./console.ts"

const token = "0123456789abcdef0123456789abcdef"
const send = (request: Ask) => Effect.flatMap(Scenario, ({ url }) => Effect.promise(() => ask(url, request)))
const originOf = Effect.map(Scenario, ({ url }) => new URL(url).origin)

const login = (fields: Readonly<Record<string, string>>, headers: Readonly<Record<string, string>> = {}) =>
  Effect.flatMap(originOf, (origin) =>
    send({
      method: "POST",
      path: "/console/login",
      headers: { "content-type": "application/x-www-form-urlencoded", origin, ...headers },
      body: new URLSearchParams(fields).toString(),
    }),
  )

const cookieOf = ({ headers }: Answered) => headers["set-cookie"]![0]!.split(";")[0]!
const signedIn = Effect.map(login({ token, name: "Zoë" }), cookieOf)

layer(scenario(Object.values(modules), { ADMIN_TOKEN: token }), { excludeTestServices: true })(
  "The console with a token",
  (it) => {
    it.effect("answers 401 with a form at every address, and with no data", () =>
      Effect.gen(function* () {
        for (const path of ["/console", "/console/", "/console/orders/4711?mode=raw", "/console/dead-letters/x"]) {
          const answer = yield* send({ path })
          expect([path, answer.status]).toEqual([path, 401])
          expect(answer.headers["content-type"]).toBe("text/html; charset=utf-8")
          expect(answer.text).toContain(`action="/console/login"`)
          expect(answer.text).toContain(`name="next" value="${path}"`)
        }
      }),
    )

    it.effect("opens page and /admin with the session of a login", () =>
      Effect.gen(function* () {
        const answer = yield* login({ token, name: " Zoë\u202e\n ops ", next: "/console/orders/4711" })
        expect([answer.status, answer.headers.location]).toEqual([303, "/console/orders/4711"])
        expect(answer.headers["set-cookie"]![0]).toMatch(/; HttpOnly; SameSite=Strict$/u)
        expect(answer.headers["set-cookie"]![0]).not.toContain(token)
        const cookie = cookieOf(answer)
        expect((yield* send({ path: "/console", headers: { cookie } })).status).toBe(200)
        expect((yield* send({ path: "/admin/dead-letters", headers: { cookie } })).status).toBe(200)
        const session = yield* send({ path: "/console/session", headers: { cookie: `a=b; ${cookie}` } })
        expect(session.body).toMatchObject({ signed_in: true, name: "Zoë ops" })
        expect(session.headers["cache-control"]).toBe("no-store")
        expect((yield* send({ path: "/console/session" })).body).toEqual({ signed_in: false, features: [] })
        const bent = `${cookie.slice(0, -3)}xyz`
        expectProblem(yield* send({ path: "/admin/dead-letters", headers: { cookie: bent } }), {
          status: 401,
          slug: "unauthorized",
        })
      }),
    )

    it.effect("lets its session change things from its own pages only", () =>
      Effect.gen(function* () {
        const cookie = yield* signedIn
        const origin = yield* originOf
        const { port } = new URL(origin)
        const redrive = (headers: Readonly<Record<string, string>>) =>
          send({ method: "POST", path: "/admin/dead-letters/redrive", headers: { cookie, ...headers } })
        expect((yield* redrive({ origin, "sec-fetch-site": "same-origin" })).status).toBe(200)
        for (const headers of [
          {},
          { origin: "null" },
          { origin: "http://127.0.0.1:8025" },
          { origin: `https://127.0.0.1:${port}` },
          { origin, "sec-fetch-site": "same-site" },
        ]) {
          expectProblem(yield* redrive(headers), { status: 403, slug: "forbidden" })
        }
        const read = { path: "/admin/dead-letters", headers: { cookie, "sec-fetch-site": "same-site" } }
        expectProblem(yield* send(read), { status: 403, slug: "forbidden" })
      }),
    )

    it.effect("takes a login from its own form only, as a form", () =>
      Effect.gen(function* () {
        const fields = { token, name: "ops" }
        for (const headers of [
          { origin: "http://127.0.0.1:8025" },
          { origin: "null" },
          { "sec-fetch-site": "cross-site" },
          { "sec-fetch-site": "same-site" },
        ]) {
          expectProblem(yield* login(fields, headers), { status: 403, slug: "forbidden" })
        }
        expectProblem(yield* login(fields, { "content-type": "application/json" }), {
          status: 415,
          slug: "unsupported-media-type",
        })
      }),
    )

    it.effect("sets a cookie of this very host behind TLS", () =>
      Effect.gen(function* () {
        const host = "galleria.example"
        const answer = yield* login({ token, name: "ops" }, { host, origin: `https://${host}` })
        expect(answer.headers["set-cookie"]![0]).toMatch(/^__Host-galleria_console=.*; Path=\/;.*; Secure$/u)
        const headers = { cookie: cookieOf(answer), host }
        const redrive = { method: "POST", path: "/admin/dead-letters/redrive" }
        expect((yield* send({ ...redrive, headers: { ...headers, origin: `https://${host}` } })).status).toBe(200)
        expect((yield* send({ ...redrive, headers: { ...headers, origin: `http://${host}` } })).status).toBe(403)
      }),
    )

    it.effect("sends what the page asks for again only when it has changed", () =>
      Effect.gen(function* () {
        const cookie = yield* signedIn
        for (const path of [
          "/admin/overview",
          "/admin/dead-letters",
          "/admin/dead-letters/groups",
          "/admin/events",
          "/admin/actions",
          "/console/api/orders?limit=6",
        ]) {
          // The first looks find a system that has just started.
          yield* eventually(
            Effect.gen(function* () {
              const first = yield* send({ path, headers: { cookie } })
              expect([path, first.status, first.headers["cache-control"]]).toEqual([path, 200, "no-store"])
              const known = { cookie, "if-none-match": first.headers.etag! }
              expect(yield* send({ path, headers: known })).toMatchObject({ status: 304, text: "" })
            }),
          )
        }
      }),
    )

    it.effect("lists who has signed in", () =>
      Effect.gen(function* () {
        yield* login({ token, name: "Ada" })
        const actions = yield* send({ path: "/admin/actions?limit=1", headers: { authorization: `Bearer ${token}` } })
        expect(actions.body.items).toMatchObject([{ actor: "Ada", action: "sign in", target: "console", details: {} }])
        expect(actions.text).not.toContain(token)
      }),
    )

    it.effect("goes on to a view after the login, and nowhere else", () =>
      Effect.gen(function* () {
        for (const next of ["https://evil.example/console", "//evil.example", "/console/../admin\n", "/consolex"]) {
          expect((yield* login({ token, name: "ops", next })).headers.location).toBe("/console")
        }
      }),
    )

    it.effect("clears the session at logout", () =>
      Effect.gen(function* () {
        const origin = yield* originOf
        const answer = yield* send({ method: "POST", path: "/console/logout", headers: { origin } })
        expect(answer.status).toBe(303)
        expect(answer.headers["set-cookie"]![0]).toMatch(/^galleria_console=; Path=\/; Max-Age=0;/u)
        expect((yield* send({ method: "POST", path: "/console/logout" })).status).toBe(403)
      }),
    )

    it.effect("shows the page under a policy that lets in nothing else", () =>
      Effect.gen(function* () {
        const { headers, text } = yield* send({ path: "/console", headers: { cookie: yield* signedIn } })
        const policy = String(headers["content-security-policy"])
        expect(policy).not.toMatch(/unsafe|\*|data:|http/u)
        const inline = [...text.matchAll(/<script(?![^>]* src=)[^>]*>(.*?)<\/script>/gsu)].map(([, script]) => script!)
        expect(inline).toHaveLength(1)
        expect(policy).toContain(`'sha256-${createHash("sha256").update(inline[0]!).digest("base64")}'`)
        expect(text).not.toMatch(/ (?:style|on\w+)=/u)
        expect(headers).toMatchObject({
          "x-frame-options": "DENY",
          "x-content-type-options": "nosniff",
          "referrer-policy": "same-origin",
          "cross-origin-opener-policy": "same-origin",
          "cache-control": "no-store",
        })
      }),
    )

    it.effect("serves exactly the files of the page, for ever, and brotli where that is accepted", () =>
      Effect.gen(function* () {
        const { text } = yield* send({ path: "/console" })
        const paths = [...text.matchAll(/"(\/console\/app\/[^"]+)"/gu)].map(([, path]) => path!)
        expect(paths.length).toBeGreaterThan(8)
        for (const path of new Set(paths)) {
          const plain = yield* send({ path })
          expect([path, plain.status]).toEqual([path, 200])
          expect(plain.headers).toMatchObject({
            "cache-control": "public, max-age=31536000, immutable",
            "x-content-type-options": "nosniff",
          })
          expect(plain.headers["content-type"]).toMatch(/^(?:text\/(?:javascript|css)|image\/svg\+xml)/u)
          expect(plain.headers["content-encoding"]).toBeUndefined()
        }
        const { url } = yield* Scenario
        const style = paths.find((path) => path.endsWith("style.css"))!
        const small = yield* Effect.promise(async () => {
          const answer = await fetch(`${url}${style}`, { headers: { "accept-encoding": "br" } })
          return { encoding: answer.headers.get("content-encoding"), text: await answer.text() }
        })
        expect(small).toEqual({ encoding: "br", text: (yield* send({ path: style })).text })
        const folder = style.slice(0, style.lastIndexOf("/"))
        for (const path of [
          `${folder}/../console.ts`,
          `${folder}/..%2fconsole.ts`,
          `${folder}/`,
          "/console/app/x/main.js",
        ]) {
          expectProblem(yield* send({ path }), { status: 404, slug: "not-found" })
        }
      }),
    )

    // The last test: afterwards this address has no attempt left.
    it.effect("answers 429 to the sixth wrong token, and asks for the form again", () =>
      Effect.gen(function* () {
        const wrong = login({ token: "wrong", name: "Eve" }, { "x-forwarded-for": "192.0.2.1" })
        for (let n = 0; n < 5; n++) {
          const answer = yield* wrong
          expect(answer.status).toBe(401)
          expect(answer.text).toContain("This token is wrong.")
        }
        const answer = yield* wrong
        expect(answer.status).toBe(429)
        expect(answer.headers["retry-after"]).toMatch(/^1?\d$/u)
        expect(answer.text).toContain(`Try again in ${answer.headers["retry-after"]} s.`)
        // An address that has shown the right token is not locked out by others behind it.
        expect((yield* login({ token, name: "ops" })).status).toBe(303)
        const actions = yield* send({ path: "/admin/actions", headers: { authorization: `Bearer ${token}` } })
        const actors = actions.body.items.map(({ actor }: { actor: string }) => actor)
        expect([actors[0], actors.includes("Eve")]).toEqual(["ops", false])
      }),
    )
  },
)

layer(scenario(Object.values(modules)), { excludeTestServices: true })("The console without a token", (it) => {
  it.effect("opens to this machine at once, and to no other", () =>
    Effect.gen(function* () {
      expect((yield* send({ path: "/console" })).status).toBe(200)
      expect((yield* send({ path: "/console/session" })).body).toMatchObject({ signed_in: true })
      const far = yield* send({ path: "/console", headers: { host: "galleria.example" } })
      expect(far.status).toBe(403)
      expect(far.text).toContain("ADMIN_TOKEN")
      const headers = { host: "galleria.example" }
      expectProblem(yield* send({ path: "/console/session", headers }), { status: 403, slug: "forbidden" })
    }),
  )

  it.effect("answers other methods with 405", () =>
    Effect.gen(function* () {
      expectProblem(yield* send({ method: "PUT", path: "/console/session" }), {
        status: 405,
        slug: "method-not-allowed",
      })
    }),
  )
})

describe("A login", () => {
  it.each(["/console", "/console?x", "/console/orders/1?mode=raw"])("goes on to %s", (next) =>
    expect(nextIn(next)).toBe(next),
  )
  it.each(["", "/", "console", "/console\\x y", "/console/login", "/console/api/orders", "/console/session"])(
    "does not go on to %j",
    (next) => expect(nextIn(next)).toBe("/console"),
  )
  it("shows a name as one short line", () => {
    expect(nameIn(" a\u202e\t\u0000b  c ")).toBe("a b c")
    expect(nameIn("")).toBe("operator")
    expect(Array.from(nameIn("😀".repeat(100)))).toHaveLength(60)
  })
})
