import { expect, it } from "@effect/vitest"
import { Effect, References, type Scope } from "effect"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { text } from "node:stream/consumers"
import { readSettings } from "../config.ts"
import { consoleAlone } from "../consoleProcess.ts"
import { Loops, makeLoops } from "../loop/loop.ts"
import { modules as known } from "../modules.ts"
import { journeyPart } from "../test/harness/journeyPart.ts"
import { type Ask, ask } from "../test/http/ask.ts"
import { processesOf } from "./processes.ts"

const token = "0123456789abcdef0123456789abcdef"
const headers = { authorization: `Bearer ${token}` }

/** What a module's process was asked. */
interface Asked {
  readonly call: string
  readonly authorization: string | undefined
  readonly actor: string | undefined
  readonly body: string
}

type Answers = Readonly<Record<string, readonly [status: number, body: unknown] | "never">>

/** A process of a module that gives these answers, by method and path. */
const standIn = (answers: Answers) =>
  Effect.gen(function* () {
    const asked: Array<Asked> = []
    const reply = async (request: IncomingMessage, response: ServerResponse) => {
      const call = `${request.method} ${request.url}`
      const { authorization, "x-actor": actor } = request.headers
      asked.push({ call, authorization, actor: actor as string | undefined, body: await text(request) })
      const answer = answers[call] ?? [404, { type: "/problems/not-found", status: 404 }]
      if (answer === "never") return
      response.writeHead(answer[0], {
        "content-type": answer[0] < 400 ? "application/json" : "application/problem+json",
      })
      response.end(JSON.stringify(answer[1]))
    }
    const server = createServer((request, response) => void reply(request, response))
    yield* Effect.acquireRelease(
      Effect.promise(() => new Promise<void>((done) => server.listen(0, "127.0.0.1", done))),
      () => Effect.sync(() => server.close().closeAllConnections()),
    )
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
  })

/** The console alone over these modules. */
const consoleOver = (urls: string) =>
  Effect.gen(function* () {
    const env = { MODULE_URLS: urls, ADMIN_TOKEN: token, PORT: "0" }
    const settings = yield* readSettings({ env, named: ["console"], known })
    const { url } = yield* consoleAlone(settings, settings.consoleOver!)
    return (request: Ask) => Effect.promise(() => ask(url, { ...request, headers: { ...headers, ...request.headers } }))
  })

const run = <A, E>(work: Effect.Effect<A, E, Loops | Scope.Scope>) =>
  work.pipe(
    Effect.scoped,
    Effect.provideServiceEffect(Loops, Effect.sync(makeLoops)),
    Effect.provideService(References.MinimumLogLevel, "None"),
  )

const idOf = (n: number) => `019b7f4e-5c3a-7d21-9b1e-3f6a5d0c8e${n}`
const overviewOf = (module: string) => [200, { modules: [{ module, state: "ready" }], waits: [] }] as const

it.live("The overview has the modules that answer, and since when one does not", () =>
  run(
    Effect.gen(function* () {
      const user = yield* standIn({ "GET /admin/overview": overviewOf("user") })
      const order = yield* standIn({ "GET /admin/overview": "never" })
      const send = yield* consoleOver(`user=${user.url},order=${order.url},payment=http://127.0.0.1:1`)
      const { body: first, headers } = yield* send({ path: "/admin/overview" })
      expect(first.modules).toMatchObject([
        { module: "user", state: "ready" },
        { module: "order", state: "unreachable", why: "no answer within 1 second" },
        { module: "payment", state: "unreachable", why: expect.stringMatching(/./u) },
      ])
      yield* Effect.sleep("1100 millis")
      const second = (yield* send({ path: "/admin/overview" })).body
      expect(second.checked_at > first.checked_at).toBe(true)
      const known = { "if-none-match": headers.etag! }
      expect(yield* send({ path: "/admin/overview", headers: known })).toMatchObject({ status: 304, text: "" })
      expect(second.modules[1].since).toBe(first.modules[1].since)
      expect(user.asked[0]!.authorization).toBe(`Bearer ${token}`)
    }),
  ),
)

