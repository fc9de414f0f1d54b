import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { expect, it } from "vitest"
import { addressesOf } from "../../http/addresses.ts"
import { siteOf } from "./Walk.ts"

it("the journey of an order is asked for again while the process is busy, and a lasting refusal is named", async () => {
  const statuses = [503, 200, 401]
  await using server = createServer((request, response) => {
    const status = request.url === "/admin/journeys/7" ? statuses.shift()! : 200
    response.writeHead(status, { "content-type": "application/json", "retry-after": "1" })
    response.end(JSON.stringify({ events: [], unsent: [], steps: [] }))
  })
  await once(server.listen(0, "127.0.0.1"), "listening")
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const site = await siteOf(addressesOf([url], undefined).addresses)
  expect(await site.whereIs(7)).toBe("nothing is open")
  expect(await site.whereIs(7)).toBe(`${url} answers 401 about its journey`)
  expect(statuses).toEqual([])
})
