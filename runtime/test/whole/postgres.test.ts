import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { Order } from "../../../modules/order/contract/api.ts"
import { pagesOf } from "../harness/audit.ts"
import { freePort } from "../harness/freePort.ts"
import { ownPostgres } from "../harness/postgres.ts"
import { connectTo, type Postgres } from "../harness/postgresServer.ts"
import { type Galleria, hasRead, launch, start, temporaryFolder, until } from "../harness/process.ts"
import { spine } from "../harness/spine.ts"
import { stopwatch } from "../harness/stopwatch.ts"

/** A request is answered within 2 s, and this machine may be busy: beside what it takes for one that needs no database. */
const inTimeMillis = 3_000

const buyers = 12

/** A client that places orders one after the other, each with its own key, and repeats refused ones. */
const makeBuyers = (galleria: Galleria, user_id: number) => {
  const answers: Array<{ readonly status: number; readonly millis: number; readonly retryAfter: string | null }> = []
  const placed = new Map<string, number>()
  const wished: Array<string> = []
  let leaving = false
  /** The longest that a request took which needs no database. */
  let slowest = 0

  const watch = async () => {
    for (; !leaving; await sleep(50)) {
      const began = performance.now()
      await galleria.call("GET", "/livez")
      slowest = Math.max(slowest, performance.now() - began)
    }
  }
  const ask = async (tag: string) => {
    const items = [{ product_id: tag, quantity: 1, price: "1.00" }]
    const began = performance.now()
    const { status, headers, body } = await galleria.call<Order>(
      "POST",
      "/orders",
      { user_id, items },
      { "idempotency-key": tag },
    )
    answers.push({ status, millis: performance.now() - began, retryAfter: headers.get("retry-after") })
    if (status === 201) placed.set(tag, body.id)
    return status === 201
  }
  const buyer = async () => {
    while (!leaving) {
      const tag = `WISH-${wished.length}`
      wished.push(tag)
      while (!(await ask(tag)) && !leaving) await sleep(50)
    }
  }
  const crowd = Promise.all([watch(), ...Array.from({ length: buyers }, buyer)])
  crowd.catch(() => {})

  return {
    answers,
    /** Waits until that many more orders are placed. */
    untilMore: async (count: number) => {
      const before = placed.size
      await until(`${count} more orders are placed`, () => placed.size >= before + count)
    },
    leave: async () => {
      leaving = true
      await crowd
    },
    /** Asks again for what was not answered with 201, until all is; then nothing may be lost, doubled or late. */
    finish: async () => {
      leaving = true
      await crowd
      for (const tag of wished) while (!placed.has(tag)) await ask(tag)
      await until("every order is processed", async () => {
        const open = await galleria.call<{ items: ReadonlyArray<unknown> }>("GET", "/orders?status=created&limit=1")
        return open.status === 200 && open.body.items.length === 0
      })
      const orders = await pagesOf<typeof Order.Encoded>(galleria, `/orders?user_id=${user_id}`)
      expect(orders.map(({ items }) => items[0]!.product_id).sort()).toEqual([...wished].sort())
      expect(new Map(orders.map(({ id, items }) => [items[0]!.product_id, id]))).toEqual(placed)
      const known = async () =>
        await pagesOf<{ order_id: number; status: string }>(galleria, `/users/${user_id}/orders`)
      await until("the user sees them all", async () => {
        const seen = await known()
        return seen.length === orders.length && seen.every(({ status }) => status === "processed")
      })
      expect(await pagesOf(galleria, "/admin/dead-letters")).toEqual([])
      expect(
        answers.filter(({ status, retryAfter }) => status !== 201 && !(status === 503 && retryAfter !== null)),
      ).toEqual([])
      expect(Math.max(...answers.map(({ millis }) => millis)) - slowest).toBeLessThan(inTimeMillis)
      expect(galleria.records.filter(({ level }) => level === "error" || level === "fatal")).toEqual([])
    },
  }
}

