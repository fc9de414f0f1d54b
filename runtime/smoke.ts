/**
 * `npm run smoke [-- http://localhost:8001 http://localhost:8002]`: walks the journey of a user and an order through
 * whatever runs, at one address or one for each module, prints what it saw, and exits with 1 when a step was wrong.
 */
import { randomUUID } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"

const patienceMillis = 30_000

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: any
}

interface Step {
  readonly name: string
  /** Throws when what it finds is wrong; says what it found. */
  readonly walk: () => Promise<string>
}

const given = process.argv.slice(2)
const bases = (given.length > 0 ? given : ["http://localhost:8000"]).map((url) => url.replace(/\/+$/u, ""))

const ask = async (url: string, body?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Answer> => {
  const post =
    body === undefined
      ? {}
      : { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json", ...headers } }
  const response = await fetch(url, { ...post, signal: AbortSignal.timeout(patienceMillis) })
  const text = await response.text()
  const isJson = /json/u.test(response.headers.get("content-type") ?? "")
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
}

/** Which address serves a path, as its own description says. */
const serving = new Map<string, string>()
const at = (path: string): string => {
  const base = serving.get(path.split("/")[1]!)
  if (base === undefined) throw new Error(`none of ${bases.join(", ")} serves ${path}`)
  return `${base}${path}`
}

const expect = (answer: Answer, status: number, holds: (body: any) => boolean = () => true): Answer => {
  if (answer.status === status && holds(answer.body)) return answer
  throw new Error(`answered ${answer.status}: ${JSON.stringify(answer.body).slice(0, 200)}`)
}

const eventually = async (look: () => Promise<string | undefined>): Promise<string> => {
  const began = performance.now()
  for (;;) {
    const found = await look()
    const millis = performance.now() - began
    if (found !== undefined) return `${found}, after ${Math.round(millis)} ms`
    if (millis > patienceMillis) throw new Error(`not seen within ${patienceMillis / 1_000} s`)
    await sleep(20)
  }
}

const email = `smoke-${randomUUID()}@example.org`
const key = { "idempotency-key": randomUUID() }
let user = 0
let order = 0

const steps: ReadonlyArray<Step> = [
  ...bases.flatMap((base): ReadonlyArray<Step> => [
    {
      name: `${base} is ready`,
      walk: () =>
        eventually(async () => {
          const answer = await ask(`${base}/readyz`).catch(() => undefined)
          return answer?.status === 200 && answer.body.state === "ready" ? "ready" : undefined
        }),
    },
    {
      name: `${base} describes itself`,
      walk: async () => {
        const { body } = expect(await ask(`${base}/openapi.json`), 200, ({ openapi }) => openapi.startsWith("3.1"))
        for (const path of Object.keys(body.paths)) serving.set(path.split("/")[1]!, base)
        return `OpenAPI ${body.openapi}, ${Object.keys(body.paths).length} paths`
      },
    },
    {
      name: `${base} measures itself`,
      walk: async () => {
        expect(await ask(`${base}/metrics`), 200, (text) => text.includes("galleria_outbox_pending"))
        return "Prometheus text"
      },
    },
  ]),
  {
    name: "POST /users",
    walk: async () => {
      user = expect(await ask(at("/users"), { email, name: "Smoke" }), 201, (body) => body.email === email).body.id
      return `user ${user}`
    },
  },
  {
    name: "POST /users again",
    walk: async () => `${expect(await ask(at("/users"), { email, name: "Smoke" }), 409).body.type}`,
  },
  {
    name: "POST /users with two faults",
    walk: async () => {
      const answer = expect(await ask(at("/users"), { email: "nobody", name: "" }), 422)
      return `${answer.body.errors.map(({ pointer }: { pointer: string }) => pointer).join(" and ")}`
    },
  },
  {
    name: "POST /orders, right after its user",
    walk: async () => {
      const items = [{ product_id: "LAPTOP001", product_name: "Gaming Laptop", quantity: 2, price: "999.95" }]
      const wanted = { user_id: user, items }
      order = expect(await ask(at("/orders"), wanted, key), 201, ({ amount }) => amount === "1999.90").body.id
      return `order ${order} of 1999.90`
    },
  },
  {
    name: "POST /orders again with its key",
    walk: async () => {
      const items = [{ price: "999.95", quantity: 2, product_name: "Gaming Laptop", product_id: "LAPTOP001" }]
      const answer = expect(await ask(at("/orders"), { items, user_id: user }, key), 201, ({ id }) => id === order)
      if (answer.headers.get("idempotency-replayed") !== "true") throw new Error("it is not said to be a replay")
      return `order ${answer.body.id} replayed`
    },
  },
  {
    name: "POST /orders for nobody",
    walk: async () => {
      const nobody = { user_id: Number.MAX_SAFE_INTEGER, amount: "1" }
      return `${expect(await ask(at("/orders"), nobody), 404).body.type}`
    },
  },
  {
    name: "the order is processed",
    walk: () =>
      eventually(async () => {
        const { body } = expect(await ask(at(`/orders/${order}`)), 200)
        return body.processed ? `${body.status}` : undefined
      }),
  },
  {
    name: "its history",
    walk: async () => {
      const { body } = expect(await ask(at(`/orders/${order}/history`)), 200)
      return body.items.map(({ type }: { type: string }) => type).join(", ")
    },
  },
  {
    name: "the user module lists it as processed",
    walk: () =>
      eventually(async () => {
        const { body } = expect(await ask(at(`/users/${user}/orders`)), 200)
        return body.items[0]?.status === "processed" ? `order ${body.items[0].order_id}` : undefined
      }),
  },
  {
    name: "the user's summary counts it",
    walk: () =>
      eventually(async () => {
        const { body } = expect(await ask(at(`/users/${user}/order-summary`)), 200)
        return body.total_amount === "1999.90" ? `${body.orders_count} order of ${body.total_amount}` : undefined
      }),
  },
  {
    name: "it cannot be cancelled any more",
    walk: async () => `${expect(await ask(at(`/orders/${order}/cancel`), {}), 409).body.type}`,
  },
]

let wrong = 0
const width = Math.max(...steps.map(({ name }) => name.length))
for (const { name, walk } of steps) {
  const [mark, text] = await walk().then(
    (found) => ["✓", found] as const,
    (error: unknown) => ["✗", error instanceof Error ? error.message : String(error)] as const,
  )
  if (mark === "✗") wrong++
  process.stdout.write(`${mark} ${name.padEnd(width)}  ${text}\n`)
}
process.stdout.write(
  wrong === 0 ? `all ${steps.length} steps are right\n` : `${wrong} of ${steps.length} steps are wrong\n`,
)
process.exitCode = wrong === 0 ? 0 : 1
