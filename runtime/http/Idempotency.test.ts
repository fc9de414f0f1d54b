import { describe, expect, it, layer } from "@effect/vitest"
import { Clock, Context, Effect, Fiber, Layer, Schema } from "effect"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { SqlClient } from "effect/sql"
import { order } from "../../modules/order/module.ts"
import { UserCreated } from "../../modules/user/contract/events.ts"
import { OrderCreated } from "../../modules/order/contract/events.ts"
import { user } from "../../modules/user/module.ts"
import type { EventType } from "../events/Event.ts"
import { make } from "../module/Module.ts"
import { modules } from "../modules.ts"
import { eventually, onEveryDatabase, Scenario, scenario, statusesOf, together } from "../test/harness/scenario.ts"
import { endpointsOf } from "./openapi/document.ts"
import { answersOf, created, headers, Idempotency, problems, updated } from "./Idempotency.ts"
import { Edge } from "./Problem.ts"
import { ask, type Answered, json } from "../test/http/ask.ts"

let last = 0
const next = () => ++last
const newKey = () => `key ${next()}`
const nobody = Number.MAX_SAFE_INTEGER

/** Posts a body with a key; text is sent as it stands. */
const post = (path: string, body: unknown, key: string) =>
  Effect.flatMap(Scenario, ({ url }) =>
    Effect.promise(() =>
      ask(url, {
        method: "POST",
        path,
        headers: { ...json, "idempotency-key": key },
        body: typeof body === "string" ? body : JSON.stringify(body),
      }),
    ),
  )

const isReplay = ({ headers }: Answered) => headers["idempotency-replayed"] === "true"

const isReused = { status: 422, body: { type: "/problems/idempotency-key-reused" } }

/** What can be created: its path, a body that is new each time, a member to change, and the event. */
interface Creation {
  readonly path: string
  readonly table: "users" | "orders"
  readonly event: EventType
  readonly body: () => Effect.Effect<Readonly<Record<string, unknown>>, never, Scenario>
  readonly change: Readonly<Record<string, unknown>>
}

const aUser = Effect.gen(function* () {
  const { post } = yield* Scenario
  const { body } = yield* post("/users", { email: `user.${next()}@example.org`, name: "Ada" })
  return body.id as number
})

const creations: ReadonlyArray<Creation> = [
  {
    path: "/users",
    table: "users",
    event: UserCreated,
    body: () => Effect.sync(() => ({ email: `user.${next()}@example.org`, name: "Ada" })),
    change: { name: "Eve" },
  },
  {
    path: "/orders",
    table: "orders",
    event: OrderCreated,
    body: () =>
      Effect.map(aUser, (user_id) => ({
        user_id,
        items: [
          { product_id: "A", quantity: 1, price: "1.00" },
          { product_id: "B", quantity: 2, price: 0.5 },
        ],
      })),
    change: { payment_method: "card_slow" },
  },
]

it("is tried with every creation that takes it", () => {
  const taking = Object.values(modules)
    .flatMap(({ api }) => endpointsOf(api))
    .filter((endpoint) => answersOf(endpoint) !== undefined)
  expect(taking.map(({ method, path }) => `${method} ${path}`)).toEqual(creations.map(({ path }) => `POST ${path}`))
})

const countOf = ({ table }: Creation) =>
  Effect.gen(function* () {
    const { database } = yield* Scenario
    const sql = database(table === "users" ? "user" : "order")
    const [row] = yield* sql<{ count: bigint }>`select count(*) from ${sql(table)}`
    return Number(row!.count)
  })

/** As if it had been answered that much earlier. */
const age = ({ table }: Creation, key: string, millis: number) =>
  Effect.flatMap(
    Scenario,
    ({ database }) => database(table === "users" ? "user" : "order")`
      update idempotency set created_at = created_at - ${millis} * interval '1 millisecond' where key = ${key}`,
  )

const dayMillis = 24 * 60 * 60 * 1_000