it.live("Dead letters are one list, newest first, whose cursor is signed", () =>
  run(
    Effect.gen(function* () {
      const page = (...ids: ReadonlyArray<number>) => ({ items: ids.map((n) => ({ id: idOf(n) })), next_cursor: null })
      const user = yield* standIn({ "GET /admin/dead-letters?status=parked&limit=2": [200, page(15, 11)] })
      const order = yield* standIn({ "GET /admin/dead-letters?status=parked&limit=2": [200, page(14, 12)] })
      const send = yield* consoleOver(`user=${user.url},order=${order.url},payment=http://127.0.0.1:1`)
      const path = "/admin/dead-letters?status=parked&limit=2"
      const first = (yield* send({ path })).body
      expect(first.items).toEqual([{ id: idOf(15) }, { id: idOf(14) }])
      const rest = (yield* send({ path: `${path}&cursor=${first.next_cursor}` })).body
      expect(rest).toEqual({ items: [{ id: idOf(12) }, { id: idOf(11) }], next_cursor: null })
      const other = yield* send({ path: `/admin/dead-letters?status=resolved&cursor=${first.next_cursor}` })
      expect(other.body).toMatchObject({ type: "/problems/invalid-cursor", status: 400 })
    }),
  ),
)

it.live("A dead letter is changed in the process that has it, in the name of who asks", () =>
  run(
    Effect.gen(function* () {
      const path = `/admin/dead-letters/${idOf(15)}`
      const user = yield* standIn({})
      const order = yield* standIn({
        [`GET ${path}`]: [200, { id: idOf(15) }],
        [`POST ${path}/redrive`]: [200, { id: idOf(15), status: "retrying" }],
      })
      const send = yield* consoleOver(`user=${user.url},order=${order.url}`)
      expect((yield* send({ path })).body).toEqual({ id: idOf(15) })
      const redriven = yield* send({ method: "POST", path: `${path}/redrive`, headers: { "x-actor": "Zoë" } })
      expect(redriven.body).toEqual({ id: idOf(15), status: "retrying" })
      expect(order.asked.at(-1)).toMatchObject({ call: `POST ${path}/redrive`, authorization: `Bearer ${token}` })
      expect(user.asked.map(({ call }) => call)).toEqual([`GET ${path}`, `GET ${path}`])
      expect((yield* send({ path: `/admin/dead-letters/${idOf(16)}` })).status).toBe(404)
    }),
  ),
)

it.live("What no process has is unavailable while one does not answer", () =>
  run(
    Effect.gen(function* () {
      const user = yield* standIn({})
      const send = yield* consoleOver(`user=${user.url},order=http://127.0.0.1:1`)
      expect((yield* send({ path: `/admin/dead-letters/${idOf(15)}` })).status).toBe(503)
    }),
  ),
)

const json = { "content-type": "application/json" }
/** The bodies of the calls of this method and path. */
const bodiesOf = (asked: ReadonlyArray<Asked>, call: string) =>
  asked.filter((one) => one.call === call).map(({ body }) => JSON.parse(body))

it.live("A bulk change is one operation of all processes that answer, or of that of the module, up to one limit", () =>
  run(
    Effect.gen(function* () {
      const call = "POST /admin/dead-letters/discard"
      const user = yield* standIn({ [call]: [200, { discarded: 2, remaining: 0 }] })
      const order = yield* standIn({ [call]: [200, { discarded: 3, remaining: 4 }] })
      const send = yield* consoleOver(`user=${user.url},order=${order.url},payment=http://127.0.0.1:1`)
      const discard = (body: string) =>
        Effect.map(
          send({ method: "POST", path: "/admin/dead-letters/discard", headers: json, body }),
          ({ body }) => body,
        )
      const operation = "019b7f4e-5b02-7c11-8f0a-1d2c3b4a5968"
      const all = yield* discard(`{"cause":"c","operation":"${operation}","limit":10}`)
      expect(all).toEqual({ discarded: 5, remaining: 4, operation })
      expect(bodiesOf(user.asked, call)).toEqual([{ cause: "c", operation, limit: 10 }])
      expect(bodiesOf(order.asked, call)).toEqual([{ cause: "c", operation, limit: 8 }])
      const own = yield* discard('{"module":"order"}')
      expect(own).toEqual({ discarded: 3, remaining: 4, operation: expect.stringMatching(/^[0-9a-f-]{36}$/u) })
      expect(bodiesOf(order.asked, call)[1]).toEqual({ module: "order", operation: own.operation, limit: 500 })
      expect(bodiesOf(user.asked, call)).toHaveLength(1)
    }),
  ),
)

