import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type Galleria, start, temporaryFolder, until } from "../harness/process.ts"
import { spine } from "../harness/spine.ts"
import { ask, expectProblem, post } from "./ask.ts"

const folder = temporaryFolder()
let galleria: Galleria
let url: string

const get = (path: string) => ask(url, { path })

const signUp = async (name: string) => (await post(url, "/users", { email: `${name}@example.org`, name })).body.id

/** Three of all that is listed, for each of two users. */
beforeAll(async () => {
  galleria = await start({ modules: spine, dataDir: folder.path, env: { USER_WAIT_MS: "10000" } })
  url = await galleria.url
  for (const name of ["ada", "eve", "joe"]) await signUp(name)
  for (const user_id of [1, 1, 1, 2, 2, 2]) await post(url, "/orders", { user_id, amount: 1 })
  await until("all is processed, and counted", async () => {
    const all = await Promise.all([1, 2].map((user) => get(`/users/${user}/orders`)))
    return all.every(({ body }) => body.items.filter(({ status }: any) => status === "processed").length === 3)
  })
})
afterAll(async () => {
  await galleria[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

const lists = [
  "/users",
  "/orders",
  "/orders?user_id=1",
  "/orders?user_id=2",
  "/orders?status=processed",
  "/orders?user_id=1&status=processed",
  "/users/1/orders",
  "/users/2/orders",
  "/orders/1/history",
  "/orders/2/history",
  "/admin/events",
  "/admin/events?topic=order_created&key=1",
] as const

const withQuery = (list: string, query: string) => `${list}${list.includes("?") ? "&" : "?"}${query}`
const after = (list: string, cursor: string) => get(withQuery(list, `limit=2&cursor=${encodeURIComponent(cursor)}`))
const firstPage = async (list: string) => (await get(withQuery(list, "limit=1"))).body

/** The first items of a list, or the next ones. A page of events ends early when there is no time to read further. */
const take = async (list: string, count: number, cursor = "") => {
  const items: Array<unknown> = []
  for (let next: string | null = cursor; next !== null && items.length < count;) {
    const from = next === "" ? "" : `&cursor=${encodeURIComponent(next)}`
    const { body } = await get(withQuery(list, `limit=${count - items.length}${from}`))
    items.push(...body.items)
    next = body.next_cursor
  }
  return items
}

const isForged = { status: 400, slug: "invalid-cursor" }

describe("A cursor", () => {
  it.for(lists)("continues where its page ended, with any limit: %s", async (list) => {
    const { items, next_cursor } = await firstPage(list)
    const rest = await take(list, 2, next_cursor)
    expect([...items, ...rest]).toEqual(await take(list, items.length + rest.length))
    expect(rest.length).toBeGreaterThan(0)
  })

  it.for(lists)("belongs to its list, with its filters: %s", async (list) => {
    const { next_cursor } = await firstPage(list)
    for (const other of lists.filter((other) => other !== list)) {
      expectProblem(await after(other, next_cursor), isForged)
    }
    expectProblem(await after("/admin/dead-letters", next_cursor), isForged)
    expectProblem(await after("/orders?status=created", next_cursor), isForged)
    expectProblem(await after("/users/3/orders", next_cursor), isForged)
  })

  it("ignores the order of filters and other parameters", async () => {
    const { next_cursor } = await firstPage("/orders?user_id=1&status=processed")
    expect((await after("/orders?foo=1&status=processed&user_id=1", next_cursor)).status).toBe(200)
  })

  it.for(["/users", "/orders/1/history"])("that was altered anywhere is refused: %s", async (list) => {
    const cursor: string = (await firstPage(list)).next_cursor
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    const altered = cursor.split("").flatMap((letter, n) => {
      const at = alphabet.indexOf(letter)
      // Also its neighbour, which at the end of a base64 text may stand for the same bytes.
      const others = at < 0 ? ["", "A", ".."] : ["", alphabet[at ^ 1]!, alphabet[(at + 32) % 64]!, `${letter}${letter}`]
      return others.map((other) => cursor.slice(0, n) + other + cursor.slice(n + 1))
    })
    expect(altered).not.toContain(cursor)
    for (const forged of altered) expectProblem(await after(list, forged), isForged)
  })

  it.for([
    "",
    ".",
    "..",
    "x",
    "1",
    "MQ",
    "MQ.",
    ".AAAAAAAAAAAAAAAAAAAAAA",
    "MQ.AAAAAAAAAAAAAAAAAAAAAA",
    "\u0000",
    "é",
    "null",
    "' or 1=1 --",
    "A".repeat(8_000),
    "{}",
  ])("that was never issued is refused: %j", async (cursor) => {
    for (const list of lists) expectProblem(await after(list, cursor), isForged)
  })

  it("with white space or padding round it is another", async () => {
    const { next_cursor } = await firstPage("/users")
    for (const forged of [
      ` ${next_cursor}`,
      `${next_cursor} `,
      `${next_cursor}=`,
      `${next_cursor}\n`,
      `${next_cursor}.`,
    ]) {
      expectProblem(await after("/users", forged), isForged)
    }
  })

  it("is valid after a restart, and while items are added", async () => {
    const cursors = await Promise.all(lists.map(async (list) => [list, (await firstPage(list)).next_cursor] as const))
    const before = await Promise.all(cursors.map(([list, cursor]) => take(list, 2, cursor)))
    expect(await galleria.stop()).toEqual({ code: 0, signal: null })
    galleria = await start({ modules: spine, dataDir: folder.path })
    url = await galleria.url
    await signUp("zoe")
    for (const user_id of [1, 2]) await post(url, "/orders", { user_id, amount: 1 })
    expect(await Promise.all(cursors.map(([list, cursor]) => take(list, 2, cursor)))).toEqual(before)
  })
})

describe("A page of large items", () => {
  it("ends when it has become large, and the next one continues there", async () => {
    const line = { product_id: "A", product_name: "😀".repeat(200), quantity: 1, price: 1 }
    const body = { user_id: 3, items: Array.from({ length: 100 }, () => line) }
    const placed: Array<number> = []
    for (let n = 0; n < 50; n++) placed.unshift((await post(url, "/orders", body)).body.id)
    const found: Array<number> = []
    let pages = 0
    for (let next = ""; ; pages++) {
      const page = await get(`/orders?user_id=3&limit=200${next}`)
      expect(Buffer.byteLength(page.text)).toBeLessThan(3 * 1024 * 1024)
      if (page.body.next_cursor !== null) expect(page.body.items.length).toBeGreaterThan(10)
      found.push(...page.body.items.map(({ id }: { id: number }) => id))
      if (page.body.next_cursor === null) break
      next = `&cursor=${encodeURIComponent(page.body.next_cursor)}`
    }
    expect(found).toEqual(placed)
    expect(pages).toBeGreaterThan(0)
  })
})