layer(scenario([user, order], { USER_WAIT_MS: "5000" }), { excludeTestServices: true })("Idempotency-Key", (it) => {
  for (const creation of creations) {
    const { path, body: newBody, change, event } = creation

    describe(`on POST ${path}`, () => {
      it.effect("replays the first answer to the same body, and does nothing again", () =>
        Effect.gen(function* () {
          const { settled, published, get } = yield* Scenario
          const [key, body] = [newKey(), yield* newBody()]
          const first = yield* post(path, body, key)
          expect(first.status).toBe(201)
          expect(first.headers).not.toHaveProperty("idempotency-replayed")
          yield* settled
          const before = { count: yield* countOf(creation), published: (yield* published(event)).length }
          for (let n = 0; n < 3; n++) {
            const again = yield* post(path, body, key)
            expect(again).toMatchObject({
              status: 201,
              body: first.body,
              headers: {
                location: first.headers["location"],
                "content-type": "application/json",
                "idempotency-replayed": "true",
              },
            })
          }
          yield* settled
          expect({ count: yield* countOf(creation), published: (yield* published(event)).length }).toEqual(before)
          expect((yield* get(first.headers["location"]!)).status).toBe(200)
        }),
      )

      it.effect("compares bodies as JSON, not as text", () =>
        Effect.gen(function* () {
          const [key, body] = [newKey(), { ...(yield* newBody()), note: { b: [1, { y: 2, x: "é" }], a: null } }]
          const first = yield* post(path, body, key)
          expect(first.status).toBe(201)
          const { note, ...rest } = body
          const turned = {
            note: { a: note.a, b: [1, { x: "é", y: 2 }] },
            ...Object.fromEntries(Object.entries(rest).toReversed()),
          }
          for (const same of [
            JSON.stringify(turned),
            JSON.stringify(body, undefined, "\t"),
            `\r\n ${JSON.stringify(body).replaceAll("é", "\\u00e9").replaceAll("/", "\\/")} `,
            JSON.stringify(body).replace("[1,", "[1.0,"),
          ]) {
            const again = yield* post(path, same, key)
            expect({ body: again.body, replay: isReplay(again) }).toEqual({ body: first.body, replay: true })
          }
          for (const other of [
            { ...body, ...change },
            { ...body, more: 1 },
            { ...body, note: { ...note, a: 0 } },
            { ...body, note: { ...note, b: note.b.toReversed() } },
            { ...body, note: { ...note, b: ["1", note.b[1]] } },
          ]) {
            expect(yield* post(path, other, key)).toMatchObject(isReused)
          }
        }),
      )

      it.effect("creates once when 50 ask at once", () =>
        Effect.gen(function* () {
          const { settled, published } = yield* Scenario
          const [key, body] = [newKey(), yield* newBody()]
          yield* settled
          const before = { count: yield* countOf(creation), published: (yield* published(event)).length }
          const answers = yield* together(50, () => post(path, body, key))
          const created = answers.filter(({ status }) => status === 201)
          expect(created.filter((answer) => !isReplay(answer))).toHaveLength(1)
          expect(new Set(created.map(({ text }) => JSON.parse(text).id)).size).toBe(1)
          for (const answer of answers.filter(({ status }) => status !== 201)) {
            expect(answer).toMatchObject({ status: 409, body: { type: "/problems/request-in-progress" } })
          }
          yield* settled
          expect({ count: yield* countOf(creation), published: (yield* published(event)).length }).toEqual({
            count: before.count + 1,
            published: before.published + 1,
          })
          expect(isReplay(yield* post(path, body, key))).toBe(true)
        }),
      )

      it.effect("creates once when 50 ask at once for different things with it", () =>
        Effect.gen(function* () {
          const [key, body] = [newKey(), yield* newBody()]
          const before = yield* countOf(creation)
          const answers = yield* together(50, (n) => post(path, { ...body, n }, key))
          expect(statusesOf(answers as never)[201]).toBe(1)
          for (const answer of answers.filter(({ status }) => status !== 201))
            expect([409, 422]).toContain(answer.status)
          expect(yield* countOf(creation)).toBe(before + 1)
        }),
      )

      it.effect("parts one request from another, and those of one key from each other's travelling companions", () =>
        Effect.gen(function* () {
          const bodies = yield* Effect.forEach(Array.from({ length: 10 }), newBody)
          const keys = bodies.map(newKey)
          const before = yield* countOf(creation)
          const answers = yield* together(100, (n) => post(path, bodies[n % 10], keys[n % 10]!))
          expect(yield* countOf(creation)).toBe(before + 10)
          const ids = keys.map(
            (_, k) =>
              new Set(answers.flatMap(({ status, body }, n) => (n % 10 === k && status === 201 ? [body.id] : []))),
          )
          expect(ids.map((set) => set.size)).toEqual(keys.map(() => 1))
          expect(new Set(ids.flatMap((set) => [...set])).size).toBe(10)
        }),
      )

      it.effect("is free again after an answer that is no 2xx", () =>
        Effect.gen(function* () {
          const [key, body] = [newKey(), yield* newBody()]
          for (const [wrong, status] of [
            ["{", 400],
            ["{}", 422],
            [JSON.stringify(body).padEnd(1024 * 1024 + 1), 413],
          ] as const) {
            expect((yield* post(path, wrong, key)).status).toBe(status)
          }
          const created = yield* post(path, body, key)
          expect({ status: created.status, replay: isReplay(created) }).toEqual({ status: 201, replay: false })
        }),
      )

      it.effect("is kept for 24 hours, and free after them although its row is still there", () =>
        Effect.gen(function* () {
          const [key, body] = [newKey(), yield* newBody()]
          const first = yield* post(path, body, key)
          yield* age(creation, key, dayMillis - 60_000)
          expect(isReplay(yield* post(path, body, key))).toBe(true)
          expect(yield* post(path, { ...body, ...change }, key)).toMatchObject(isReused)
          yield* age(creation, key, 60_000)
          const other = yield* newBody()
          const second = yield* post(path, other, key)
          expect({ status: second.status, replay: isReplay(second) }).toEqual({ status: 201, replay: false })
          expect(second.body.id).not.toBe(first.body.id)
          const again = yield* post(path, other, key)
          expect({ body: again.body, replay: isReplay(again) }).toEqual({ body: second.body, replay: true })
          expect(yield* post(path, body, key)).toMatchObject(isReused)
        }),
      )
    })
  }

  it.effect("belongs to its route: another may use it too", () =>
    Effect.gen(function* () {
      const key = newKey()
      const answers = yield* Effect.forEach(creations, ({ path, body }) =>
        Effect.flatMap(body(), (body) => post(path, body, key)),
      )
      expect(answers.map((answer) => [answer.status, isReplay(answer)])).toEqual([
        [201, false],
        [201, false],
      ])
    }),
  )

  it.effect("is free after a conflict, and replays rather than conflict with itself", () =>
    Effect.gen(function* () {
      const [key, body] = [newKey(), { email: `user.${next()}@example.org`, name: "Ada" }]
      yield* post("/users", body, newKey())
      expect((yield* post("/users", body, key)).status).toBe(409)
      const other = { ...body, email: `user.${next()}@example.org` }
      expect((yield* post("/users", other, key)).status).toBe(201)
      expect(yield* post("/users", body, key)).toMatchObject(isReused)
      expect(isReplay(yield* post("/users", other, key))).toBe(true)
    }),
  )

  it.effect("answers what was answered then, not what became of it", () =>
    Effect.gen(function* () {
      const { get } = yield* Scenario
      const [key, body] = [newKey(), { user_id: yield* aUser, amount: 1 }]
      const first = yield* post("/orders", body, key)
      yield* eventually(
        Effect.gen(function* () {
          expect((yield* get(`/orders/${first.body.id}`)).body.status).toBe("processed")
        }),
      )
      expect((yield* post("/orders", body, key)).body).toEqual(first.body)
    }),
  )

  it.effect("is distinguished from a used one even where the request would fail", () =>
    Effect.gen(function* () {
      const [key, body] = [newKey(), { user_id: yield* aUser, amount: 1 }]
      yield* post("/orders", body, key)
      expect(yield* post("/orders", { ...body, user_id: nobody }, key)).toMatchObject(isReused)
    }),
  )
})

