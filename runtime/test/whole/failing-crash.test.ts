import { describe, expect, it } from "vitest"
import type { Outgoing } from "../../events/EventBus.ts"
import { type Deployment, overKafkaAndPostgres, shapes } from "../harness/deployment.ts"
import { until } from "../harness/process.ts"

const created_at = "2026-01-02T03:04:05.678Z"

const orderCreated = (user_id: number, order_id: number, amount: string): Outgoing => ({
  topic: "order_created",
  key: String(user_id),
  value: Buffer.from(JSON.stringify({ order_id, user_id, amount, items: [], payment_method: "card_ok", created_at })),
  headers: {
    ce_specversion: "1.0",
    ce_id: `${order_id} of ${amount}`,
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
  it("is tried, parked and discarded, and its order then drains in order, whenever the process is killed", async () => {
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
    // Of the two events that can be read, the first decides the amount.
    const [unreadable, first, second] = ["none", "10.00", "20.00"].map((amount) => orderCreated(user, 1, amount))
    await site.send([unreadable!, first!, second!, orderCreated(user, 2, "30.00")])
    const ordersOf = async ({ call }: Deployment) => {
      const { body } = await call<Page<{ order_id: number; amount: string }>>("GET", `/users/${user}/orders`)
      return body.items.map(({ order_id, amount }) => `${order_id} of ${amount}`)
    }

    let attempts = 0
    let entry: Entry | undefined
    while (entry?.status !== "parked") {
      await life((galleria) =>
        until("it was tried once more, and the user's other order is listed", async () => {
          const { body } = await galleria.call<Page<Entry>>("GET", "/admin/dead-letters")
          entry = body.items[0]
          const isTried = entry !== undefined && entry.attempts > attempts && entry.waiting === 2
          return isTried && (await ordersOf(galleria)).join() === "2 of 30.00"
        }),
      )
      attempts = entry!.attempts
      expect(entry).toMatchObject({ status: attempts < 3 ? "retrying" : "parked" })
    }
    const { id } = entry
    const discarded = await life(({ call }) => call<Entry>("POST", `/admin/dead-letters/${id}/discard`))
    expect(discarded.body.status).toBe("discarded")

    await life(async (galleria) => {
      await until("the order has drained", async () => {
        const orders = await ordersOf(galleria)
        expect([["2 of 30.00"], ["2 of 30.00", "1 of 10.00"]]).toContainEqual(orders)
        const { body } = await galleria.call<Entry>("GET", `/admin/dead-letters/${id}`)
        expect(body.status).toBe("discarded")
        return orders.length === 2 && body.waiting === 0
      })
    })
  })
})
