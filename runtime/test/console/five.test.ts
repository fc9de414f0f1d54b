import { expect, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import type { Page } from "playwright-core"
import { describe } from "vitest"
import { modules } from "../../modules.ts"
import { type Deployment, overKafkaAndPostgres, type ProductionSite } from "../harness/deployment.ts"
import { canStartKafka } from "../harness/kafka.ts"
import { canStartPostgres } from "../harness/postgresServer.ts"
import { start, temporaryFolder } from "../harness/process.ts"
import { Chromium, hasBrowser, openAt, token } from "./browser.ts"
import { placeOrder, redriveByKeyboard, waitForLanes } from "./operator.ts"

const all = Object.keys(modules)
const possible = hasBrowser && (await canStartKafka()) && (await canStartPostgres())

/** Five processes, and one that is the console alone. */
class Five extends Context.Service<
  Five,
  { readonly site: ProductionSite; readonly deployment: Deployment; readonly url: string }
>()("galleria/testing/Five") {}

const disposed = <A extends AsyncDisposable>(make: () => Promise<A>) =>
  Effect.acquireRelease(Effect.promise(make), (made) => Effect.promise(() => made[Symbol.asyncDispose]()))

const makeFive = Effect.gen(function* () {
  const env = { ORDER_STEPS: "payment,inventory", ADMIN_TOKEN: token }
  const site = yield* disposed(() => overKafkaAndPostgres.settle({ modules: all, instances: 1, env }))
  const deployment = yield* Effect.promise(() => site.start())
  const places = yield* Effect.promise(() =>
    Promise.all(deployment.parts.map(async ({ modules, galleria: { url } }) => `${modules.join()}=${await url}`)),
  )
  const folder = temporaryFolder()
  yield* Effect.addFinalizer(() => Effect.sync(() => folder[Symbol.dispose]()))
  const settings = { MODULE_URLS: places.join(), ADMIN_TOKEN: token, CONSOLE_TRY: "on" }
  const own = yield* disposed(() => start({ dataDir: folder.path, modules: ["console"], env: settings }))
  return { site, deployment, url: yield* Effect.promise(() => own.url) }
})

/** Runs a story on a page of the console's process; afterwards nothing may have gone wrong in it. */
const story = (steps: (page: Page, five: Five["Service"]) => Promise<void>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const five = yield* Five
      const { page, wrong } = yield* openAt(five.url, { as: "Zoë" })
      page.setDefaultTimeout(60_000)
      yield* Effect.promise(() => steps(page, five))
      expect(wrong).toEqual([])
    }),
  )

/** The id of the trace of an order, as its first event on the log has it. */
const traceOf = async (url: string, order: number) => {
  const headers = { authorization: `Bearer ${token}` }
  const answer = await fetch(`${url}/admin/events?order_id=${order}`, { headers })
  const { items } = (await answer.json()) as { items: ReadonlyArray<{ event: { headers: Record<string, string> } }> }
  return items.at(-1)?.event.headers["traceparent"]?.split("-")[1]
}

describe.runIf(possible)("The console over five processes, Kafka and PostgreSQL", { timeout: 300_000 }, () => {
  const five = Layer.merge(Chromium.layer, Layer.effect(Five, makeFive))
  layer(five, { excludeTestServices: true, timeout: "5 minutes" })((it) => {
    it.effect("follows an order through all of them", () =>
      story(async (page, { url }) => {
        const order = await placeOrder(page, "new")
        await waitForLanes(page)
        expect(await page.locator(".head code").first().getAttribute("title")).toBe(await traceOf(url, order))
      }),
    )

    it.effect("says that a module is unreachable whose process was killed, and forgets it when it is back", () =>
      story(async (page, { site, deployment }) => {
        const { port } = new URL(await deployment.of("payment").url)
        await page.goto("/console")
        await page.locator(".verdict", { hasText: "Nothing is stuck" }).waitFor()
        await deployment.of("payment").stop("SIGKILL")
        await page.getByText(/^payment is unreachable since \d\d:\d\d:\d\d/u).waitFor()
        await page.locator(".verdict", { hasText: "1 module is unreachable" }).waitFor()
        const order = await placeOrder(page, "new")
        await page.locator(".timeline th.away", { hasText: "payment" }).waitFor()
        await site.start({ env: { PORT: port } })
        await page.locator(".head .state", { hasText: "processed" }).waitFor()
        expect(await page.locator(".timeline th.away").count()).toBe(0)
        await page.keyboard.press("g")
        await page.keyboard.press("o")
        await page.getByRole("link", { name: String(order), exact: true }).waitFor()
        await page.locator(".verdict", { hasText: "Nothing is stuck" }).waitFor()
      }),
    )

    it.effect("redrives and discards what a foreign producer has sent", () =>
      story(async (page, { site }) => {
        const value = Buffer.from(`{"order_id":9001,"user_id":9001,"reason":"lost"}`)
        await site.send([{ topic: "inventory_rejected", key: "9001", value, headers: {} }])
        await page.goto("/console/dead-letters?module=payment")
        await page.locator(".stuck li", { hasText: "payment.stop-rejected" }).waitFor()
        await redriveByKeyboard(page, "Redrive 1")
        await page.getByText("Redrive of 1: 1 failed again.").waitFor()
        await page.getByRole("link", { name: "Show 1" }).click()
        await page.getByRole("link", { name: "inventory_rejected" }).click()
        await page.getByRole("heading", { name: "Attempts" }).waitFor()
        await page.getByRole("button", { name: "Discard…" }).click()
        await page.getByRole("dialog").getByRole("button", { name: "Discard" }).click()
        await page.getByText("Discarded: the key goes on.").waitFor()
        await page.goto("/console/actions")
        for (const action of ["discard", "redrive"]) {
          await page.locator("tr", { hasText: "Zoë" }).filter({ hasText: action }).first().waitFor()
        }
      }),
    )
  })
})