const tests = (server: Postgres) => {
  const prepared = temporaryFolder()
  let databases = 0

  /** A database of its own for one process. */
  const newDatabase = async (how = "") => {
    const name = `whole_${++databases}`
    await using admin = await connectTo(server.url)
    await admin.run(`create database ${name} ${how}`)
    const url = new URL(server.url)
    url.pathname = `/${name}`
    return url.href
  }

  beforeAll(async () => {
    await using galleria = await start({ modules: spine, dataDir: prepared.path })
    await galleria.stop()
  })
  afterAll(() => prepared[Symbol.dispose]())

  const startOn = (url: string, dataDir: string, env: Readonly<Record<string, string>> = {}) =>
    start({ modules: spine, dataDir, env: { DATABASE_URL: url, USER_WAIT_MS: "2500", ...env } })

  const signUp = async (galleria: Galleria) =>
    (await galleria.call<{ id: number }>("POST", "/users", { email: "ada@example.org", name: "Ada" })).body.id

  /** Galleria on a database of its own under load, while that happens: nothing is lost, doubled, parked or kept waiting. */
  const underLoad = async (
    happens: (at: {
      readonly url: string
      readonly galleria: Galleria
      readonly untilMore: (count: number) => Promise<void>
    }) => Promise<void>,
    prepareUrl: (url: string) => Promise<string> = async (url) => url,
  ) => {
    using folder = temporaryFolder(prepared.path)
    const url = await newDatabase()
    await using galleria = await startOn(await prepareUrl(url), folder.path)
    const { untilMore, leave, finish } = makeBuyers(galleria, await signUp(galleria))
    try {
      await untilMore(50)
      await happens({ url, galleria, untilMore })
      await untilMore(50)
      await finish()
    } finally {
      await leave()
    }
    expect(await galleria.stop()).toEqual({ code: 0, signal: null })
  }

  const isAway = async (galleria: Galleria) => {
    await until("it says so", async () => (await galleria.call("GET", "/readyz")).status === 503)
    expect(await galleria.call("GET", "/readyz")).toMatchObject({ status: 503, body: { state: "unavailable" } })
    expect((await galleria.call("GET", "/livez")).status).toBe(200)
  }

  describe("A process on PostgreSQL", () => {
    it("says where it keeps its data, and not how it gets in", async () => {
      using folder = temporaryFolder(prepared.path)
      const [users, orders] = [await newDatabase(), await newDatabase()]
      await using galleria = await startOn(users, folder.path, { ORDER_DATABASE_URL: orders })
      const said = galleria.records.map(({ message }) => message).find((message) => message.startsWith("Galleria runs"))
      const nameOf = (url: string) => `PostgreSQL at ${new URL(url).host}${new URL(url).pathname}`
      expect(said).toBe(
        `Galleria runs user on ${nameOf(users)}; order on ${nameOf(orders)}; the event log is embedded in ${folder.path}`,
      )
      expect(galleria.output()).not.toContain(new URL(users).password + "@")
      const user_id = await signUp(galleria)
      expect((await galleria.call("POST", "/orders", { user_id, amount: 1 })).status).toBe(201)
      await using other = await connectTo(orders)
      const schemas = await other.run<{ nspname: string }>(
        "select nspname from pg_namespace where nspname in ('user', 'order')",
      )
      expect(schemas).toEqual([{ nspname: "order" }])
    })

    it("keeps one module on PostgreSQL and another in the embedded database", async () => {
      using folder = temporaryFolder(prepared.path)
      await using galleria = await start({
        modules: spine,
        dataDir: folder.path,
        env: { ORDER_DATABASE_URL: await newDatabase(), USER_WAIT_MS: "60000" },
      })
      const user_id = await signUp(galleria)
      expect((await galleria.call("POST", "/orders", { user_id, amount: 1 })).status).toBe(201)
      await until(
        "the user has the order",
        async () => (await pagesOf(galleria, `/users/${user_id}/orders`)).length === 1,
      )
    })

    it("answers 409 for an e-mail that another session takes during the request", async () => {
      using folder = temporaryFolder(prepared.path)
      const url = await newDatabase()
      await using galleria = await startOn(url, folder.path)
      await signUp(galleria)
      await using other = await connectTo(url)
      await other.run("begin")
      await other.run(`insert into "user".users (email, email_key, name, created_at)
        values ('bob@example.org', 'bob@example.org', 'Bob', now())`)
      const asked = galleria.call("POST", "/users", { email: "Bob@example.org", name: "Bob" })
      await until("the request waits for the other session", async () => {
        const waiting = await other.run("select 1 from pg_locks where not granted and locktype = 'transactionid'")
        return waiting.length > 0
      })
      await other.run("commit")
      expect(await asked).toMatchObject({ status: 409, body: { type: "/problems/email-taken" } })
    })

    it("is refused while another one without Kafka uses the database", async () => {
      using folder = temporaryFolder(prepared.path)
      using other = temporaryFolder(prepared.path)
      const url = await newDatabase()
      await using first = await startOn(url, folder.path)
      await using second = launch({ modules: spine, dataDir: other.path, env: { DATABASE_URL: url } })
      expect(await second.exit).toEqual({ code: 1, signal: null })
      const { host, pathname } = new URL(url)
      expect(second.errors()).toBe(
        `the database of user, ${host}${pathname}, cannot be used: another process uses it; without Kafka there is only one\n`,
      )
      expect((await first.call("GET", "/readyz")).status).toBe(200)
      await first.stop("SIGKILL")
      await using third = await startOn(url, other.path)
      expect((await third.call("GET", "/readyz")).status).toBe(200)
    })

    it("is refused when its event log is not the one that the database belongs to", async () => {
      using folder = temporaryFolder(prepared.path)
      using empty = temporaryFolder()
      const url = await newDatabase()
      {
        await using first = await startOn(url, folder.path)
        await signUp(first)
        await first.stop()
      }
      await using second = launch({ modules: spine, dataDir: empty.path, env: { DATABASE_URL: url } })
      expect(await second.exit).toEqual({ code: 1, signal: null })
      expect(second.errors()).toMatch(
        /^the database of user belongs to the event log embedded:[\w-]+, not to embedded:[\w-]+: its events would go to the wrong log\./u,
      )
      await using admin = await connectTo(url)
      for (const module of spine) {
        await admin.run(`delete from "${module}".event_log; delete from "${module}".position`)
      }
      await using third = await startOn(url, empty.path)
      const users = await third.call("GET", "/users")
      expect(users).toMatchObject({ status: 200 })
    })

    it("is refused by a database that is not UTF-8, in one sentence", async () => {
      using folder = temporaryFolder(prepared.path)
      const url = new URL(await newDatabase("encoding 'LATIN1' locale 'C' template template0"))
      await using galleria = launch({ modules: spine, dataDir: folder.path, env: { DATABASE_URL: url.href } })
      expect(await galleria.exit).toEqual({ code: 1, signal: null })
      expect(galleria.errors()).toBe(
        `the database of user, ${url.host}${url.pathname}, cannot be used: its encoding is LATIN1, not UTF8: create it with encoding 'UTF8' template template0\n`,
      )
    })

    it("says in one sentence which migration failed, of which module, where and why", async () => {
      using folder = temporaryFolder(prepared.path)
      const url = await newDatabase()
      {
        await using admin = await connectTo(url)
        await admin.run(`create schema "order"`)
        await admin.run(`create table "order".users_cache (n int)`)
      }
      await using galleria = launch({ modules: spine, dataDir: folder.path, env: { DATABASE_URL: url } })
      expect(await galleria.exit).toEqual({ code: 1, signal: null })
      const why = `migration 0001_create_orders of order failed (modules/order/migrations/0001_create_orders.ts): relation "users_cache" already exists`
      expect(galleria.errors()).toBe(`${why}\n`)
      expect(galleria.records.at(-1)).toMatchObject({ level: "fatal", message: why })
    })

    it("starts before its database, answers meanwhile, and is there as soon as that is", async () => {
      using folder = temporaryFolder(prepared.path)
      const url = await newDatabase()
      const port = await freePort()
      await server.halt()
      await using galleria = launch({
        modules: spine,
        dataDir: folder.path,
        env: { DATABASE_URL: url, PORT: String(port) },
      })
      const ask = (path: string, method = "GET") => fetch(`http://127.0.0.1:${port}${path}`, { method })
      await until("it listens", () =>
        ask("/livez").then(
          ({ status }) => status === 200,
          () => false,
        ),
      )
      await until("it waits for its database", () => /The start waits for the database/u.test(galleria.output()))
      const readyz = await ask("/readyz")
      expect(readyz.status).toBe(503)
      expect(await readyz.json()).toMatchObject({
        type: "/problems/unavailable",
        state: "starting",
        checks: { "database.user": expect.stringMatching(/ECONNREFUSED/u), "database.order": "starting" },
      })
      for (const [path, method] of [
        ["/orders", "POST"],
        ["/orders", "GET"],
        ["/nowhere", "GET"],
      ] as const) {
        const { status, headers } = await ask(path, method)
        expect([status, headers.get("retry-after"), headers.get("content-type")]).toEqual([
          503,
          "1",
          "application/problem+json",
        ])
      }
      await server.resume()
      await galleria.ready()
      expect((await galleria.call("POST", "/users", { email: "ada@example.org", name: "Ada" })).status).toBe(201)
    })

    it("waits for a session that has locked a table to migrate, and reports that", async () => {
      using folder = temporaryFolder(prepared.path)
      const url = await newDatabase()
      await using other = await connectTo(url)
      await other.run("create table gate ()")
      await other.run(`create function wait() returns event_trigger language plpgsql as $$
        begin lock table public.gate in access share mode; end $$`)
      await other.run(
        `create event trigger waits on ddl_command_start when tag in ('ALTER TABLE') execute function public.wait()`,
      )
      await other.run("begin")
      await other.run("lock table gate")
      const port = await freePort()
      await using galleria = launch({
        modules: spine,
        dataDir: folder.path,
        env: { DATABASE_URL: url, PORT: String(port) },
      })
      const reason = "canceling statement due to lock timeout"
      await until("it waits for the table", () =>
        galleria.output().includes(`The start waits for the database: ${reason}`),
      )
      const readyz = await fetch(`http://127.0.0.1:${port}/readyz`)
      expect(readyz.status).toBe(503)
      expect(await readyz.json()).toMatchObject({ state: "starting", checks: { "database.user": reason } })
      await other.run("commit")
      await galleria.ready()
      expect((await galleria.call("POST", "/users", { email: "ada@example.org", name: "Ada" })).status).toBe(201)
    })

    it("stops while it waits for its database", async () => {
      using folder = temporaryFolder(prepared.path)
      const url = await newDatabase()
      await server.halt()
      try {
        await using galleria = launch({ modules: spine, dataDir: folder.path, env: { DATABASE_URL: url } })
        await until("it waits for its database", () => /The start waits for the database/u.test(galleria.output()))
        expect(await galleria.stop()).toEqual({ code: 0, signal: null })
      } finally {
        await server.resume()
      }
    })
  })

  describe("A process that stops", () => {
    it("does so in time while the server is frozen", async () => {
      using folder = temporaryFolder(prepared.path)
      await using galleria = await startOn(await newDatabase(), folder.path)
      const user_id = await signUp(galleria)
      server.freeze()
      try {
        const waiting = Promise.all(
          Array.from({ length: 20 }, () => galleria.call("POST", "/orders", { user_id, amount: 1 })),
        )
        await hasRead(galleria)
        const elapsed = stopwatch()
        expect(await galleria.stop()).toEqual({ code: 0, signal: null })
        expect(elapsed().ownMillis).toBeLessThan(10_000)
        expect(new Set((await waiting).map(({ status }) => status))).toEqual(new Set([503]))
      } finally {
        server.thaw()
      }
    })
  })

  describe("An outage of PostgreSQL", () => {
    it("costs nothing when the server is stopped and started", () =>
      underLoad(async ({ galleria }) => {
        await server.halt()
        await isAway(galleria)
        await sleep(3_500)
        await server.resume()
      }))

    it("costs nothing when every session is ended again and again", () =>
      underLoad(async ({ url, untilMore }) => {
        await using admin = await connectTo(url)
        for (let n = 0; n < 5; n++) {
          await admin.run(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'galleria %' and datname = current_database()",
          )
          await untilMore(20)
        }
      }))

    it("costs nothing when the server is frozen", () =>
      underLoad(async ({ galleria }) => {
        server.freeze()
        try {
          await isAway(galleria)
          await sleep(4_000)
        } finally {
          server.thaw()
        }
      }))

    it("costs nothing when the server has hardly a connection to give, and then none", () =>
      underLoad(
        async ({ url, galleria, untilMore }) => {
          await using admin = await connectTo(url)
          await untilMore(50)
          const end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'few'"
          await admin.run("alter role few connection limit 0")
          await admin.run(end)
          await isAway(galleria)
          await sleep(2_000)
          await isAway(galleria)
          await admin.run("alter role few connection limit 30")
        },
        async (text) => {
          const url = new URL(text)
          await using admin = await connectTo(text)
          await admin.run("create role few login password 'few' connection limit 9")
          await admin.run(`grant create on database ${url.pathname.slice(1)} to few`)
          url.username = url.password = "few"
          return url.href
        },
      ))

    it("costs nothing when nothing may be written", () =>
      underLoad(async ({ url, galleria }) => {
        await using admin = await connectTo(url)
        const database = new URL(url).pathname.slice(1)
        await admin.run(`alter database ${database} set default_transaction_read_only = on`)
        await admin.run(
          "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'galleria %' and datname = current_database()",
        )
        await until("it may not write", async () => (await galleria.call("GET", "/readyz")).status === 503)
        expect(await galleria.call("GET", "/readyz")).toMatchObject({
          body: { state: "unavailable", checks: { "database.order": expect.stringMatching(/may not be written to/u) } },
        })
        expect((await galleria.call("GET", "/orders?limit=1")).status).toBe(200)
        await sleep(3_000)
        await admin.run(`alter database ${database} reset default_transaction_read_only`)
      }))

    it("costs nothing when a foreign session locks the rows of orders, in the wrong order too, and keeps them locked", () =>
      underLoad(async ({ url, galleria, untilMore }) => {
        await using somebody = await connectTo(url)
        await using other = await connectTo(url)
        const [newest] = (await galleria.call<{ items: ReadonlyArray<Order> }>("GET", "/orders?limit=1")).body.items
        await somebody.run("begin")
        await somebody.run(`select * from "order".orders where id = ${newest!.id} for update`)
        const elapsed = stopwatch()
        const { status } = await galleria.call("POST", `/orders/${newest!.id}/cancel`)
        expect(status).toBe(503)
        expect(elapsed().ownMillis).toBeLessThan(inTimeMillis)
        await untilMore(30)
        await somebody.run("rollback")
        for (let n = 0; n < 10; n++) {
          await other.run("begin")
          await other.run(`select * from "order".orders order by id desc limit 50 for update`).catch(() => {})
          await sleep(200)
          await other.run("rollback")
        }
      }))
  })
}

const server = await ownPostgres()
if (server !== undefined) tests(server)
