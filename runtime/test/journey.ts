import { describe, expect, it } from "vitest"
import type { HistoryEntry, Order } from "../../modules/order/contract/api.ts"
import type { User } from "../../modules/user/contract/api.ts"
import type { Deployment, Shape } from "./harness/deployment.ts"
import { until } from "./harness/process.ts"

type Page<Item> = { readonly items: ReadonlyArray<Item>; readonly next_cursor: string | null }

const ada = { email: "ada.lovelace@example.org", name: "Augusta Ada King" }
const laptop = { product_id: "LAPTOP001", product_name: "Gaming Laptop", quantity: 2, price: "999.95" }

/** All that can be read of a user and an order. */
const everything = async (galleria: Deployment, user: number, order: number) => {
  const paths = ["", "/orders", "/order-summary"].map((path) => `/users/${user}${path}`)
  const answers = await Promise.all(
    [...paths, "/users", "/orders", `/orders/${order}`, `/orders/${order}/history`].map((path) =>
      galleria.call("GET", path),
    ),
  )
  return answers.map(({ status, body }) => ({ status, body }))
}

const statusShown = async (galleria: Deployment, user: number) =>
  (await galleria.call<Page<{ status: string }>>("GET", `/users/${user}/orders`)).body.items[0]?.status

const historyOf = async (galleria: Deployment, order: number) =>
  (await galleria.call<Page<HistoryEntry>>("GET", `/orders/${order}/history`)).body.items.map(({ type, status }) => ({
    type,
    status,
  }))

const messages = (galleria: Deployment) => galleria.records.map(({ message }) => message)

/** The same journey wherever the modules run. */
export const testJourney = (shapes: ReadonlyArray<Shape>) =>
  describe.for(shapes)("The journey of an order, $name", ({ settle }) => {
    it("goes from a new user to the summary, through a restart, and is logged without personal data", async () => {
      await using site = await settle()
      const settings = { env: { LOG_LEVEL: "trace", USER_WAIT_MS: "60000" } }
      const key = { "idempotency-key": "the first order" }
      const wanted = { user_id: 1, items: [laptop] }
      let before: Awaited<ReturnType<typeof everything>>
      let answered: unknown
      {
        await using galleria = await site.start(settings)
        const user = await galleria.call<User>("POST", "/users", ada)
        expect(user).toMatchObject({ status: 201, body: { id: 1, ...ada } })
        expect(user.headers.get("location")).toBe("/users/1")

        const order = await galleria.call<Order>("POST", "/orders", wanted, key)
        expect(order).toMatchObject({
          status: 201,
          body: { user_id: 1, amount: "1999.90", status: "created", processed: false, items: [laptop] },
        })
        expect(order.headers.get("location")).toBe(`/orders/${order.body.id}`)
        expect(order.headers.get("idempotency-replayed")).toBeNull()
        answered = order.body
        const { id } = order.body

        await until("the user sees the order processed", async () => (await statusShown(galleria, 1)) === "processed")
        expect((await galleria.call("GET", "/users/1/order-summary")).body).toEqual({
          user_id: 1,
          orders_count: 1,
          total_amount: "1999.90",
        })
        expect(await galleria.call("GET", `/orders/${id}`)).toMatchObject({
          body: { status: "processed", processed: true },
        })
        expect(await historyOf(galleria, id)).toEqual([
          { type: "order_created", status: "created" },
          { type: "order_processed", status: "processed" },
        ])
        expect(await galleria.call("POST", `/orders/${id}/cancel`, { reason: "too late" })).toMatchObject({
          status: 409,
          body: { type: "/problems/order-not-cancellable", order_status: "processed" },
        })
        expect((await galleria.call("POST", "/users", { ...ada, email: ada.email.toUpperCase() })).status).toBe(409)
        expect((await galleria.call("POST", "/users", { email: ada.email, name: " " })).status).toBe(422)

        await until("it is in the log", () =>
          [
            '[OrderService] Received user_created event: {"user_id":1}',
            `[UserService] Received order_created event: {"order_id":${id},"user_id":1}`,
            `[UserService] Received order_processed event: {"order_id":${id},"user_id":1}`,
          ].every((line) => messages(galleria).includes(line)),
        )
        before = await everything(galleria, 1, id)
        expect(await galleria.stop()).toEqual({ code: 0, signal: null })
        expectTold(galleria)
      }
      await using galleria = await site.start(settings)
      expect(await everything(galleria, 1, 1)).toEqual(before)
      const replayed = await galleria.call("POST", "/orders", { items: [laptop], user_id: 1 }, key)
      expect(replayed).toMatchObject({ status: 201, body: answered })
      expect(replayed.headers.get("idempotency-replayed")).toBe("true")
      expect(replayed.headers.get("location")).toBe("/orders/1")
      for (const other of [
        { user_id: 1, amount: "1" },
        { ...wanted, user_id: 2 },
      ]) {
        expect(await galleria.call("POST", "/orders", other, key)).toMatchObject({
          status: 422,
          body: { type: "/problems/idempotency-key-reused" },
        })
      }
      expect(await everything(galleria, 1, 1)).toEqual(before)

      expect((await galleria.call("POST", "/orders", { user_id: 1, amount: 0.1 })).status).toBe(201)
      await until("the summary counts the next order", async () => {
        const { body } = await galleria.call<{ total_amount: string }>("GET", "/users/1/order-summary")
        return body.total_amount === "2000.00"
      })
      expectTold(galleria)
    })

    it("ends with a cancellation while a step is missing", async () => {
      await using site = await settle()
      await using galleria = await site.start({ env: { ORDER_STEPS: "payment", USER_WAIT_MS: "60000" } })
      await galleria.call("POST", "/users", ada)
      const { body: order } = await galleria.call<Order>("POST", "/orders", { user_id: 1, amount: "100" })
      await until("the user sees the order", async () => (await statusShown(galleria, 1)) === "created")

      const cancelled = { status: 200, body: { id: order.id, status: "cancelled", reason: "changed my mind" } }
      expect(await galleria.call("POST", `/orders/${order.id}/cancel`, { reason: "changed my mind" })).toMatchObject(
        cancelled,
      )
      expect(await galleria.call("POST", `/orders/${order.id}/cancel`)).toMatchObject(cancelled)

      await until("the user sees it cancelled", async () => (await statusShown(galleria, 1)) === "cancelled")
      expect((await galleria.call("GET", "/users/1/order-summary")).body).toEqual({
        user_id: 1,
        orders_count: 0,
        total_amount: "0.00",
      })
      expect(await historyOf(galleria, order.id)).toEqual([
        { type: "order_created", status: "created" },
        { type: "order_cancelled", status: "cancelled" },
      ])
    })
  })

/** Each log line is a record; none reports an error, and none has personal data or products. */
const expectTold = (galleria: Deployment) => {
  expect(galleria.output().trimEnd().split("\n")).toHaveLength(galleria.records.length)
  for (const record of galleria.records) {
    expect(record).toMatchObject({
      timestamp: expect.any(String),
      level: expect.any(String),
      message: expect.any(String),
    })
  }
  expect(galleria.records.filter(({ level }) => level === "error" || level === "fatal")).toEqual([])
  expect(galleria.output()).not.toMatch(/lovelace|example\.org|augusta|gaming|999\.95/iu)
}
