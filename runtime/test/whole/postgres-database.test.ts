import { describe, expect, layer } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Redacted, Schedule, Scope, Tracer } from "effect"
import { SqlClient } from "effect/sql"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { type AddressInfo, connect, createServer } from "node:net"
import type { Duplex } from "node:stream"
import { TLSSocket } from "node:tls"
import { codeOf, faultOf } from "../../sql/fault.ts"
import { until } from "../harness/bus.ts"
import { newDatabase, ownPostgres } from "../harness/postgres.ts"
import type { Postgres } from "../harness/postgresServer.ts"
import { stopwatch } from "../harness/stopwatch.ts"
import { Database, DatabaseRefused } from "../../sql/Database.ts"
import { migrate, type Migrations } from "../../sql/migrate.ts"
import { onceThere, reasonOf } from "../../sql/onceThere.ts"
import { Patience } from "../../sql/patience.ts"
import { sqlErrorIn } from "../../sql/transaction.ts"
import { databaseAt } from "../../sql/postgres/PostgresDatabase.ts"

/** A fresh database, and instances of a module in it. */
class Place extends Context.Service<
  Place,
  { readonly url: string; readonly admin: SqlClient.SqlClient; readonly server: Postgres }
>()("test/Place") {}

const place = (server: Postgres) =>
  Layer.effect(
    Place,
    Effect.gen(function* () {
      const url = yield* newDatabase(server.url)
      const context = yield* Layer.build(databaseAt({ url: Redacted.make(url), schema: "admin", alone: false }))
      return { url, admin: Context.get(context, SqlClient.SqlClient), server }
    }),
  )

let modules = 0
const newModule = () => `module_${++modules}`

interface InstanceOptions {
  readonly schema?: string
  readonly alone?: boolean
  /** Changes the URL. */
  readonly by?: (url: URL) => void
}

/** One instance of a module, until the scope closes. */
const instance = ({ schema = newModule(), alone = false, by }: InstanceOptions = {}) =>
  Effect.gen(function* () {
    const url = new URL((yield* Place).url)
    by?.(url)
    const context = yield* Layer.build(databaseAt({ url: Redacted.make(url.href), schema, alone }))
    return { ...Context.get(context, Database), sql: Context.get(context, SqlClient.SqlClient), schema }
  })

/** Another process with an instance of the module that holds what one has at a time, once that is so. */
const holder = (schema: string, env: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const child = spawn(process.execPath, [new URL("../harness/holder.ts", import.meta.url).pathname], {
      env: { DATABASE_URL: (yield* Place).url, SCHEMA: schema, ...env },
      stdio: ["pipe", "pipe", "inherit"],
    })
    yield* Effect.addFinalizer(() => Effect.sync(() => child.kill("SIGKILL")))
    yield* Effect.promise(() => once(child.stdout, "data"))
    return child
  })

const certificate = new URL("../harness/localhost.pem", import.meta.url).pathname

/** A proxy of the server that accepts TLS, with a self-signed certificate. */
const encrypting = ({ server }: Context.Service.Shape<typeof Place>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const pem = readFileSync(certificate)
      const sockets = new Set<Duplex>()
      let used = false
      const way = createServer((client) => {
        const { port, hostname } = new URL(server.url)
        const join = (client: Duplex) => {
          const upstream = connect(Number(port), hostname)
          for (const socket of [client, upstream]) sockets.add(socket.on("error", () => {}))
          client.pipe(upstream).pipe(client)
        }
        client.once("data", (first) => {
          client.pause()
          // The request for TLS is 8 bytes (PostgreSQL's protocol, SSLRequest); anything else is the start itself.
          if (first.length !== 8) {
            client.unshift(first)
            return join(client)
          }
          used = true
          client.write("S")
          join(new TLSSocket(client, { isServer: true, key: pem, cert: pem }))
        })
      }).listen(0)
      await once(way, "listening")
      const close = () => {
        way.close()
        for (const socket of sockets) socket.destroy()
      }
      return { port: (way.address() as AddressInfo).port, isUsed: () => used, close }
    }),
    ({ close }) => Effect.sync(close),
  )

