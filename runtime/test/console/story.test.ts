import { expect, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { describe } from "vitest"
import { modules } from "../../modules.ts"
import { eventually, Scenario, scenario } from "../harness/scenario.ts"
import { Chromium, hasBrowser, open, token } from "./browser.ts"

const server = Layer.merge(scenario(Object.values(modules), { ADMIN_TOKEN: token, FAULTS: "on" }), Chromium.layer)

describe.skipIf(!hasBrowser)("The console over a running system", () => {
  layer(server, { excludeTestServices: true })((it) => {
    it.effect("places an order, sees a reaction that was broken for one user, mends it and redrives", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { get } = yield* Scenario
          const bearer = { authorization: `Bearer ${token}` }
          const { request } = yield* Scenario
          const statusOf = (id: number) => Effect.map(get(`/orders/${id}`), ({ body }) => body.status)
          const { page, wrong } = yield* open({ as: "Zoë", path: "/console/try" })
          page.setDefaultTimeout(60_000)

          const place = (user: string) =>
            Effect.promise(async () => {
              await page.goto("/console/try")
              await page.getByLabel("user", { exact: true }).fill(user)
              await page.getByRole("button", { name: "Place and follow" }).click()
              await page.getByRole("heading", { name: /^Order \d+/u }).waitFor()
              return Number(/\d+$/u.exec(new URL(page.url()).pathname))
            })

          const first = yield* place("new")
          yield* Effect.promise(async () => {
            await page.locator(".head .state", { hasText: "processed" }).waitFor()
            for (const lane of ["order_created", "hold taken", "charge successful", "mail sent", "order_processed"]) {
              await page.locator(".timeline").getByText(lane).first().waitFor()
            }
          })
          yield* eventually(Effect.map(statusOf(first), (status) => expect(status).toBe("processed")))

          yield* Effect.promise(async () => {
            await page.goto("/console/try")
            await page.getByLabel("for one user, of a reaction").fill("1")
            await page.getByRole("switch", { name: "reaction.inventory.hold", exact: true }).click()
            await page.getByRole("button", { name: "Break it" }).click()
            await page.getByText("Fault on: inventory.hold fails for user 1").waitFor()
          })
          const broken = yield* place("1")
          const other = yield* place("new")
          yield* eventually(Effect.map(statusOf(other), (status) => expect(status).toBe("processed")))

          yield* Effect.promise(async () => {
            await page.goto("/console")
            await page.locator(".verdict", { hasText: "1 event is stuck." }).waitFor()
            await page.locator(".stuck", { hasText: "1 event is retried in inventory.hold: the fault" }).waitFor()
            await page.goto("/console/dead-letters?by=one")
            await page.getByRole("link", { name: "order_created" }).click()
            await page.getByText("the fault reaction.inventory.hold is switched on").first().waitFor()
            await page.getByRole("button", { name: "Redrive…", exact: true }).click()
            await page.getByRole("dialog").getByRole("button", { name: "Redrive" }).click()
            await page.getByText("Redriven: it is tried now.").waitFor()
            await page.getByRole("button", { name: "Switch off" }).click()
            await page.getByText("Fault on:").waitFor({ state: "detached" })
            await page.locator("main .state", { hasText: "redriven" }).waitFor()
          })
          yield* eventually(Effect.map(statusOf(broken), (status) => expect(status).toBe("processed")))
          yield* Effect.promise(async () => {
            await page.goto("/console")
            await page.locator(".verdict", { hasText: "Nothing is stuck." }).waitFor()
            await page.goto(`/console/events?order_id=${broken}`)
            await page.getByText("order_processed").waitFor()
          })
          const letters = yield* request("GET", "/admin/dead-letters", { headers: bearer })
          expect(letters.body.items).toEqual([])
          expect(wrong).toEqual([])
        }),
      ),
    )

    it.effect("changes stock, and shows why a change is refused", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { get } = yield* Scenario
          const { page, wrong } = yield* open({ as: "ops", path: "/console/try" })
          yield* Effect.promise(async () => {
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
          expect(wrong).toEqual([])
        }),
      ),
    )
  })
})
