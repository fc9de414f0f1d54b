import { describe, expect, it } from "vitest"
import { startKafka, canStartKafka } from "../harness/kafka.ts"
import { ownPostgres } from "../harness/postgres.ts"
import { connectTo, type Postgres } from "../harness/postgresServer.ts"
import { type Galleria, start, temporaryFolder, until } from "../harness/process.ts"

const run = async (url: string, ...statements: ReadonlyArray<string>) => {
  await using session = await connectTo(url)
  for (const statement of statements) await session.run(statement)
}

const databaseOf = ({ url }: Postgres, name: string) => {
  const own = new URL(url)
  own.pathname = `/${name}`
  return own.href
}

const settings = { MODULES: "user,order", ORDER_STEPS: "none", USER_WAIT_MS: "10000" }

const place = async (galleria: Galleria, orders: number) => {
  for (let n = 0; n < orders; n++) {
    const { status } = await galleria.call("POST", "/orders", { user_id: 1, amount: "10.00" })
    expect(status).toBe(201)
  }
}

/** What the user module knows: its list and its summary, once these orders are all processed. */
const knows = (galleria: Galleria, orders: number) =>
  until(`the user has ${orders} processed orders`, async () => {
    const list = await galleria.call<{ items: ReadonlyArray<{ status: string }> }>("GET", "/users/1/orders?limit=200")
    const summary = await galleria.call("GET", "/users/1/order-summary")
    return (
      list.body.items.filter(({ status }) => status === "processed").length === orders &&
      JSON.stringify(summary.body) ===
        JSON.stringify({ user_id: 1, orders_count: orders, total_amount: `${orders * 10}.00` })
    )
  })

const server = await ownPostgres()
const hasKafka = await canStartKafka()

/** Restores the user module's database to before half of the orders, and expects the other half again, once. */
const restores = async (postgres: Postgres, name: string, env: Readonly<Record<string, string>>) => {
  using folder = temporaryFolder()
  const dataDir = folder.path
  const [own, dump] = [`user_${name}`, `user_${name}_dump`]
  await run(postgres.url, `create database ${own}`, `create database order_${name}`)
  const all = {
    ...settings,
    ...env,
    USER_DATABASE_URL: databaseOf(postgres, own),
    ORDER_DATABASE_URL: databaseOf(postgres, `order_${name}`),
  }
  {
    await using galleria = await start({ dataDir, env: all })
    await galleria.call("POST", "/users", { email: "ann@example.com", name: "Ann" })
    await place(galleria, 10)
    await knows(galleria, 10)
    await galleria.stop()
  }
  await run(postgres.url, `create database ${dump} template ${own}`)
  {
    await using galleria = await start({ dataDir, env: all })
    await place(galleria, 15)
    await knows(galleria, 25)
    await galleria.stop()
  }
  await run(postgres.url, `drop database ${own} with (force)`, `alter database ${dump} rename to ${own}`)
  await using galleria = await start({ dataDir, env: all })
  await knows(galleria, 25)
  await place(galleria, 1)
  await knows(galleria, 26)
  const letters = await galleria.call<{ items: ReadonlyArray<unknown> }>("GET", "/admin/dead-letters")
  expect(letters.body.items).toEqual([])
}

describe.skipIf(server === undefined)("A database that is restored from an older dump", () => {
  it("catches up by itself with the embedded log, and takes each event once", () => restores(server!, "embedded", {}))

  it.skipIf(!hasKafka)("catches up by itself over Kafka, whatever Kafka has committed", async () => {
    await using kafka = await startKafka()
    await restores(server!, "kafka", { KAFKA_BOOTSTRAP_SERVERS: kafka.bootstrap })
  })

  it("builds a projection again by a reset, which goes on after kill -9, and refuses a time beside it", async () => {
    using folder = temporaryFolder()
    const dataDir = folder.path
    const reset = { reaction: "user.record-order", reset: true }
    {
      await using galleria = await start({ dataDir, env: settings })
      await galleria.call("POST", "/users", { email: "ann@example.com", name: "Ann" })
      await place(galleria, 20)
      await knows(galleria, 20)
      const both = await galleria.call("POST", "/admin/replays", { ...reset, from: "2026-01-01T00:00:00Z" })
      expect(both.status).toBe(422)
      const asked = await galleria.call("POST", "/admin/replays", reset)
      expect([asked.status, asked.headers.get("location")]).toEqual([202, "/admin/replays/user.record-order"])
      await galleria.stop("SIGKILL")
    }
    await using galleria = await start({ dataDir, env: settings })
    await until("the replay is done", async () => {
      const { body } = await galleria.call<{ state: string }>("GET", "/admin/replays/user.record-order")
      return body.state === "done"
    })
    await knows(galleria, 20)
    const again = await galleria.call("POST", "/admin/replays", { reaction: "user.record-order" })
    expect(again.status).toBe(202)
    await knows(galleria, 20)
  })
})
