import { layer } from "@effect/vitest"
import { ConfigProvider, Context, Effect, Fiber, Layer, Redacted, References, Schedule, Schema } from "effect"
import { uuidV7Unsafe } from "effect/crypto/SecureRandom"
import { SqlClient } from "effect/sql"
import assert from "node:assert/strict"
import { galleria } from "../../compose.ts"
import { eventsOf } from "../../module/Module.ts"
import { decode, encode } from "../../events/cloudEvents.ts"
import type { EventType } from "../../events/Event.ts"
import { EventBus, type Outgoing, type Received } from "../../events/EventBus.ts"
import type { Module } from "../../module/Module.ts"
import { Databases } from "../../sql/Database.ts"
import { drivers } from "./memory.ts"
import { databasesAt, realPostgres } from "./postgres.ts"

/** What a server answered: `body` is what its JSON says, undefined when there is none. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: any
}

/** An event that was published: `data` as on the wire, before decoding. */
export interface Published {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly key: string | null
  readonly data: any
}

/**
 * Modules by themselves, and a test client that plays all other programs: it sends requests, publishes events and consumes
 * events.
 *
 * A test is a stimulus and an expected fact. `settled` waits until every published event was consumed by all groups,
 * including the test client's; afterwards nothing more will arrive.
 */
export class Scenario extends Context.Service<
  Scenario,
  {
    readonly url: string
    /** `body` is sent as JSON. */
    readonly request: (
      method: string,
      path: string,
      options?: { readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> },
    ) => Effect.Effect<Answer>
    readonly get: (path: string) => Effect.Effect<Answer>
    readonly post: (path: string, body?: unknown, headers?: Readonly<Record<string, string>>) => Effect.Effect<Answer>
    /** Publishes an event as another module would, and returns its id; the same `id` makes it a copy. */
    readonly publish: <E extends EventType>(event: E, data: E["data"]["Encoded"], id?: string) => Effect.Effect<string>
    /** Publishes many events at once, in this order. */
    readonly publishAll: <E extends EventType>(
      event: E,
      datas: ReadonlyArray<E["data"]["Encoded"]>,
    ) => Effect.Effect<void>
    /** Puts any record on a topic: bare JSON of a foreign producer, or invalid bytes. */
    readonly put: (record: Partial<Outgoing> & { readonly topic: string }) => Effect.Effect<void>
    /** The events of that type published so far. */
    readonly published: (event: EventType) => Effect.Effect<ReadonlyArray<Published>>
    /** Waits until everything is published and taken charge of. */
    readonly settled: Effect.Effect<void>
    /** The dead letters of a module, in order. */
    readonly held: (module: string) => Effect.Effect<ReadonlyArray<Held>>
    /** A module's database. */
    readonly database: (module: string) => SqlClient.SqlClient
  }
>()("galleria/testing/Scenario") {}

export interface Held {
  readonly reaction: string
  readonly key: string | null
  readonly status: string
  readonly reason: string | null
  readonly error: string | null
}

/** Repeats `fact` until it neither fails nor dies, as a failed `expect` does; after 60 s, how it went last. */
export const eventually = <A, E, R>(fact: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.retry(Effect.sandbox(fact), Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "60 seconds" }))).pipe(
    Effect.catch((cause) => Effect.failCause(cause)),
  )

/** Runs an effect `times` times at once. */
export const together = <A, E, R>(times: number, run: (n: number) => Effect.Effect<A, E, R>) =>
  Effect.forEach(
    Array.from({ length: times }, (_, n) => n),
    run,
    { concurrency: "unbounded" },
  )

/** Runs `work` while a table cannot be read for its first 300 ms, so what it reads there is read at the same time. */
export const behindLock = <A, E, R>(sql: SqlClient.SqlClient, table: string, work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const locked = Effect.gen(function* () {
      yield* sql`lock table ${sql(table)} in access exclusive mode`
      const working = yield* Effect.forkScoped(work)
      yield* Effect.sleep("300 millis")
      return working
    })
    return yield* Fiber.join(yield* Effect.orDie(sql.withTransaction(locked)))
  }).pipe(Effect.scoped)

