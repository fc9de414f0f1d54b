import { once } from "node:events"
import { Client } from "pg"
import { type DriverAsk, options } from "./pgbench.ts"

/** The process that stands in for pgbench: takes one ask, and sends how often in a second. */
const [{ url, statement, connections, millis }] = (await once(process, "message")) as [DriverAsk]
const clients = await Promise.all(
  Array.from({ length: connections }, async () => {
    const client = new Client({ connectionString: url, options })
    await client.connect()
    return client
  }),
)
const from = performance.now()
let done = 0
await Promise.all(
  clients.map(async (client) => {
    while (performance.now() - from < millis) {
      await client.query({ name: "order", text: statement.text, values: [...statement.values] })
      done++
    }
  }),
)
process.send!((done * 1_000) / (performance.now() - from))
for (const client of clients) await client.end()
process.disconnect()