it.live("Groups, actions and what became of an operation are those of all processes", () =>
  run(
    Effect.gen(function* () {
      const groups = (checked_at: string, ...counts: ReadonlyArray<number>) =>
        [200, { checked_at, items: counts.map((count) => ({ count })), more: 1 }] as const
      const operation = (started_at: string, applied: number) =>
        [200, { id: "o", action: "redrive", started_at, actor: started_at, counts: { applied, parked: 1 } }] as const
      const actions = (n: number) => [200, { items: [{ id: idOf(n) }], next_cursor: null }] as const
      const [groupsPath, operationPath] = ["/admin/dead-letters/groups?status=parked", `/admin/operations/${idOf(10)}`]
      const user = yield* standIn({
        [`GET ${groupsPath}`]: groups("2", 5, 1),
        [`GET ${operationPath}`]: operation("2", 3),
        "GET /admin/actions": actions(11),
      })
      const order = yield* standIn({
        [`GET ${groupsPath}`]: groups("1", 3),
        [`GET ${operationPath}`]: operation("1", 4),
        "GET /admin/actions": actions(12),
      })
      const send = yield* consoleOver(`user=${user.url},order=${order.url},payment=http://127.0.0.1:1`)
      expect((yield* send({ path: groupsPath })).body).toEqual({
        checked_at: "1",
        items: [{ count: 5 }, { count: 3 }, { count: 1 }],
        more: 2,
      })
      const counts = { applied: 7, parked: 2 }
      const became = (yield* send({ path: operationPath })).body
      expect(became).toEqual({ id: "o", action: "redrive", started_at: "1", actor: "1", counts })
      const listed = (yield* send({ path: "/admin/actions" })).body
      expect(listed).toEqual({ items: [{ id: idOf(12) }, { id: idOf(11) }], next_cursor: null })
    }),
  ),
)

it.live("A search asks every process, and one of them reads the log too", () =>
  run(
    Effect.gen(function* () {
      const found = (...items: ReadonlyArray<object>) => [200, { items, gaps: [] }] as const
      const user = yield* standIn({ "GET /admin/search?q=e&part=own": found({ kind: "dead-letter", id: "d" }) })
      const order = yield* standIn({ "GET /admin/search?q=e": found({ kind: "event", id: "e", order_id: "7" }) })
      const send = yield* consoleOver(`user=${user.url},order=${order.url},payment=http://127.0.0.1:1`)
      expect((yield* send({ path: "/admin/search?q=e" })).body).toEqual({
        items: [
          { kind: "event", id: "e", order_id: "7" },
          { kind: "dead-letter", id: "d" },
        ],
        gaps: [expect.stringMatching(/^payment could not be asked: ./u)],
      })
    }),
  ),
)

it.live("A search without an id is answered by the process that reads the log", () =>
  run(
    Effect.gen(function* () {
      const refused = { type: "/problems/validation-failed" }
      const user = yield* standIn({})
      const order = yield* standIn({ "GET /admin/search": [422, refused] })
      const send = yield* consoleOver(`user=${user.url},order=${order.url}`)
      const { status, body } = yield* send({ path: "/admin/search" })
      expect([status, body]).toEqual([422, refused])
    }),
  ),
)

it.live("An edited text is passed on as it was sent", () =>
  run(
    Effect.gen(function* () {
      const path = `/admin/dead-letters/${idOf(15)}`
      const order = yield* standIn({
        [`GET ${path}`]: [200, { id: idOf(15) }],
        [`POST ${path}/redrive?personal=hide`]: [200, { id: idOf(15), edited: true }],
      })
      const send = yield* consoleOver(`order=${order.url}`)
      const body = '{"data": {"n":12345678901234567890}}'
      const edited = yield* send({ method: "POST", path: `${path}/redrive?personal=hide`, headers: json, body })
      expect(edited.body).toEqual({ id: idOf(15), edited: true })
      expect(order.asked.at(-1)!.body).toBe(body)
    }),
  ),
)