layer(scenario([order], { USER_WAIT_MS: "60000" }), { excludeTestServices: true })(
  "Idempotency-Key of orders that wait for their user",
  (it) => {
    it.effect("lets one of them be placed when the user arrives", () =>
      Effect.gen(function* () {
        const { publish, database } = yield* Scenario
        const userCreated = (user_id: number) =>
          publish(UserCreated, {
            user_id,
            email: "ada@example.org",
            name: "Ada",
            created_at: "2026-01-02T03:04:05.678Z",
          })
        const [key, body, known] = [newKey(), { user_id: next(), amount: 1 }, next()]
        const waiting = yield* Effect.forkChild(together(20, () => post("/orders", body, key)))
        yield* userCreated(known)
        expect((yield* post("/orders", { ...body, user_id: known }, newKey())).status).toBe(201)
        expect(waiting.pollUnsafe()).toBeUndefined()
        yield* userCreated(body.user_id)
        const answers = yield* Fiber.join(waiting)
        expect(answers.filter((answer) => answer.status === 201 && !isReplay(answer))).toHaveLength(1)
        for (const { status } of answers) expect([201, 409]).toContain(status)
        expect(yield* database("order")`select id from orders where user_id = ${body.user_id}`).toHaveLength(1)
      }),
    )
  },
)

/** Points that users have, spend and give away: what is created has no `id`, and what is spent is not created. */
const Spent = Schema.Struct({ user_id: Schema.Int, left: Schema.Int, at: Schema.DateFromString })
const Gift = Schema.Struct({ to: Schema.Int, points: Schema.Int })
const asked = {
  params: { user_id: Schema.NumberFromString },
  headers,
  payload: Schema.Struct({ points: Schema.Int }),
  error: [...problems],
} as const
const pointsApi = HttpApi.make("galleria").add(
  HttpApiGroup.make("points")
    .add(
      HttpApiEndpoint.post("spend", "/points/:user_id/spend", { ...asked, success: updated(Spent) }),
      HttpApiEndpoint.post("give", "/points/:user_id/gifts", {
        ...asked,
        success: created(Gift, "/points/:to/gifts/:points"),
      }),
      HttpApiEndpoint.post("lose", "/points/:user_id/lose", { ...asked, success: Spent }),
    )
    .middleware(Edge),
)