/** How it failed, and after how long. */
const failureOf = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const elapsed = stopwatch()
    const exit = yield* Effect.exit(work)
    const took = elapsed()
    if (Exit.isSuccess(exit)) return yield* Effect.die(new Error("it did not fail"))
    const error = sqlErrorIn(exit.cause)
    return {
      ...took,
      fault: faultOf(exit.cause),
      code: error === undefined ? "" : codeOf(error),
      error: Cause.squash(exit.cause),
    }
  })

/** As a request, that waits for so long. */
const patient = (left: number) =>
  Effect.provideServiceEffect(
    Patience,
    Effect.sync(() => ({ left })),
  )

/** A transaction that has done that and stays open, however long that is, until the effect that this succeeds with is run. */
const openTransaction = <E>(
  { sql, transaction }: Pick<Effect.Success<ReturnType<typeof instance>>, "sql" | "transaction">,
  work: Effect.Effect<unknown, E>,
) =>
  Effect.gen(function* () {
    const [isOpen, isOver] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
    const staying = Effect.gen(function* () {
      yield* Effect.orDie(sql`set local idle_in_transaction_session_timeout = 0`)
      yield* Effect.orDie(work)
      yield* Deferred.succeed(isOpen, undefined)
      yield* Deferred.await(isOver)
    })
    const open = yield* Effect.forkScoped(transaction(staying))
    yield* Effect.raceFirst(Deferred.await(isOpen), Fiber.join(open))
    return Effect.andThen(Deferred.succeed(isOver, undefined), Fiber.join(open))
  })

/** Whether the server works at that statement. */
const isRunning = (query: string) =>
  Effect.flatMap(Place, ({ admin }) =>
    Effect.map(
      admin`select 1 from pg_stat_activity where state = 'active' and query = ${query}`,
      (rows) => rows.length > 0,
    ),
  )

/** Ends every session of a module. */
const terminate = (schema: string) =>
  Effect.flatMap(
    Place,
    ({ admin }) =>
      admin`select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${`galleria ${schema}`}`,
  )

const create = Effect.flatMap(SqlClient.SqlClient, (sql) => Effect.asVoid(sql`create table number (n int primary key)`))

