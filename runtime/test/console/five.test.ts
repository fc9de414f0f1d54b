import { expect, layer } from "@effect/vitest"
import { Effect } from "effect"
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

const settle = Effect.acquireRelease(
  Effect.promise(() =>
    overKafkaAndPostgres.settle({
      modules: all,
      instances: 1,
      env: { ORDER_STEPS: "payment,inventory", ADMIN_TOKEN: token },
    }),
  ),
  (site) => Effect.promise(() => site[Symbol.asyncDispose]()),
)

/** The process that is the console alone, over those of the deployment. */
const startConsole = (deployment: Deployment) =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(Effect.sync(temporaryFolder), (own) =>
      Effect.sync(() => own[Symbol.dispose]()),
    )
    const places = yield* Effect.promise(() =>
      Promise.all(deployment.parts.map(async ({ modules, galleria: { url } }) => `${modules.join()}=${await url}`)),
    )
    const env = { MODULE_URLS: places.join(), ADMIN_TOKEN: token, CONSOLE_TRY: "on" }
    const own = yield* Effect.acquireRelease(
      Effect.promise(() => start({ dataDir: folder.path, modules: ["console"], env })),
      (galleria) => Effect.promise(() => galleria[Symbol.asyncDispose]()),
    )
    return yield* Effect.promise(() => own.url)
  })

/** The id of the trace of an order, as its first event on the log has it. */
const traceOf = async (url: string, order: number) => {
  const headers = { authorization: `Bearer ${token}` }
  const answer = await fetch(`${url}/admin/events?order_id=${order}`, { headers })
  const { items } = (await answer.json()) as { items: ReadonlyArray<{ event: { headers: Record<string, string> } }> }
  return items.at(-1)?.event.headers["traceparent"]?.split("-")[1]
}

/** A module whose process is killed: the page says so, shows the rest, and forgets it once the module is back. */
const killAndMend = async (page: Page, site: ProductionSite, deployment: Deployment, order: number) => {
  const { port } = new URL(await deployment.of("payment").url)
  await page.goto("/console")
  await page.locator(".verdict", { hasText: "Nothing is stuck." }).waitFor()
  await deployment.of("payment").stop("SIGKILL")
  await page.getByText(/^payment is unreachable since \d\d:\d\d:\d\d/u).waitFor()
  await page.locator(".verdict", { hasText: "1 module is unreachable" }).waitFor()
  await page.goto(`/console/orders/${order}`)
  await page.locator(".timeline th.away", { hasText: "payment" }).waitFor()
  await page.locator(".timeline").getByText("order_created").first().waitFor()
  await page.keyboard.press("g")
  await page.keyboard.press("o")
  await site.start({ env: { PORT: port } })
  await page.locator(".verdict", { hasText: "unreachable" }).waitFor({ state: "hidden" })
  await page.getByText(/^payment is unreachable/u).waitFor({ state: "hidden" })
}

/** A record of a foreign producer that no schema accepts is parked, and a redrive of it fails again. */
const redriveForeign = async (page: Page, site: ProductionSite) => {
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
}

describe.runIf(possible)("The console over five processes, Kafka and PostgreSQL", { timeout: 300_000 }, () => {
  layer(Chromium.layer, { excludeTestServices: true })((it) => {
    it.effect("follows an order, says what a killed module means, and redrives what is stuck", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const site = yield* settle
          const deployment = yield* Effect.promise(() => site.start())
          const url = yield* startConsole(deployment)
          const { page, wrong } = yield* openAt(url, { as: "Zoë" })
          page.setDefaultTimeout(60_000)
          const order = yield* Effect.promise(async () => {
            const id = await placeOrder(page, "new")
            await waitForLanes(page)
            expect(await page.locator(".head code").first().getAttribute("title")).toBe(await traceOf(url, id))
            return id
          })
          yield* Effect.promise(() => killAndMend(page, site, deployment, order))
          yield* Effect.promise(() => redriveForeign(page, site))
          expect(wrong).toEqual([])
        }),
      ),
    )
  })
})
