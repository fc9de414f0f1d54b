import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { addressesOf } from "../../http/addresses.ts"
import { endings, expectedOf, listOf, obstacleTo, storyOf, sum, times } from "../../commands/smoke/endings.ts"
import { linesOf, type TableRow, verdictOf } from "../../commands/smoke/table.ts"
import { checksOf, type Site, siteOf } from "../../commands/smoke/Walk.ts"
import { walkKey, walkUser } from "../../commands/smoke/walkEdges.ts"
import { walkEnding } from "../../commands/smoke/walkEnding.ts"
import { type Galleria, start, temporaryFolder, until } from "../harness/process.ts"
import { runProgram } from "../harness/program.ts"

describe("The addresses of a smoke test", () => {
  it.each([
    [
      "the arguments",
      ["http://a:1/", "order=http://b:2"],
      "user=http://c:3",
      [["http://a:1"], ["http://b:2", "order"]],
    ],
    [
      "those of MODULE_URLS",
      [],
      "user=http://c:3, order=http://d:4",
      [
        ["http://c:3", "user"],
        ["http://d:4", "order"],
      ],
    ],
    ["one on this machine", [], undefined, [["http://localhost:8000"]]],
  ])("are %s", (_which, given, moduleUrls, expected) => {
    const { addresses, faults } = addressesOf(given, moduleUrls)
    expect(faults).toEqual([])
    expect(addresses).toEqual(expected.map(([url, module]) => (module === undefined ? { url } : { url, module })))
  })

  it("are refused, each that is none in a sentence", () => {
    expect(addressesOf(["shop=http://a:1", "localhost:8000", "order="], undefined).faults).toEqual([
      `there is no module "shop"; there are user, order, payment, inventory, notification`,
      `"localhost:8000" is no address: expected http://host:port or module=http://host:port`,
      `"order=" is no address: expected http://host:port or module=http://host:port`,
    ])
  })
})

const named = (name: string) => endings.find((ending) => ending.name === name)!
const all = new Set(["user", "order", "payment", "inventory", "notification"])

describe("An ending", () => {
  it("expects no payment when orders need none", () => {
    expect(expectedOf(named("paid and in stock"), ["inventory"]).notifications).toBe("order_created, order_processed")
    expect(expectedOf(named("paid and in stock"), ["payment"]).notifications).toBe(
      "order_created, order_paid, order_processed",
    )
  })

  it.each([
    ["one line is short", ["payment"], all, "orders here do not need inventory"],
    ["paid and in stock", ["payment"], new Set(["order"]), "no address serves payment"],
    ["paid and in stock", [], new Set(["order"]), undefined],
    ["the card is declined", ["payment", "inventory"], all, undefined],
  ])("is walked where it can happen (%s, %j)", (name, steps, served, expected) => {
    expect(obstacleTo(named(name), steps, served)).toBe(expected)
  })

  it("adds money up exactly", () => {
    expect(times("19.99", 3)).toBe("59.97")
    expect(sum(["0.10", "0.20", "99999999.99"])).toBe("100000000.29")
    expect(sum([])).toBe("0.00")
  })

  it("lists every notification, twice what came twice", () => {
    expect(listOf(["order_failed", "order_created", "order_failed"])).toBe("order_created, order_failed, order_failed")
  })

  it("has a story of one line", () => {
    const history = [
      { type: "order_created", status: "created", data: {} },
      { type: "inventory_updated", status: "created", data: { change: "held" } },
      { type: "order_cancelled", status: "cancelled", data: undefined },
    ]
    expect(storyOf(history)).toBe("order_created (created) → inventory_updated held → order_cancelled (cancelled)")
  })
})

describe("A step", () => {
  it("is right when what it expects is seen in the end, and wrong when patience is over", async () => {
    const rows: Array<TableRow> = []
    const { now, eventually } = checksOf(rows, "part", 200)
    let looks = 0
    expect(await eventually("third look", "3", async () => String(++looks))).toBe(true)
    expect(await eventually("never", "3", async () => "4")).toBe(false)
    expect(await now("fails", "3", () => Promise.reject(new Error("no answer")))).toBe(false)
    expect(rows.map(({ seen, isRight }) => [seen, isRight])).toEqual([
      ["3", true],
      ["4", false],
      ["no answer", false],
    ])
    expect(rows[1]!.millis).toBeGreaterThanOrEqual(200)
    expect(linesOf(rows).map((line) => line.slice(0, 6))).toEqual(["✓ part", "✗     ", "✗     "])
    expect(verdictOf(rows)).toBe("2 of 3 steps are wrong")
  })
})

