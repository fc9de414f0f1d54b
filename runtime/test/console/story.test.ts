import { expect, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { Page } from "playwright-core"
import { describe } from "vitest"
import { modules } from "../../modules.ts"
import { eventually, Scenario, scenario } from "../harness/scenario.ts"
import { Chromium, hasBrowser, open, type Opened, token } from "./browser.ts"
import { placeOrder, press, redriveByKeyboard, waitForLanes } from "./operator.ts"

/** An event that fails is parked at its second attempt, a second later. */
const settings = { ADMIN_TOKEN: token, FAULTS: "on", RETRY_ATTEMPTS: "2", USER_WAIT_MS: "60000" }
const server = Layer.merge(scenario(Object.values(modules), settings), Chromium.layer)

const bearer = { authorization: `Bearer ${token}` }
const admin = (method: string, path: string, body?: unknown, actor = "someone") =>
  Effect.flatMap(Scenario, ({ request }) =>
    request(method, `/admin/${path}`, { body, headers: { ...bearer, "x-actor": actor } }),
  )

const eventuallyProcessed = (id: number) =>
  Effect.flatMap(Scenario, ({ get }) =>
    eventually(Effect.map(get(`/orders/${id}`), ({ body }) => expect(body.status).toBe("processed"))),
  )

/** Runs a story on a page of an operator who has signed in; afterwards nothing may have gone wrong in it. */
const story = <E, R>(as: string, steps: (page: Page, opened: Opened) => Effect.Effect<void, E, R>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const opened = yield* open({ as })
      opened.page.setDefaultTimeout(60_000)
      yield* steps(opened.page, opened)
      expect(opened.wrong).toEqual([])
    }),
  )

const isCalm = async (page: Page) => {
  await page.locator(".verdict", { hasText: "Nothing is stuck." }).waitFor()
  await expect.poll(() => page.locator("svg.map .box .word", { hasText: "ready" }).count(), { timeout: 30_000 }).toBe(5)
}

const breakReaction = async (page: Page, name: string, user: number) => {
  await page.goto("/console/try")
  await page.getByLabel("for one user, of a reaction").fill(String(user))
  await page.getByRole("switch", { name: `reaction.${name}`, exact: true }).click()
  await page.getByRole("button", { name: "Break it" }).click()
  await page.getByText(`Fault on: ${name} fails for user ${user}`).waitFor()
}

/** Facts of orders that do not exist, for a reason that no schema has. */
const foreign = (orders: ReadonlyArray<number>) =>
  Effect.flatMap(Scenario, ({ put }) =>
    Effect.forEach(orders, (order) =>
      put({
        topic: "inventory_rejected",
        key: String(order),
        value: Buffer.from(`{"order_id":${order},"user_id":${order},"reason":"lost","note":12345678901234567890}`),
      }),
    ),
  )

const openIn = (module: string) =>
  Effect.map(
    admin("GET", `dead-letters?status=parked&module=${module}&limit=200`),
    ({ body }): ReadonlyArray<any> => body.items,
  )
const eventuallyOpenIn = (module: string, count: number) =>
  eventually(
    Effect.map(openIn(module), (items) => {
      expect(items).toHaveLength(count)
      return items
    }),
  )