it.live("A journey has the parts of all processes, and is without those of one that does not answer", () =>
  run(
    Effect.gen(function* () {
      const at = "2026-01-02T03:04:05.678Z"
      const parts = (module: string, more: object) => [200, { items: [{ ...journeyPart(module), ...more }] }] as const
      const created = {
        topic: "order_created",
        partition: 2,
        offset: 17,
        time: at,
        id: "e",
        source: "/galleria/order",
        subject: "7",
        key: "1",
        data: { order_id: 7, user_id: 1, amount: "5.00", payment_method: "tok_secret" },
        trace_id: null,
      }
      const state = { status: "created", amount: "5.00", created_at: at }
      const order = yield* standIn({
        "GET /admin/journeys/7/parts": parts("order", { publishes: ["order_created"], user_id: 1, order: state }),
        "POST /admin/journeys/7/log": [200, { seen: [created], gaps: [] }],
        "POST /admin/journeys/7/deliveries": [200, { items: [] }],
      })
      const applied = {
        event_id: "e",
        module: "user",
        reaction: "user.record-order",
        status: "applied",
        at,
        attempts: 0,
      }
      const reactions = [{ reaction: "user.record-order", type: "order_created" }]
      const user = yield* standIn({
        "GET /admin/journeys/7/parts": parts("user", { reactions }),
        "POST /admin/journeys/7/deliveries": [200, { items: [applied] }],
      })
      const payment = yield* standIn({ "GET /admin/journeys/7/parts": "never" })
      const send = yield* consoleOver(`user=${user.url},order=${order.url},payment=${payment.url}`)
      const { body } = yield* send({ path: "/admin/journeys/7?personal=hide" })
      expect(body).toMatchObject({
        order_id: 7,
        user_id: 1,
        order: state,
        events: [
          { offset: 17, event: { id: "e" }, deliveries: [{ reaction: "user.record-order", status: "applied" }] },
        ],
        gaps: [{ module: "payment" }],
      })
      expect(body.events[0].event.data).toEqual({
        ...created.data,
        payment_method: { hidden: "payment method, 10 characters" },
      })
      expect(bodiesOf(order.asked, "POST /admin/journeys/7/log")).toMatchObject([
        { order_id: 7, user_id: 1, topics: ["order_created"] },
      ])
      expect((yield* send({ path: "/admin/journeys/x" })).status).toBe(404)
    }),
  ),
)

it.live("Replays go to the module of the reaction, and public calls to the module of the path", () =>
  run(
    Effect.gen(function* () {
      const user = yield* standIn({ "GET /admin/replays/user.record-order": [200, { state: "done" }] })
      const order = yield* standIn({ "GET /orders?limit=6": [200, { items: [] }] })
      const send = yield* consoleOver(`user=${user.url},order=${order.url}`)
      expect((yield* send({ path: "/admin/replays/user.record-order" })).body).toEqual({ state: "done" })
      const orders = yield* send({ path: "/console/api/orders?limit=6" })
      expect(orders.body).toEqual({ items: [] })
      const known = { "if-none-match": orders.headers.etag! }
      expect((yield* send({ path: "/console/api/orders?limit=6", headers: known })).status).toBe(304)
      expect(user.asked).toHaveLength(1)
    }),
  ),
)

it.live("Nothing is asked without access, and /readyz and the page need no module", () =>
  run(
    Effect.gen(function* () {
      const user = yield* standIn({ "GET /admin/overview": overviewOf("user") })
      const send = yield* consoleOver(`user=${user.url}`)
      for (const path of ["/admin/overview", "/admin/dead-letters", "/console/api/users", "/console"]) {
        expect([path, (yield* send({ path, headers: { authorization: "Bearer wrong" } })).status]).toEqual([path, 401])
      }
      expect(user.asked).toEqual([])
      expect((yield* send({ path: "/readyz" })).body).toEqual({ state: "ready", checks: {} })
      expect((yield* send({ path: "/console" })).status).toBe(200)
      expect((yield* send({ method: "DELETE", path: "/admin/overview" })).status).toBe(405)
    }),
  ),
)

it("processesOf gives an address without a module's name all modules that no other address has", () => {
  const addresses = [{ url: "http://a" }, { url: "http://b", module: "order" as const }]
  expect(processesOf(addresses)).toEqual([
    { url: "http://a", modules: ["user", "payment", "inventory", "notification"] },
    { url: "http://b", modules: ["order"] },
  ])
})