const tests = (server: Postgres) =>
  layer(place(server), { excludeTestServices: true })("PostgresDatabase", (it) => {
    describe("the exclusive client", () => {
      it.effect("belongs to one instance at a time, and to the next when that leaves", () =>
        Effect.gen(function* () {
          const [one, other] = [yield* instance({ schema: "relayed" }), yield* instance({ schema: "relayed" })]
          const first = yield* Scope.make()
          const sql = yield* Scope.provide(one.exclusive, first)
          yield* sql`select 1`
          const waiting = yield* Effect.forkChild(Effect.scoped(Effect.asVoid(other.exclusive)))
          yield* Effect.sleep("1500 millis")
          expect(waiting.pollUnsafe()).toBeUndefined()
          expect(yield* (yield* (yield* instance()).exclusive)`select 1 as one`).toEqual([{ one: 1 }])
          yield* Scope.close(first, Exit.void)
          yield* Fiber.join(waiting)
        }),
      )

      it.effect("fails for good once its session has ended, and another one is had", () =>
        Effect.gen(function* () {
          const { schema, exclusive } = yield* instance()
          const sql = yield* exclusive
          yield* terminate(schema)
          for (let n = 0; n < 3; n++) expect((yield* failureOf(sql`select 1`)).fault).toBe("infrastructure")
          expect(yield* (yield* exclusive)`select 1 as one`).toEqual([{ one: 1 }])
        }),
      )

      it.effect.each([
        ["killed", "SIGKILL", 5_000],
        ["frozen", "SIGSTOP", 15_000],
      ] as const)("is another's when its holder is %s", ([, signal, within]) =>
        Effect.gen(function* () {
          const { schema, exclusive } = yield* instance()
          const child = yield* holder(schema)
          // Longer than the server waits for a sign of life.
          yield* Effect.sleep("11 seconds")
          const waiting = yield* Effect.forkChild(Effect.scoped(Effect.asVoid(exclusive)))
          yield* Effect.sleep("1500 millis")
          expect(waiting.pollUnsafe()).toBeUndefined()
          const began = performance.now()
          child.kill(signal)
          yield* Fiber.join(waiting)
          expect(performance.now() - began).toBeLessThan(within)
        }),
      )
    })

    describe("a bell", () => {
      const rungBy = <E, R>(next: Effect.Effect<Deferred.Deferred<void>>, ring: Effect.Effect<unknown, E, R>) =>
        Effect.gen(function* () {
          const rung = yield* next
          yield* ring
          yield* Effect.timeout(Deferred.await(rung), "10 seconds")
        })

      it.effect("rings in every instance of the module, and of no other, after the commit", () =>
        Effect.gen(function* () {
          const [one, other, stranger] = [
            yield* instance({ schema: "rung" }),
            yield* instance({ schema: "rung" }),
            yield* instance(),
          ]
          const [quiet, early] = [yield* stranger.bell("news").next, yield* other.bell("news").next]
          yield* rungBy(
            other.bell("news").next,
            one.transaction(
              Effect.gen(function* () {
                yield* one.bell("news").ring
                yield* Effect.sleep("300 millis")
                expect(yield* Deferred.isDone(early)).toBe(false)
              }),
            ),
          )
          yield* rungBy(one.bell("news").next, other.bell("news").ring)
          expect(yield* Deferred.isDone(quiet)).toBe(false)
        }),
      )

      it.effect("rings in its own process alone while that claims it", () =>
        Effect.gen(function* () {
          const [one, other] = [yield* instance({ schema: "claimed" }), yield* instance({ schema: "claimed" })]
          const missed = yield* other.bell("news").next
          yield* Effect.scoped(
            Effect.gen(function* () {
              yield* one.bell("news").claim
              yield* rungBy(one.bell("news").next, one.bell("news").ring)
              yield* Effect.sleep("300 millis")
            }),
          )
          expect(yield* Deferred.isDone(missed)).toBe(false)
          yield* rungBy(other.bell("news").next, one.bell("news").ring)
        }),
      )

      it.effect("rings again after its sessions have ended, and once for what was missed in between", () =>
        Effect.gen(function* () {
          const [one, other] = [yield* instance({ schema: "rung_again" }), yield* instance({ schema: "rung_again" })]
          yield* rungBy(other.bell("news").next, terminate("rung_again"))
          yield* rungBy(
            other.bell("news").next,
            one.bell("news").ring.pipe(Effect.repeat({ times: 20, schedule: Schedule.spaced("200 millis") })),
          )
        }),
      )

      it.effect("sends few notifications for many rings in a short time", () =>
        Effect.gen(function* () {
          const [one, other] = [yield* instance({ schema: "rung_often" }), yield* instance({ schema: "rung_often" })]
          let seen = 0
          const listen = Effect.map(Effect.flatMap(other.bell("news").next, Deferred.await), () => seen++)
          yield* Effect.forkChild(Effect.forever(listen), { startImmediately: true })
          const began = performance.now()
          yield* Effect.repeat(Effect.andThen(one.bell("news").ring, Effect.sleep("1 millis")), { times: 499 })
          const millis = performance.now() - began
          yield* until(
            "it has rung",
            Effect.sync(() => seen > 0),
          )
          yield* Effect.sleep("500 millis")
          // They are 5 ms apart, and a timer may be early by one.
          expect(seen).toBeLessThanOrEqual(millis / 4 + 2)
        }),
      )
    })

    describe("what takes too long", () => {
      it.effect("is a statement that waits for a lock, after a second", () =>
        Effect.gen(function* () {
          const one = yield* instance()
          const { sql } = one
          yield* sql`create table hot (n int)`
          yield* sql`insert into hot values (1)`
          const release = yield* openTransaction(one, sql`select * from hot for update`)
          const failure = yield* failureOf(patient(1_700)(sql`update hot set n = 2`))
          expect(failure).toMatchObject({ code: "55P03", fault: "again" })
          expect(failure.ownMillis).toBeLessThan(2_000)
          yield* release
        }),
      )

      it.effect("is one in a patient transaction after 3 s, and only in that transaction", () =>
        Effect.gen(function* () {
          const { sql, transaction, patient } = yield* instance()
          const timeout = Effect.map(Effect.orDie(sql`show lock_timeout`), ([row]) => row)
          const before = yield* timeout
          expect(yield* transaction(Effect.andThen(patient, timeout))).toEqual({ lock_timeout: "3s" })
          expect(before).toEqual({ lock_timeout: "1s" })
          expect(yield* timeout).toEqual(before)
        }),
      )

      it.effect("is a statement that runs, after 4 s, and does not cost the connection", () =>
        Effect.gen(function* () {
          const { sql } = yield* instance()
          const [before] = yield* sql`select pg_backend_pid() as pid`
          const failure = yield* failureOf(sql`select pg_sleep(20)`)
          expect(failure).toMatchObject({ code: "57014", fault: "infrastructure" })
          expect(failure.ownMillis).toBeLessThan(5_500)
          expect(yield* sql`select pg_backend_pid() as pid`).toEqual([before])
        }),
      )

      it.effect("is a transaction that idles, after 5 s", () =>
        Effect.gen(function* () {
          const { sql, transaction } = yield* instance()
          const idle = Effect.andThen(Effect.orDie(sql`select 1`), Effect.sleep("6 seconds"))
          expect((yield* failureOf(transaction(idle))).fault).toBe("infrastructure")
        }),
      )

      it.effect("is a wait for a connection while others have them all, after the patience of who waits", () =>
        Effect.gen(function* () {
          const one = yield* instance()
          const { sql } = one
          const others = yield* Effect.forEach(Array.from({ length: 8 }), () => openTransaction(one, Effect.void))
          const failure = yield* failureOf(patient(800)(sql`select 1`))
          expect(failure).toMatchObject({ fault: "infrastructure" })
          expect(failure.millis).toBeGreaterThan(700)
          expect(failure.ownMillis).toBeLessThan(1_700)
          for (const release of others) yield* release
          yield* patient(800)(sql`select 1`)
        }),
      )

      it.effect("is all that a request asks, one after the other: what was waited for is taken from what is left", () =>
        Effect.gen(function* () {
          const { sql, transaction } = yield* instance()
          let waited = 0
          const wait = Effect.map(sql`select pg_sleep(0.4)`, () => ++waited)
          const ten = Effect.all(Array.from({ length: 10 }, () => wait))
          for (const asked of [ten, transaction(Effect.orDie(ten))]) {
            waited = 0
            const failure = yield* failureOf(patient(1_000)(asked))
            expect(failure).toMatchObject({ fault: "infrastructure" })
            expect(failure.millis).toBeGreaterThan(900)
            // The third is cut off; where a busy machine is late to do so, what comes next is.
            expect(waited).toBeLessThanOrEqual(3)
          }
          // Another request has a patience of its own.
          yield* patient(1_000)(wait)
        }),
      )

      it.effect(
        "is whatever is asked of a server that is frozen: statement, transaction, new connection and probe",
        () =>
          Effect.gen(function* () {
            const { sql, transaction, probe, coalesce } = yield* instance()
            const travelling = yield* coalesce((inputs: ReadonlyArray<number>) => Effect.as(sql`select 1`, inputs))
            yield* travelling(1)
            const { server } = yield* Place
            const asked: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
              patient(1_000)(sql`select 1`),
              patient(1_000)(transaction(Effect.orDie(sql`select 1`))),
              ...Array.from({ length: 10 }, () => patient(1_000)(sql`select 1`)),
              patient(1_000)(travelling(1)),
              probe,
            ]
            server.freeze()
            const failures = yield* Effect.forEach(asked, failureOf, { concurrency: "unbounded" }).pipe(
              Effect.ensuring(Effect.sync(server.thaw)),
            )
            expect(failures.map(({ fault }) => fault)).toEqual(asked.map(() => "infrastructure"))
            expect(Math.max(...failures.map(({ ownMillis }) => ownMillis))).toBeLessThan(2_000)
            yield* until("it answers", Effect.match(probe, { onSuccess: () => true, onFailure: () => false }))
          }),
      )
    })

    describe("the upgrade", () => {
      it.effect("has all the time it needs", () =>
        Effect.gen(function* () {
          const { upgrading } = yield* instance()
          yield* upgrading(Effect.flatMap(SqlClient.SqlClient, (sql) => sql`select pg_sleep(7)`))
        }),
      )

      it.effect("gives way to those who work on, when it would have to wait for a lock", () =>
        Effect.gen(function* () {
          const one = yield* instance()
          const { sql, upgrading } = one
          yield* sql`create table busy (n int)`
          const release = yield* openTransaction(one, sql`select * from busy`)
          const failure = yield* failureOf(
            upgrading(Effect.flatMap(SqlClient.SqlClient, (sql) => sql`alter table busy add column m int`)),
          )
          expect(failure).toMatchObject({ code: "55P03", fault: "again" })
          yield* release
        }),
      )
    })

    describe("a statement that is interrupted", () => {
      it.effect("leaves its session to no other one, which a late cancellation would end", () =>
        Effect.gen(function* () {
          const { sql } = yield* instance()
          const running = yield* Effect.forkChild(sql`select pg_sleep(600)`)
          yield* until("the server is busy with it", isRunning("select pg_sleep(600)"))
          const { admin } = yield* Place
          const [busy] = yield* admin<{ pid: number }>`
            select pid from pg_stat_activity where state = 'active' and query = 'select pg_sleep(600)'`
          yield* Fiber.interrupt(running)
          for (let n = 0; n < 10; n++) {
            const [row] = yield* sql<{ pid: number }>`select pg_backend_pid() as pid`
            expect(row!.pid).not.toBe(busy!.pid)
          }
        }),
      )
    })

    describe("a migration", () => {
      it.effect("that is killed half-way leaves nothing behind, and blocks no other", () =>
        Effect.gen(function* () {
          const schema = newModule()
          const child = yield* holder(schema, { MIGRATING: "yes" })
          yield* until("the server is busy with it", isRunning("select pg_sleep(600)"))
          child.kill("SIGKILL")
          const context = yield* Layer.build(
            databaseAt({ url: Redacted.make((yield* Place).url), schema, alone: false }),
          )
          const began = performance.now()
          yield* Effect.provideContext(migrate({ "0001_stuck": create }), context)
          expect(performance.now() - began).toBeLessThan(10_000)
          expect(yield* Context.get(context, SqlClient.SqlClient)`select n from number`).toEqual([])
        }),
      )
    })

    describe("a migration that is waited out", () => {
      const alter = Effect.flatMap(SqlClient.SqlClient, (sql) =>
        Effect.asVoid(sql`alter table goods add column price int`),
      )
      const goods = Effect.flatMap(SqlClient.SqlClient, (sql) => Effect.asVoid(sql`create table goods (n int)`))

      const at = (schema: string) =>
        Effect.flatMap(Place, ({ url }) => Layer.build(databaseAt({ url: Redacted.make(url), schema, alone: false })))

      /** A start that migrates, with what it said of its waiting; undefined: it went on. */
      const starting = (database: Context.Context<Database | SqlClient.SqlClient>, migrations: Migrations) =>
        Effect.gen(function* () {
          const reasons: Array<string | undefined> = []
          const report = (reason: string | undefined) => Effect.sync(() => void reasons.push(reason))
          const work = Effect.provideContext(migrate(migrations, "shop"), database)
          return { reasons, fiber: yield* Effect.forkChild(onceThere(work, report)) }
        })

      const columns = (sql: SqlClient.SqlClient) =>
        sql`select attname from pg_attribute where attrelid = 'goods'::regclass and attnum > 0 order by attnum`

      it.effect("waits for a lock on its table, as for an unavailable database", () =>
        Effect.gen(function* () {
          const database = yield* at(newModule())
          const sql = Context.get(database, SqlClient.SqlClient)
          yield* Effect.provideContext(migrate({ "0001_create_goods": goods }, "shop"), database)
          const { transaction } = Context.get(database, Database)
          const release = yield* openTransaction({ sql, transaction }, sql`select * from goods`)
          const { reasons, fiber } = yield* starting(database, {
            "0001_create_goods": goods,
            "0002_price_goods": alter,
          })
          const triedTwice = until(
            "it has tried twice",
            Effect.sync(() => reasons.length >= 2),
          )
          yield* Effect.raceFirst(triedTwice, Fiber.join(fiber))
          expect(new Set(reasons)).toEqual(new Set(["canceling statement due to lock timeout"]))
          yield* release
          yield* Fiber.join(fiber)
          expect(reasons.at(-1)).toBeUndefined()
          expect(yield* columns(sql)).toEqual([{ attname: "n" }, { attname: "price" }])
        }),
      )

      it.effect("is done by one of those who start at once, while the others wait", () =>
        Effect.gen(function* () {
          const schema = newModule()
          let runs = 0
          const slow = Effect.gen(function* () {
            const sql = yield* SqlClient.SqlClient
            runs++
            yield* sql`create table goods (n int)`
            yield* sql`select pg_sleep(2)`
          })
          const starts = yield* Effect.forEach([1, 2, 3], () =>
            Effect.flatMap(at(schema), (database) => starting(database, { "0001_create_goods": slow })),
          )
          for (const { fiber } of starts) yield* Fiber.join(fiber)
          expect(runs).toBe(1)
          expect(starts.flatMap(({ reasons }) => reasons)).toEqual([undefined, undefined, undefined])
        }),
      )

      it.effect.each(["an operator ends its session", "the server crashes"] as const)("is done again when %s", (how) =>
        Effect.gen(function* () {
          const schema = newModule()
          const database = yield* at(schema)
          let runs = 0
          const slow = Effect.gen(function* () {
            const sql = yield* SqlClient.SqlClient
            yield* sql`create table goods (n int)`
            if (++runs === 1) yield* sql`select pg_sleep(300)`
          })
          const { reasons, fiber } = yield* starting(database, { "0001_create_goods": slow })
          yield* until("the server is busy with it", isRunning("select pg_sleep(300)"))
          if (how === "an operator ends its session") yield* terminate(schema)
          else {
            const { server } = yield* Place
            yield* Effect.promise(server.crash)
            yield* until(
              "it has noticed",
              Effect.sync(() => reasons.length > 0),
            )
            yield* Effect.promise(server.resume)
          }
          yield* Fiber.join(fiber)
          expect(runs).toBe(2)
          expect(reasons.length).toBeGreaterThan(1)
          expect(reasons.at(-1)).toBeUndefined()
          expect(yield* columns(Context.get(database, SqlClient.SqlClient))).toEqual([{ attname: "n" }])
        }),
      )
    })

    describe("access", () => {
      it.effect("needs no more than the right to create a schema, and not that when the schema is there", () =>
        Effect.gen(function* () {
          const { admin } = yield* Place
          const [creator, guest] = [`creator_${process.pid}`, `guest_${process.pid}`]
          const database = (yield* Place).url.split("/").at(-1)!
          for (const role of [creator, guest]) yield* admin`create role ${admin(role)} login password 'secret'`
          yield* Effect.addFinalizer(() =>
            Effect.orDie(
              Effect.forEach(
                [creator, guest],
                (role) => Effect.andThen(admin`drop owned by ${admin(role)} cascade`, admin`drop role ${admin(role)}`),
                { discard: true },
              ),
            ),
          )
          yield* admin`grant create on database ${admin(database)} to ${admin(creator)}`
          const as = (role: string) => (url: URL) => {
            url.username = role
            url.password = "secret"
          }
          const refused = yield* failureOf(instance({ by: as(guest) }))
          expect(refused.error).toBeInstanceOf(DatabaseRefused)
          expect(String(refused.error)).toMatch(/permission denied/u)
          yield* Effect.scoped(
            Effect.flatMap(instance({ schema: "made", by: as(creator) }), ({ sql }) => sql`create table there (n int)`),
          )
          yield* admin`grant usage, create on schema made to ${admin(guest)}`
          const { sql, exclusive } = yield* instance({ schema: "made", by: as(guest) })
          yield* sql`create table here (n int)`
          yield* (yield* exclusive)`select * from here`
        }),
      )

      it.effect("is rejected with a wrong password, which is not shown", () =>
        Effect.gen(function* () {
          const { error } = yield* failureOf(instance({ by: (url) => void (url.password = "hush") }))
          expect(error).toBeInstanceOf(DatabaseRefused)
          expect(String(error)).toMatch(/password authentication failed/u)
          expect(String(error)).not.toContain("hush")
        }),
      )

      it.effect.each(["LATIN1", "SQL_ASCII", "EUC_JP"])("is refused to a database in %s", (encoding) =>
        Effect.gen(function* () {
          const { admin } = yield* Place
          const name = `other_${process.pid}_${encoding.toLowerCase()}`
          yield* admin.unsafe(`create database ${name} encoding '${encoding}' locale 'C' template template0`)
          yield* Effect.addFinalizer(() => Effect.orDie(admin`drop database ${admin(name)} with (force)`))
          const { error } = yield* failureOf(instance({ by: (url) => void (url.pathname = `/${name}`) }))
          expect(error).toBeInstanceOf(DatabaseRefused)
          expect(String(error)).toMatch(new RegExp(`its encoding is ${encoding}, not UTF8`, "u"))
        }),
      )

      it.effect("reads and writes values the same, whatever the database has set", () =>
        Effect.gen(function* () {
          const { admin, url } = yield* Place
          const database = new URL(url).pathname.slice(1)
          const set = {
            datestyle: "German, DMY",
            intervalstyle: "sql_standard",
            timezone: "Asia/Kathmandu",
            bytea_output: "escape",
            standard_conforming_strings: "off",
            transform_null_equals: "on",
          }
          for (const [name, value] of Object.entries(set)) {
            yield* admin.unsafe(`alter database ${database} set ${name} to '${value}'`)
            yield* Effect.addFinalizer(() => Effect.orDie(admin.unsafe(`alter database ${database} reset ${name}`)))
          }
          const { sql } = yield* instance()
          const at = new Date("2026-02-03T04:05:06.789Z")
          const [row] = yield* sql`
            select ${at}::timestamptz as at, '2026-02-03'::date::text as day, 'a\\b' as text, 'ff'::bytea as bytes,
              '1 day 2 hours'::interval::text as span, null = null as nulls`
          expect(row).toEqual({
            at,
            day: "2026-02-03",
            text: "a\\b",
            bytes: new Uint8Array(Buffer.from("ff")),
            span: "1 day 02:00:00",
            nulls: null,
          })
        }),
      )

      it.effect("keeps to the module's schema whatever options the URL has, and takes the others", () =>
        Effect.gen(function* () {
          const { schema, sql } = yield* instance({
            by: (url) => url.searchParams.set("options", "-c search_path=public -c work_mem=7MB"),
          })
          expect(yield* sql`select current_schema() as schema, current_setting('work_mem') as memory`).toEqual([
            { schema, memory: "7MB" },
          ])
        }),
      )

      it.effect("is for one process without Kafka, in the whole database, until that one is gone", () =>
        Effect.gen(function* () {
          const first = yield* holder(newModule(), { ALONE: "yes" })
          const { error } = yield* failureOf(instance({ alone: true }))
          expect(error).toBeInstanceOf(DatabaseRefused)
          expect(String(error)).toMatch(/another process uses it/u)
          yield* instance()
          first.kill("SIGKILL")
          yield* Effect.promise(() => once(first, "exit"))
          yield* instance({ alone: true })
          yield* instance({ alone: true })
        }),
      )
    })

    describe("TLS", () => {
      const there = (sslmode: string, more: Readonly<Record<string, string>> = {}) =>
        Effect.scoped(
          Effect.gen(function* () {
            const { port, isUsed } = yield* encrypting(yield* Place)
            const by = (url: URL) => {
              url.port = String(port)
              url.hostname = more["host"] ?? "localhost"
              for (const [name, value] of Object.entries({ sslmode, ...more })) {
                if (name !== "host") url.searchParams.set(name, value)
              }
            }
            const exit = yield* Effect.exit(Effect.scoped(Effect.flatMap(instance({ by }), ({ probe }) => probe)))
            return Exit.isSuccess(exit) ? (isUsed() ? "encrypted" : "plain") : reasonOf(exit.cause)
          }),
        )
      const sslrootcert = certificate

      it.effect("is what sslmode says, as PostgreSQL's own clients understand it", () =>
        Effect.gen(function* () {
          expect(yield* there("disable")).toBe("plain")
          expect(yield* there("require")).toBe("encrypted")
          expect(yield* there("require", { sslrootcert })).toBe("encrypted")
          expect(yield* there("verify-ca", { sslrootcert, host: "127.0.0.1" })).toBe("encrypted")
          expect(yield* there("verify-full", { sslrootcert })).toBe("encrypted")
          expect(yield* there("verify-full", { sslrootcert, host: "127.0.0.1" })).toMatch(/does not match/u)
          expect(yield* there("verify-full")).toMatch(/self-signed certificate/u)
        }),
      )
    })

    describe("a database that may not be written to", () => {
      it.effect(
        "fails its probe and each write by the fault of the infrastructure, and is there again afterwards",
        () =>
          Effect.gen(function* () {
            const { admin } = yield* Place
            const { schema, sql, probe } = yield* instance()
            yield* sql`create table thing (n int)`
            const database = admin((yield* Place).url.split("/").at(-1)!)
            yield* admin`alter database ${database} set default_transaction_read_only = on`
            yield* Effect.addFinalizer(() =>
              Effect.orDie(admin`alter database ${database} reset default_transaction_read_only`),
            )
            yield* terminate(schema)
            yield* until(
              "sessions are new",
              Effect.match(probe, {
                onSuccess: () => false,
                onFailure: ({ reason }) => /may not be written to/u.test(reason),
              }),
            )
            expect(yield* failureOf(sql`insert into thing values (1)`)).toMatchObject({
              code: "25006",
              fault: "infrastructure",
            })
            yield* sql`select * from thing`
            yield* admin`alter database ${database} reset default_transaction_read_only`
            yield* until("it may be written to", Effect.match(probe, { onSuccess: () => true, onFailure: () => false }))
            yield* sql`insert into thing values (1)`
          }),
      )
    })

    it.effect("says of each statement in a trace which server, database and schema it went to", () =>
      Effect.gen(function* () {
        const { sql, transaction, exclusive, schema } = yield* instance()
        const spans: Array<Tracer.NativeSpan> = []
        const tracer = Tracer.make({
          span: (options) => {
            const span = new Tracer.NativeSpan(options)
            spans.push(span)
            return span
          },
        })
        const alone = yield* exclusive
        yield* Effect.all([sql`select 1`, transaction(Effect.orDie(sql`select 2`)), alone`select 3`]).pipe(
          Effect.provideService(Tracer.Tracer, tracer),
        )
        const { hostname, port, pathname } = new URL((yield* Place).url)
        expect(spans).toHaveLength(4)
        for (const { attributes } of spans) {
          expect(Object.fromEntries(attributes)).toMatchObject({
            "db.system.name": "postgresql",
            "db.namespace": `${pathname.slice(1)}|${schema}`,
            "server.address": hostname,
            "server.port": Number(port),
          })
        }
      }),
    )

    it.effect("recovers from an outage of its server by itself", () =>
      Effect.gen(function* () {
        const { sql, probe, exclusive } = yield* instance()
        const { server } = yield* Place
        yield* sql`create table thing (n int)`
        yield* Effect.promise(server.halt)
        const failure = yield* failureOf(patient(1_700)(sql`insert into thing values (1)`)).pipe(
          Effect.ensuring(Effect.promise(server.resume)),
        )
        expect(failure).toMatchObject({ fault: "infrastructure" })
        expect(failure.ownMillis).toBeLessThan(2_000)
        yield* until("it answers", Effect.match(probe, { onSuccess: () => true, onFailure: () => false }))
        yield* sql`insert into thing values (2)`
        expect(yield* (yield* exclusive)`select n from thing`).toEqual([{ n: 2 }])
      }),
    )
  })

const server = await ownPostgres({ idle_in_transaction_session_timeout: "0" })
if (server !== undefined) tests(server)