describe.skipIf(!hasBrowser)("The console over a running system", () => {
  layer(server, { excludeTestServices: true })((it) => {
    it.effect("follows an order through the modules; shows what a broken reaction holds; mends and redrives it", () =>
      story("Zoë", (page) =>
        Effect.gen(function* () {
          yield* Effect.promise(() => isCalm(page))

          yield* Effect.promise(async () => {
            await placeOrder(page, "new")
            await waitForLanes(page)
          })
          yield* Effect.promise(() => breakReaction(page, "inventory.hold", 1))
          const broken = yield* Effect.promise(async () => [await placeOrder(page, "1"), await placeOrder(page, "1")])
          const other = yield* Effect.promise(() => placeOrder(page, "new"))
          yield* eventuallyProcessed(other)
          yield* eventuallyOpenIn("inventory", 2)

          yield* Effect.promise(async () => {
            await page.goto("/console")
            await page.locator(".verdict", { hasText: "2 events are stuck." }).waitFor()
            const line = page.locator(".stuck li", { hasText: "2 events are parked in inventory.hold: the fault" })
            await line.getByText(/^first \d\d:\d\d:\d\d, .* after Zoë did: .*reaction\.inventory\.hold/u).waitFor()

            // From here on without a pointer.
            await press(page, "Switch off")
            await page.getByText("Fault on:").waitFor({ state: "detached" })
            await redriveByKeyboard(page, "Redrive 2")
            await page.getByText("Redrive of 2: 2 took effect.").waitFor()
          })
          for (const id of broken) yield* eventuallyProcessed(id)

          yield* Effect.promise(async () => {
            await page.locator(".verdict", { hasText: "Nothing is stuck." }).waitFor()
            await page.keyboard.press("g")
            await page.keyboard.press("a")
            const done = page.locator("tr", { hasText: "Zoë" }).filter({ hasText: "inventory.hold" })
            await done.filter({ hasText: "redrive" }).first().waitFor()
            await page.goto(`/console/events?order_id=${broken[0]}`)
            await page.getByText("order_processed").waitFor()
          })
          expect(yield* openIn("inventory")).toEqual([])
        }),
      ),
    )

    it.effect("redrives what was counted: not what failed later, nor what someone else has discarded", () =>
      story("ops", (page) =>
        Effect.gen(function* () {
          yield* foreign([9001, 9002, 9003, 9004, 9005])
          yield* eventuallyOpenIn("payment", 5)
          yield* Effect.promise(async () => {
            await page.goto("/console/dead-letters?module=payment")
            await page.getByRole("button", { name: "Redrive 5…" }).click()
            await page.getByRole("dialog").getByText("Runs 5 events again").waitFor()
          })
          yield* foreign([9006])
          const [last, ...before] = yield* eventuallyOpenIn("payment", 6)
          expect((yield* admin("POST", `dead-letters/${before[0].id}/discard`)).body.status).toBe("discarded")
          yield* Effect.promise(async () => {
            await page.getByRole("dialog").getByRole("button", { name: "Redrive 5" }).click()
            await page.getByText("Redrive of 4: 4 failed again. 1 had already ended.").waitFor()
          })
          const { body } = yield* admin("GET", `dead-letters/${last.id}`)
          expect(body).toMatchObject({ redriven_at: null, last_failed_at: last.last_failed_at })

          // The rest goes by hand.
          yield* Effect.promise(async () => {
            await page.goto("/console/dead-letters?module=payment&by=one")
            await page.getByRole("checkbox").nth(4).waitFor()
            for (let n = 0; n < 5; n++) {
              await page.keyboard.press("j")
              await page.keyboard.press("x")
            }
            await page.keyboard.press("d")
            await page.getByRole("dialog").getByRole("button", { name: "Discard 5" }).click()
            await page.getByText("Discarded 5 events.").waitFor()
            await page.getByText("No dead letters match.").waitFor()
          })
          expect(yield* openIn("payment")).toEqual([])
          yield* admin("POST", "dead-letters/discard", {})
        }),
      ),
    )

    it.effect("redrives an event with other data, once that satisfies its schema", () =>
      story("Ann", (page) =>
        Effect.gen(function* () {
          yield* foreign([9101])
          const [letter] = yield* eventuallyOpenIn("payment", 1)
          const good = `{"order_id":9101,"user_id":9101,"reason":"out_of_stock","note":12345678901234567890}`
          yield* Effect.promise(async () => {
            await page.goto(`/console/dead-letters/${letter.id}`)
            // Of text that fails its schema every value may be hidden.
            const reveal = page.getByRole("button", { name: "Show the hidden values" })
            const edit = page.getByRole("button", { name: "Edit and redrive" })
            await reveal.or(edit).waitFor()
            if (await reveal.isVisible()) await reveal.click()
            await edit.click()
            const text = page.getByLabel("The data, as JSON")
            const bad = good.replace("out_of_stock", "stolen")
            await text.fill(bad)
            const send = async () => {
              await page.getByRole("button", { name: "Redrive with this data" }).click()
              await page.getByRole("dialog").getByRole("button", { name: "Redrive with this data" }).click()
            }
            await send()
            await page.locator("main").getByText("/data/reason").waitFor()
            expect(await text.inputValue()).toBe(bad)
            await text.fill(good)
            await send()
            await page.locator("main .state", { hasText: "redriven" }).waitFor()
            await page.getByText("edited", { exact: true }).waitFor()
            await page.getByRole("region", { name: "The event's data" }).getByText("12345678901234567890").waitFor()
            await page.getByRole("button", { name: "Show", exact: true }).click()
            await page.getByRole("region", { name: "The data as it came first" }).getByText("lost").waitFor()
          })
          yield* admin("POST", "dead-letters/discard", {})
        }),
      ),
    )

    it.effect("finds an order, an event and a user by their ids", () =>
      story("ops", (page) =>
        Effect.gen(function* () {
          const order = yield* Effect.promise(async () => {
            const id = await placeOrder(page, "new")
            await waitForLanes(page)
            return id
          })
          const { body } = yield* admin("GET", `events?order_id=${order}&topic=order_created`)
          const [{ event }] = body.items
          yield* Effect.promise(async () => {
            const search = async (text: string) => {
              await page.goto("/console/actions")
              await page.getByRole("searchbox").fill(text)
              await page.keyboard.press("Enter")
            }
            await search(String(order))
            await page.getByRole("heading", { name: `Order ${order}` }).waitFor()
            await search(event.id)
            await page.getByRole("heading", { name: "order_created" }).waitFor()
            await search("no such id")
            await page.getByText("Nothing has the id no such id.").waitFor()
          })
        }),
      ),
    )

    it.effect("shows a foreigner's e-mail address after a click alone, which is an action", () =>
      story("Ann", (page) =>
        Effect.gen(function* () {
          const { put } = yield* Scenario
          const address = "secret.person@example.org"
          const value = Buffer.from(`{"user_id":9201,"email":"${address}","name":7}`)
          yield* put({ topic: "user_created", key: "9201", value })
          const [letter] = yield* eventuallyOpenIn("order", 1)
          const isShown = async () => (await page.content()).includes(address)
          yield* Effect.promise(async () => {
            for (const path of [
              "dead-letters?by=one",
              `dead-letters/${letter.id}`,
              "events?topic=user_created&key=9201",
            ]) {
              await page.goto(`/console/${path}`)
              await page.locator("main tbody tr, main h1").filter({ hasText: "user_created" }).first().waitFor()
              expect(await isShown()).toBe(false)
            }
            await page.goto(`/console/dead-letters/${letter.id}`)
            await page.getByRole("button", { name: "Show", exact: true }).click()
            await page.getByText(address).waitFor()
            await page.goto("/console/actions")
            await page.locator("tr", { hasText: "Ann" }).filter({ hasText: "personal" }).first().waitFor()
            expect(await isShown()).toBe(false)
          })
          yield* admin("POST", "dead-letters/discard", {})
        }),
      ),
    )

    it.effect("changes stock, and shows why a change is refused", () =>
      story("ops", (page) =>
        Effect.gen(function* () {
          const { get } = yield* Scenario
          yield* Effect.promise(async () => {
            await page.goto("/console/try")
            await page.getByLabel("stock of MOUSE001").fill("321")
            await page
              .getByRole("listitem")
              .filter({ hasText: "MOUSE001" })
              .getByRole("button", { name: "Set" })
              .click()
            await page.getByText("321 units of 321 available").waitFor()
            await page.getByLabel("product", { exact: true }).fill("NO SUCH PRODUCT")
            await page.getByRole("button", { name: "Place and follow" }).click()
            await page.getByText("/items/0/product_id").waitFor()
          })
          expect((yield* get("/inventory/MOUSE001")).body.stock).toBe(321)
        }),
      ),
    )
  })
})
