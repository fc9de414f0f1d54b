import { describe, expect, it } from "vitest"
import type { Outgoing } from "../events/EventBus.ts"
import { type Deployment, overKafkaAndPostgres, shapes } from "../testing/deployment.ts"
import { until } from "../testing/process.ts"

const created_at = "2026-01-02T03:04:05.678Z"

const orderCreated = (user_id: number, order_id: number | string): Outgoing => ({
  topic: "order_created",
  key: String(user_id),
  value: Buffer.from(
    JSON.stringify({ order_id, user_id, amount: "10.00", items: [], payment_method: "card_ok", created_at }),
  ),
  headers: {
    ce_specversion: "1.0",
    ce_id: `created-${order_id}`,
    ce_source: "/hand",
    ce_type: "order_created",
  },
})

interface Page<Item> {
  readonly items: ReadonlyArray<Item>
}

interface Entry {
  readonly id: string
  readonly status: string
  readonly attempts: number
  readonly waiting: number
}

/** On PostgreSQL `DeadLetters` asks for the same without a process, and a storm kills processes; here it takes a minute. */
const possible = (await shapes()).filter((shape) => shape !== overKafkaAndPostgres)

describe.for(possible)("a failing event, under kill -9, $name", ({ settle }) => {
  it("is tried, parked and discarded, and its key then drains in order, whenever the process is killed", async () => {
    await using site = await settle()
    const options = { modules: ["user"], env: { RETRY_ATTEMPTS: "3" } }
    const life = async <A>(live: (galleria: Deployment) => Promise<A>): Promise<A> => {
      await using galleria = await site.start(options)
      return await live(galleria)
    }

    const user = await life(async ({ call }) => {
      const { body } = await call<{ id: number }>("POST", "/users", { email: "ada@example.org", name: "Ada" })
      return body.id
    })
    await site.send([orderCreated(user, "none"), orderCreated(user, 1), orderCreated(user, 2)])

    let attempts = 0
    let entry: Entry | undefined
    while (entry?.status !== "parked") {
      await life(({ call }) =>
        until("it was tried once more", async () => {
          const { body } = await call<Page<Entry>>("GET", "/admin/dead-letters")
          entry = body.items[0]
          return entry !== undefined && entry.attempts > attempts && entry.waiting === 2
        }),
      )
      attempts = entry!.attempts
      expect(entry).toMatchObject({ status: attempts < 3 ? "retrying" : "parked" })
    }
    const { id } = entry
    const discarded = await life(({ call }) => call<Entry>("POST", `/admin/dead-letters/${id}/discard`))
    expect(discarded.body.status).toBe("discarded")

    await life(async ({ call }) => {
      await until("the key has drained", async () => {
        const { body } = await call<Page<{ order_id: number }>>("GET", `/users/${user}/orders`)
        const orders = body.items.map(({ order_id }) => order_id)
        expect([[], [1], [2, 1]]).toContainEqual(orders)
        return orders.length === 2
      })
      const ended = await call<Entry>("GET", `/admin/dead-letters/${id}`)
      expect(ended.body).toMatchObject({ status: "discarded", waiting: 0 })
    })
  })
})