/** The number of answers by status. */
export const statusesOf = (answers: ReadonlyArray<Answer>): Record<number, number> => {
  const counts: Record<number, number> = {}
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

/** The items of every page of a list; `between` happens before each page but the first. */
export const pagesOf = <E = never, R = never>(path: string, between: Effect.Effect<unknown, E, R> = Effect.void) =>
  Effect.gen(function* () {
    const { get } = yield* Scenario
    const pages: Array<ReadonlyArray<any>> = []
    for (let cursor = ""; ;) {
      const { body } = yield* get(`${path}${cursor}`)
      pages.push(body.items)
      assert.ok(pages.length < 100, "the pages have no end")
      if (body.next_cursor === null) return pages
      cursor = `${path.includes("?") ? "&" : "?"}cursor=${encodeURIComponent(body.next_cursor)}`
      yield* between
    }
  })

/** The consumer group of the test client. */
const hand = "hand"

const make = (
  modules: ReadonlyArray<Module>,
  { ADMIN_TOKEN, REDIS_URL, RETRY_ATTEMPTS, FAULTS }: Readonly<Record<string, string>>,
) =>
  Effect.gen(function* () {
    const bus = yield* EventBus
    const { url } = yield* galleria({
      host: "127.0.0.1",
      port: 0,
      modules,
      dataDir: "memory",
      kafka: undefined,
      databases: {},
      partitions: undefined,
      retentionDays: undefined,
      projected: new Set(),
      retryAttempts: Number(RETRY_ATTEMPTS ?? 10),
      faults: FAULTS === "on",
      tryIt: FAULTS === "on",
      traceUrl: undefined,
      consoleOver: undefined,
      adminToken: ADMIN_TOKEN === undefined ? undefined : Redacted.make(ADMIN_TOKEN),
      otlp: undefined,
      redis: REDIS_URL === undefined ? undefined : Redacted.make(REDIS_URL),
    })

    const events: Array<Published> = []
    const receive = (record: Received) => {
      const decoded = decode(record)
      if (decoded._tag === "Event") events.push(decoded.envelope)
    }
    yield* bus.consume({
      group: hand,
      topics: eventsOf(modules).map((event) => event.type),
      handle: (records) => Effect.sync(() => records.forEach(receive)),
    })

    const databases = new Map<string, SqlClient.SqlClient>()
    for (const { name } of modules) {
      databases.set(name, Context.get(yield* Layer.build((yield* Databases).of(name)), SqlClient.SqlClient))
    }

    const request: Scenario["Service"]["request"] = (method, path, { body, headers = {} } = {}) =>
      Effect.promise(async (signal) => {
        const response = await fetch(`${url}${path}`, {
          method,
          signal,
          ...(body === undefined
            ? { headers }
            : { body: JSON.stringify(body), headers: { "content-type": "application/json", ...headers } }),
        })
        const text = await response.text()
        return { status: response.status, headers: response.headers, body: text === "" ? undefined : JSON.parse(text) }
      })

    const recordOf = <E extends EventType>(event: E, data: E["data"]["Encoded"], id: string): Outgoing => {
      const decoded: E["data"]["Type"] = Schema.decodeSync(event.data)(data)
      return encode({
        id,
        source: "/galleria/hand",
        type: event.type,
        version: event.version,
        key: String(decoded[event.key]),
        subject: String(decoded[event.subject]),
        time: new Date().toISOString(),
        traceparent: null,
        data: JSON.stringify(data),
      })
    }

    const readers = [
      ...modules.map(({ name, reactions }) => ({
        group: `${name}_service_group`,
        events: reactions.map(({ event }) => event),
      })),
      { group: hand, events: eventsOf(modules) },
    ]
    const groups = readers.map(({ group }) => group)
    /** Before that a group has no position. */
    const joined = Effect.forEach(readers, ({ group, events }) =>
      Effect.map(bus.lag(group), (lags) => {
        const missing = events.filter(({ type }) => !lags.some(({ topic }) => topic === type))
        assert.deepEqual(
          missing.map(({ type }) => type),
          [],
          `${group} has not joined`,
        )
      }),
    )
    yield* Effect.orDie(eventually(joined))

    /** The number of events written so far, and of those that are not on the log. */
    const written = Effect.forEach(
      databases,
      ([, sql]) =>
        sql<{ ever: string; waiting: string }>`
        select last_value::text as ever, (select count(*) from outbox)::text as waiting from outbox_seq_seq`,
    ).pipe(Effect.map((rows) => rows.flat()))

    /**
     * What left an outbox is on the log, and what was read from the log has had its effect: when nothing was written
     * while it was looked at, what was looked at first is still so.
     */
    const nothingUnderWay = Effect.gen(function* () {
      const before = yield* written
      const lags = (yield* Effect.forEach(groups, bus.lag)).flat()
      assert.deepEqual(yield* written, before, "events are being written")
      assert.ok(
        before.every(({ waiting }) => waiting === "0"),
        "events are in an outbox",
      )
      assert.ok(
        lags.every(({ records }) => records === 0),
        "events are still under way",
      )
    })

    return Scenario.of({
      url,
      request,
      get: (path) => request("GET", path),
      post: (path, body, headers = {}) => request("POST", path, { body, headers }),
      publish: (event, data, id = uuidV7Unsafe()) => Effect.as(Effect.orDie(bus.send([recordOf(event, data, id)])), id),
      publishAll: (event, datas) => Effect.orDie(bus.send(datas.map((data) => recordOf(event, data, uuidV7Unsafe())))),
      put: (record) => Effect.orDie(bus.send([{ key: null, value: null, headers: {}, ...record }])),
      published: ({ type }) => Effect.sync(() => events.filter((event) => event.type === type)),
      settled: Effect.orDie(eventually(nothingUnderWay)),
      held: (module) =>
        Effect.orDie(databases.get(module)!<Held>`select reaction, key, status, reason, error from held order by pos`),
      database: (module) => databases.get(module)!,
    })
  })

/** These modules alone, on in-memory drivers unless others are given, set as the settings say. */
export const scenario = (
  modules: ReadonlyArray<Module>,
  settings: Readonly<Record<string, string>> = {},
  on: ReturnType<typeof drivers> = drivers(),
) =>
  Layer.effect(Scenario, make(modules, settings)).pipe(
    Layer.provide([
      on,
      ConfigProvider.layer(ConfigProvider.fromUnknown(settings)),
      Layer.succeed(References.MinimumLogLevel, "Error" as const),
    ]),
  )

/** As `layer` of a scenario: registers tests of these modules, on the embedded database and on a real PostgreSQL. */
export const onEveryDatabase = async (
  modules: ReadonlyArray<Module>,
  settings: Readonly<Record<string, string>> = {},
) => {
  const url = await realPostgres()
  return (name: string, tests: Parameters<ReturnType<typeof layer<Scenario, never>>>[1]) => {
    const register = (where: string, on?: ReturnType<typeof drivers>) =>
      layer(scenario(modules, settings, on), { excludeTestServices: true })(`${name} (${where})`, tests)
    register("embedded")
    if (url !== undefined) register("postgres", Layer.provideMerge(databasesAt(url), drivers()))
  }
}
