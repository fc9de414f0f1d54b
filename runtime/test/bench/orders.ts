import { setTimeout as sleep } from "node:timers/promises"
import { connect, expect, request } from "./connection.ts"

/** The bodies by which orders are placed: an amount alone, or two items. */
export const shapes = ["amount", "items"] as const
export type Shape = (typeof shapes)[number]

export const orderOf = (shape: Shape, user_id: number) =>
  shape === "amount"
    ? { user_id, amount: "100.50" }
    : {
        user_id,
        items: [
          { product_id: "LAPTOP001", product_name: "Gaming Laptop", quantity: 1, price: "999.99" },
          { product_id: "MOUSE001", product_name: "Wireless Mouse", quantity: 2, price: "19.50" },
        ],
      }

/** Signs up that many users, and waits until an order of each, placed there or elsewhere, is accepted and visible. */
export const signUp = async (port: number, count: number, orderPort = port): Promise<ReadonlyArray<number>> => {
  const users: Array<number> = []
  for (let n = 1; n <= count; n++) {
    const user = { email: `${crypto.randomUUID()}@example.org`, name: `${n}` }
    users.push((await once(port, 201, request("POST", "/users", user))).id)
  }
  for (const user of users) await once(orderPort, 201, request("POST", "/orders", orderOf("amount", user)))
  for (const user of users) {
    while ((await once(port, 200, request("GET", `/users/${user}/order-summary`))).orders_count < 1) await sleep(20)
  }
  return users
}

/** On a connection of its own: one that is idle for a while may be closed by the server any time. */
export const once = async (port: number, status: number, bytes: Buffer): Promise<any> => {
  using connection = await connect(port)
  return await expect(connection, status, bytes)
}
