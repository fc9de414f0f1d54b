import { readdirSync, readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { readAssets } from "../assets.ts"
import { addressOf, curlOf, linkTo, traceLinkOf } from "./links.js"
import { p99Of, tokenOf, tokens } from "./load.js"
import { borderOf, boxesOf, size } from "./map.js"
import { waitAfter, withQuery } from "./net.js"
import { splitOf } from "./steady.js"
import { clockOf, deltaOf, exactOf, exactTimeOf, spanOf } from "./time.js"

const folder = new URL(".", import.meta.url)
const sources = readdirSync(folder)
  .filter((name) => name.endsWith(".js"))
  .map((name) => [name, readFileSync(new URL(name, folder), "utf8")] as const)

describe("The page's own code", () => {
  it.each(sources)("%s makes no markup of text, and no props of foreign objects", (_, text) => {
    expect(text).not.toMatch(/dangerouslySetInnerHTML|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b/u)
    expect(text).not.toMatch(/<[^>]*\s\.\.\.\$\{/u)
    expect(text).not.toMatch(/new Function|setAttribute|javascript:/u)
  })

  it.each(sources)("%s links only to what linkTo has made", (_, text) => {
    for (const [, made] of text.matchAll(/href=\$\{([^}]+)/gu)) {
      expect(made).toMatch(/^(?:linkTo\(|withParameters\(|list$|place$)/u)
    }
    expect(text).not.toMatch(/href="/u)
  })

  it("is small, as it is sent", async () => {
    const sent = Array.from(readAssets().byPath).filter(([path]) => sources.some(([name]) => path.endsWith(`/${name}`)))
    expect(sent).toHaveLength(sources.length)
    const sizes = await Promise.all(sent.map(([, { brotli }]) => brotli()))
    expect(sizes.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(42_000)
  })
})

describe("An address", () => {
  it.each([
    ["/console", { view: "overview", id: "" }],
    ["/console/", { view: "overview", id: "" }],
    ["/console/orders/4711", { view: "order", id: "4711" }],
    ["/console/dead-letters/019b7f4e-5c3a-7d21-9b1e-3f6a5d0c8e42", { view: "dead-letter" }],
    ["/console/orders/x", { view: "unknown" }],
    ["/console/nothing", { view: "unknown" }],
  ])("%s is a view", (path, expected) =>
    expect(addressOf(path, "?a=b")).toMatchObject({ ...expected, query: { a: "b" } }),
  )

  it("is made of a view, an id and parameters, whatever they contain", () => {
    expect(linkTo("order", 4711)).toBe("/console/orders/4711")
    expect(linkTo("order", "javascript:alert(1)//..")).toBe("/console/orders/javascript%3Aalert(1)%2F%2F..")
    expect(linkTo("dead-letters", "", { cause: "a&b", status: undefined, type: "" })).toBe(
      "/console/dead-letters?cause=a%26b",
    )
    expect(withQuery("/admin/x", { a: undefined, b: 1 })).toBe("/admin/x?b=1")
  })
})

describe("A command, and the place of a trace", () => {
  it("has the token as a variable, and no quote that ends it", () => {
    expect(curlOf("http://localhost:8000", "/admin/events?key=it's")).toBe(
      `curl -H "Authorization: Bearer $ADMIN_TOKEN" 'http://localhost:8000/admin/events?key=it%27s'`,
    )
  })

  it("is known where the deployment says so, for the id of a trace alone", () => {
    const template = "https://traces.example/{trace_id}"
    const id = "4bf92f3577b34da6a3ce929d0e0e4736"
    expect(traceLinkOf(template, id)).toBe(`https://traces.example/${id}`)
    expect(traceLinkOf(undefined, id)).toBe(undefined)
    expect(traceLinkOf(template, "../x")).toBe(undefined)
  })
})

describe("Times", () => {
  const at = Date.parse("2026-01-02T03:04:05.678Z")
  it("are short where they are read at a glance, exact where they are compared", () => {
    expect([500, 59_000, 119_000, 3 * 3_600_000, 3 * 86_400_000].map(spanOf)).toEqual([
      "1 s",
      "59 s",
      "1 min",
      "3 h",
      "3 days",
    ])
    expect([11, 2_400, 494_000, 5_000_000].map(exactOf)).toEqual(["11 ms", "2.4 s", "8 min 14 s", "1 h 23 min"])
    expect([deltaOf(271), deltaOf(-12)]).toEqual(["+271 ms", "−12 ms"])
  })
  it("have a date on another day", () => {
    expect(clockOf(at, at + 60_000, true)).toBe("03:04:05")
    expect(clockOf(at, at + 86_400_000, true)).toBe("2026-01-02 03:04:05")
    expect(exactTimeOf(at, true)).toBe("2026-01-02 03:04:05.678 UTC")
  })
})

describe("A failing call", () => {
  it("is repeated after 2 s, then less often, at most every 30 s", () => {
    expect([0, 1, 2, 3, 4, 5, 9].map((failures) => waitAfter(failures, 1_000))).toEqual([
      1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000,
    ])
  })
})

describe("The map", () => {
  it("puts every module somewhere, and none on another", () => {
    const boxes = boxesOf(["user", "order", "payment", "inventory", "notification", "shipping", "returns"])
    for (const a of boxes) {
      for (const b of boxes) {
        const apart = Math.abs(a.x - b.x) >= size.box.width || Math.abs(a.y - b.y) >= size.box.height
        expect([a.module, b.module, a === b || apart]).toEqual([a.module, b.module, true])
      }
    }
  })

  it("draws a line from border to border", () => {
    const [user, order] = boxesOf(["user", "order"])
    expect(borderOf(user!, order!)).toEqual({ x: user!.x + size.box.width / 2 + 4, y: user!.y })
  })
})

describe("A list in use", () => {
  const keyOf = (item: string) => item
  it("keeps new items waiting, and only those", () => {
    const known = new Set(["b", "c"])
    expect(splitOf(["a", "b", "c"], keyOf, known, true)).toEqual({ shown: ["b", "c"], fresh: 1 })
    expect(splitOf(["c"], keyOf, known, true)).toEqual({ shown: ["c"], fresh: 0 })
    expect(splitOf(["a", "b", "c"], keyOf, known, false)).toEqual({ shown: ["a", "b", "c"], fresh: 0 })
    expect(splitOf(["a"], keyOf, new Set(), true)).toEqual({ shown: ["a"], fresh: 0 })
  })
})

describe("The load", () => {
  it("mixes the tokens by their shares", () => {
    const used = Array.from({ length: 20 }, (_, n) => tokenOf(n))
    for (const { token, share } of tokens) expect(used.filter((one) => one === token)).toHaveLength(share)
  })
  it("has a 99th percentile", () => {
    expect(p99Of([])).toBe(0)
    expect(p99Of(Array.from({ length: 200 }, (_, n) => n + 1))).toBe(198)
  })
})