const smoke = (...args: ReadonlyArray<string>) => runProgram("smoke.ts", args)

describe("The smoke test of one process", () => {
  const folder = temporaryFolder()
  let galleria: Galleria
  let site: Site
  beforeAll(async () => {
    galleria = await start({ dataDir: folder.path })
    site = await siteOf([{ url: await galleria.url }])
  })
  afterAll(async () => {
    await galleria.stop("SIGKILL")
    folder[Symbol.dispose]()
  })

  it("walks every ending, twice, the second time beside the first", async () => {
    const url = await galleria.url
    const runs = await Promise.all([smoke(url), smoke(...[...site.modules].map((module) => `${module}=${url}`))])
    for (const { code, output } of runs) {
      expect(output).toMatch(/all \d+ steps are right\n$/u)
      expect(output).not.toMatch(/not walked/u)
      for (const { name } of endings) expect(output).toContain(`✓ ${name} `)
      expect(code).toBe(0)
    }
  })

  /** A wrong answer, its path, and the step that detects it. */
  const lies: ReadonlyArray<readonly [step: string, path: RegExp, lie: (body: any) => object]> = [
    ["order", /^\/orders\/\d+$/u, (order) => ({ ...order, status: "created" })],
    ["payment", /^\/payments\?order_id/u, (page) => ({ ...page, items: [...page.items, ...page.items] })],
    ["stock", /^\/inventory\//u, (product) => ({ ...product, stock: product.stock - 1 })],
    ["notifications", /^\/notifications\?order_id/u, (page) => ({ ...page, items: page.items.slice(1) })],
    ["user's list", /^\/users\/\d+\/orders/u, (page) => ({ ...page, items: [] })],
    ["history", /\/history/u, (page) => ({ ...page, items: [...page.items, ...page.items] })],
  ]
  it("sees whatever is not as it must be", async () => {
    const { user } = await walkUser(site)
    const { steps } = await walkKey(site, user!)
    const walks = lies.map(async ([step, path, lie]) => {
      const lying: Site = {
        ...site,
        patienceMillis: 10_000,
        call: async (method, where, ...rest) => {
          const answer = await site.call(method, where, ...rest)
          return method === "GET" && path.test(where) ? { ...answer, body: lie(answer.body) } : answer
        },
      }
      const prefix = `LIE-${lies.findIndex(([other]) => other === step)}`
      const { rows } = await walkEnding({ site: lying, user: user!, steps, prefix }, endings[0]!)
      return rows.filter(({ isRight }) => !isRight).map(({ step, seen }) => (step === "journey" ? seen : step))
    })
    const standing = expect.stringMatching(/^order \d+: nothing is open$/u)
    expect(await Promise.all(walks)).toEqual(lies.map(([step]) => [step, standing]))
  })

  it("prints where a stuck order stands", async () => {
    const { user } = await walkUser(site)
    const { body } = await site.call("POST", "/orders", { user_id: user, amount: "5", payment_method: "card_down" })
    await until("its charge has failed", async () => /charge by payment: /u.test(await site.whereIs(body.id)))
  })
})

describe("The smoke test of some modules", () => {
  it("walks what there is, and names what it does not walk", async () => {
    using folder = temporaryFolder()
    await using galleria = await start({ dataDir: folder.path, modules: ["user", "order"] })
    const url = await galleria.url
    const { code, output } = await smoke(url)
    expect(output).toMatch(/all \d+ steps are right\n$/u)
    expect(output).toMatch(/^- payment: not walked, no address serves it$/mu)
    expect(output).toMatch(/^- one line is short: not walked, orders here do not need inventory$/mu)
    expect(output).toMatch(/^✓ paid and in stock /mu)
    expect(code).toBe(0)

    const wrong = await smoke(`payment=${url}`)
    expect(wrong.output).toMatch(/✗ +openapi .* no \/payments among its paths .*\n/u)
    expect(wrong.code).toBe(1)
    expect(await smoke("here")).toMatchObject({ code: 1, output: expect.stringMatching(/^"here" is no address: /u) })
  })
})