class Points extends Context.Service<Points>()("test/Points", {
  make: Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const spend = (user_id: number, points: number) =>
      Effect.gen(function* () {
        const [row] = yield* sql<{ points: number }>`
          insert into points (user_id, points) values (${user_id}, ${-points})
          on conflict (user_id) do update set points = points.points - ${points} returning points`
        return { user_id, left: row!.points, at: new Date(yield* Clock.currentTimeMillis) }
      }).pipe(Effect.orDie)
    return { spend, give: (to: number, points: number) => Effect.as(spend(to, -points), { to, points }) }
  }),
}) {
  static readonly layer = Layer.effect(this, this.make)
}

const points = make({
  name: "points",
  api: pointsApi,
  publishes: [],
  migrations: {
    "0001_create_points": Effect.flatMap(
      SqlClient.SqlClient,
      (sql) => sql`create table points (user_id int primary key, points int not null)`,
    ).pipe(Effect.asVoid),
  },
  layer: HttpApiBuilder.group(
    pointsApi,
    "points",
    Effect.fnUntraced(function* (handlers) {
      const idempotency = yield* Idempotency
      const { spend, give } = yield* Points
      return handlers.handleAll({
        spend: (asked) =>
          idempotency.once(asked, (claim) =>
            idempotency.keep(claim, spend(asked.params.user_id, asked.payload.points)),
          ),
        give: (asked) =>
          idempotency.once(asked, (claim) => idempotency.keep(claim, give(asked.params.user_id, asked.payload.points))),
        lose: (asked) => idempotency.once(asked, () => Effect.die("the success has no answer")),
      })
    }),
  ).pipe(Layer.provideMerge(Points.layer)),
})

const onEvery = await onEveryDatabase([points])
onEvery("Idempotency-Key of a module that knows no HTTP", (it) => {
  const body = { points: 5 }

  it.effect("replays 200 as 200, with the body as it was and without a location", () =>
    Effect.gen(function* () {
      const [key, path] = [newKey(), `/points/${next()}/spend`]
      const first = yield* post(path, body, key)
      expect(first).toMatchObject({ status: 200, body: { left: -5 } })
      expect(yield* post(path, body, newKey())).toMatchObject({ status: 200, body: { left: -10 } })
      const again = yield* post(path, body, key)
      expect([again.status, again.text, isReplay(again)]).toEqual([200, first.text, true])
      expect(again.headers).not.toHaveProperty("location")
    }),
  )

  it.effect("replays 201 as 201, with the location of a thing that has no id", () =>
    Effect.gen(function* () {
      const [key, to] = [newKey(), next()]
      const first = yield* post(`/points/${to}/gifts`, body, key)
      const location = `/points/${to}/gifts/5`
      expect(first).toMatchObject({ status: 201, body: { to, points: 5 }, headers: { location } })
      const again = yield* post(`/points/${to}/gifts`, body, key)
      expect(again).toMatchObject({ status: 201, text: first.text, headers: { location } })
    }),
  )

  it.effect("belongs to the path that was asked: another user's request gets its own answer", () =>
    Effect.gen(function* () {
      const [key, one, other] = [newKey(), next(), next()]
      const first = yield* post(`/points/${one}/spend`, body, key)
      const second = yield* post(`/points/${other}/spend`, body, key)
      expect([second.status, isReplay(second), second.body.user_id]).toEqual([200, false, other])
      // A slash at the end, a query: the same address still.
      for (const path of [`/points/${one}/spend/`, `/points/${one}/spend?x=1`]) {
        expect((yield* post(path, body, key)).text).toBe(first.text)
      }
    }),
  )

  it.effect("lets one of many requests at once do the work", () =>
    Effect.gen(function* () {
      const [key, path] = [newKey(), `/points/${next()}/spend`]
      const answers = yield* together(20, () => post(path, body, key))
      expect(answers.filter((answer) => answer.status === 200 && !isReplay(answer))).toHaveLength(1)
      for (const { status } of answers) expect([200, 409]).toContain(status)
      expect((yield* post(path, body, newKey())).body.left).toBe(-10)
    }),
  )

  it.effect("is refused loudly where the contract does not say what is answered", () =>
    Effect.gen(function* () {
      expect((yield* post(`/points/${next()}/lose`, body, newKey())).status).toBe(500)
    }),
  )
})
