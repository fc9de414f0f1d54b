import { expect, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { mkdirSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import type { Page, Request } from "playwright-core"
import { describe } from "vitest"
import { modules } from "../../modules.ts"
import { Scenario, scenario } from "../harness/scenario.ts"
import { Chromium, hasBrowser, open, type Opened, Refused, token } from "./browser.ts"
import * as fixtures from "./fixtures.ts"

/** Where the pictures of the views are kept, to be looked at. */
const pictures = new URL("../../../.cache/console/", import.meta.url).pathname
mkdirSync(pictures, { recursive: true })

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")

/** What axe-core finds by WCAG 2.2 AA. */
const barriersOn = async (page: Page) => {
  await page.evaluate(axe)
  return page.evaluate<ReadonlyArray<string>>(`axe
    .run(document, { runOnly: { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] } })
    .then(({ violations }) => violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => id + " " + target + ": " + failureSummary)))`)
}

/** By how much the page is wider than the window. */
const overflowOf = (page: Page) =>
  page.evaluate<number>("Math.max(0, document.documentElement.scrollWidth - innerWidth)")

const calm = () => fixtures.answers(fixtures.calm)
const stuck = () => fixtures.answers(fixtures.stuck, fixtures.stuckGroups)
const states = {
  calm: calm(),
  stuck: stuck(),
  unreachable: fixtures.answers(fixtures.unreachable, fixtures.stuckGroups),
  many: fixtures.answers(fixtures.stuck, fixtures.manyGroups),
}

/** How long a fact of the page may be waited for. */
const patience = { timeout: 30_000 }

/** The page asks for nothing for longer than there is between two of its looks, once what is under way has ended. */
const asksNothing = async (page: Page, asked: ReadonlyArray<string>) => {
  let before: number
  do {
    before = asked.length
    await page.waitForTimeout(1_000)
  } while (asked.length > before)
  await page.waitForTimeout(3_000)
  expect(asked.length).toBe(before)
}

const ready = (page: Page) => page.getByText(/^live · checked/u).waitFor()

/** Runs a story on a page of an operator who has signed in; afterwards nothing may have gone wrong in it. */
const story = (options: Parameters<typeof open>[0], told: (opened: Opened) => Promise<void>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const opened = yield* open({ as: "ops", ...options })
      yield* Effect.promise(async () => {
        opened.page.setDefaultTimeout(30_000)
        await told(opened)
        expect(opened.wrong).toEqual([])
      })
    }),
  )

const looks = [
  { width: 1200, scheme: "light" },
  { width: 768, scheme: "dark" },
  { width: 360, scheme: "light" },
  { width: 360, scheme: "dark" },
  { width: 1200, scheme: "dark" },
] as const

const server = Layer.merge(scenario(Object.values(modules), { ADMIN_TOKEN: token }), Chromium.layer)

describe.skipIf(!hasBrowser)("The console in a browser", () => {
  layer(server, { excludeTestServices: true })((it) => {
    it.effect.each(Object.keys(states) as ReadonlyArray<keyof typeof states>)(
      "shows the overview when it is %s, at every width, in light and dark",
      (state) =>
        story({ answers: states[state] }, async ({ page }) => {
          await ready(page)
          await page.getByRole("heading", { name: "Newest orders" }).waitFor()
          for (const { width, scheme } of looks) {
            await page.setViewportSize({ width, height: 800 })
            await page.emulateMedia({ colorScheme: scheme })
            expect([width, await overflowOf(page)]).toEqual([width, 0])
            await page.screenshot({ path: `${pictures}overview-${state}-${width}-${scheme}.png`, fullPage: true })
          }
        }),
    )

    it.effect("makes the picture of the README", () =>
      story({ answers: states.stuck }, async ({ page }) => {
        await page.setViewportSize({ width: 1000, height: 712 })
        await ready(page)
        await page.getByRole("link", { name: "4715" }).waitFor()
        await page.screenshot({ path: `${pictures}readme.png` })
      }),
    )

    it.effect.each(Object.entries(fixtures.views).filter(([name]) => name !== "overview"))(
      "shows the view %s at every width, in light and dark",
      ([name, path]) =>
        story({ path, answers: states.stuck }, async ({ page }) => {
          await ready(page)
          await page.getByText("Looking…").waitFor({ state: "hidden" })
          for (const { width, scheme } of looks) {
            await page.setViewportSize({ width, height: 800 })
            await page.emulateMedia({ colorScheme: scheme })
            expect([width, await overflowOf(page)]).toEqual([width, 0])
            await page.screenshot({ path: `${pictures}${name}-${width}-${scheme}.png`, fullPage: true })
          }
        }),
    )

    it.effect.each(Object.entries(fixtures.views))("has no barrier that axe finds in the view %s", ([, path]) =>
      story({ path, answers: states.stuck, bypassCSP: true }, async ({ page }) => {
        await ready(page)
        await page.getByText("Looking…").waitFor({ state: "hidden" })
        expect(await barriersOn(page)).toEqual([])
        await page.emulateMedia({ colorScheme: "dark" })
        expect(await barriersOn(page)).toEqual([])
      }),
    )

    it.effect("says that nothing is stuck, and is reached by Tab", () =>
      story({ answers: states.calm }, async ({ page }) => {
        await page.locator(".verdict", { hasText: "Nothing is stuck." }).waitFor()
        expect(await page.title()).toBe("Galleria")
        expect(await page.locator("svg.map .box").count()).toBe(5)
        await page.getByRole("link", { name: "4715" }).waitFor()
        const reached = new Set<string>()
        for (let n = 0; n < 40; n++) {
          await page.keyboard.press("Tab")
          reached.add(await page.evaluate<string>("document.activeElement.textContent.trim()"))
        }
        for (const text of ["Overview", "Events", "Pause", "4715", "order_created", "Modules and their checks"]) {
          expect([...reached].some((one) => one.startsWith(text))).toBe(true)
        }
      }),
    )

    it.effect("names what is stuck, the worst first, and in the title of the tab", () =>
      story({ answers: states.unreachable }, async ({ page }) => {
        await page.getByText("41 events are stuck and 1 module is unreachable.").waitFor()
        await expect.poll(() => page.title(), patience).toBe("■ 41 stuck · Galleria")
        const sentences = async () => {
          const texts = await page.locator(".stuck li p:first-child").allTextContents()
          return texts.map((text) => text.split(" ").slice(0, 4).join(" "))
        }
        // The causes come by a call of their own.
        await expect
          .poll(sentences, patience)
          .toEqual([
            "payment is unreachable since",
            "38 events are parked",
            "3 charges wait for",
            "3 events are retried",
          ])
        await page.getByText("after inventory started (release 0.3.1)").waitFor()
      }),
    )

    it.effect("redrives a cause by keyboard alone, with what was counted, and follows what becomes of it", () => {
      const bodies: Array<any> = []
      const answers = {
        ...stuck(),
        "/admin/dead-letters/redrive": (request: Request) => {
          bodies.push(request.postDataJSON())
          return { redriven: bodies.length === 1 ? 30 : 7, remaining: bodies.length === 1 ? 7 : 0, operation: "op-1" }
        },
        "/admin/operations/op-1": fixtures.operation({ applied: 35, parked: 2 }),
      }
      return story({ answers }, async ({ page }) => {
        await page.getByRole("button", { name: "Redrive 38" }).waitFor()
        await page.keyboard.press("r")
        const dialog = page.getByRole("dialog", { name: "Redrive 38" })
        await dialog.getByText("Runs 38 events again").waitFor()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.getByText("Redrive of 37: 35 took effect, 2 failed again. 1 had already ended.").waitFor()
        expect(bodies).toHaveLength(2)
        expect(bodies[0]).toMatchObject({ reaction: "inventory.hold-order", cause: "c1", status: "parked", limit: 500 })
        expect(Date.parse(bodies[0].until)).toBeLessThanOrEqual(Date.now())
        expect(bodies[1]).toEqual({ ...bodies[0], operation: "op-1" })
      })
    })

    it.effect("does nothing when the dialog is cancelled, which has the focus first", () =>
      story({ answers: states.stuck }, async ({ page, asked }) => {
        await page.getByRole("button", { name: "Redrive 38" }).click()
        await page.getByRole("dialog").waitFor()
        await page.keyboard.press("Enter")
        await page.getByRole("dialog").waitFor({ state: "hidden" })
        expect(asked.filter((call) => call.startsWith("POST"))).toEqual([])
      }),
    )

    it.effect("discards many only after their number was typed", () => {
      const answers = { ...stuck(), "/admin/dead-letters/discard": { discarded: 38, remaining: 0, operation: "op-2" } }
      return story({ path: "/console/dead-letters", answers }, async ({ page }) => {
        await page.getByRole("button", { name: "Discard 38" }).click()
        const dialog = page.getByRole("dialog", { name: "Discard 38" })
        await dialog.getByText("This cannot be undone.").waitFor()
        const button = dialog.getByRole("button", { name: "Discard 38" })
        expect(await button.isDisabled()).toBe(true)
        await dialog.getByLabel("Type 38 to go on").fill("37")
        expect(await button.isDisabled()).toBe(true)
        await dialog.getByLabel("Type 38 to go on").fill("38")
        await button.click()
        await page.getByText("Discarded 38 events.").waitFor()
      })
    })

    it.effect("copies a call as a command without the token, and links a trace where traces are", () =>
      story(
        {
          path: fixtures.views["journey"]!,
          answers: {
            ...stuck(),
            "/console/session": { signed_in: true, features: [], trace_url: "https://traces.example/{trace_id}" },
          },
          permissions: ["clipboard-read", "clipboard-write"],
        },
        async ({ page }) => {
          const link = page.getByRole("link", { name: "trace" })
          expect(await link.getAttribute("href")).toBe("https://traces.example/4bf92f3577b34da6a3ce929d0e0e4736")
          await page.getByRole("button", { name: "Copy this view's call" }).click()
          const copied = () => page.evaluate<string>("navigator.clipboard.readText()")
          await expect
            .poll(copied, patience)
            .toMatch(
              /^curl -H "Authorization: Bearer \$ADMIN_TOKEN" 'http:\/\/127\.0\.0\.1:\d+\/admin\/journeys\/4711\?personal=hide'$/u,
            )
        },
      ),
    )

    it.effect("opens a module's checks, consumers and dead letters by its box on the map", () =>
      story({ answers: states.stuck }, async ({ page }) => {
        await page.locator("svg.map .box", { hasText: "inventory" }).click()
        const chosen = page.locator(".modules .chosen")
        await chosen.getByText("database.inventory").waitFor()
        await chosen.getByText("reads order_created").waitFor()
        await chosen.getByRole("link", { name: "38 parked, 0 retrying, 112 waiting" }).click()
        await page.getByRole("heading", { name: "Dead letters" }).waitFor()
        expect(new URL(page.url()).search).toBe("?module=inventory")
      }),
    )

    it.effect("goes on to each new order while the newest is followed", () => {
      let newest = 4711
      const answers = {
        ...stuck(),
        "/console/api/orders": () => ({
          items: [{ id: newest, user_id: 7, amount: "1.00", status: "created", created_at: new Date().toISOString() }],
          next_cursor: null,
        }),
        "/admin/journeys/4712": () => ({ ...fixtures.journey(false), order_id: 4712 }),
      }
      return story({ answers }, async ({ page }) => {
        await page.getByRole("link", { name: "Follow the newest" }).click()
        await page.getByRole("heading", { name: "Order 4711" }).waitFor()
        newest = 4712
        await page.getByRole("heading", { name: "Order 4712" }).waitFor()
        await page.getByRole("link", { name: "Stay here" }).click()
        expect(new URL(page.url()).search).toBe("")
      })
    })

    it.effect("shows every record of the log that comes while its tail is followed", () => {
      const [template] = fixtures.events.items
      const log = Array.from({ length: 3 }, (_, offset) => ({ ...template!, offset, time: new Date().toISOString() }))
      const answers = {
        ...stuck(),
        "/admin/events": (request: Request) => {
          const query = new URL(request.url()).searchParams
          const since = query.get("since") ?? ""
          const found = log.filter(({ time }) => time >= since).toReversed()
          const from = Number(query.get("cursor") ?? 0)
          const to = from + Number(query.get("limit") ?? 50)
          const next_cursor = to < found.length ? String(to) : null
          return { items: found.slice(from, to), next_cursor, scanned_to: null }
        },
      }
      return story({ path: "/console/events?tail=on", answers }, async ({ page }) => {
        const rows = page.locator("tbody tr")
        await expect.poll(() => rows.count(), patience).toBe(3)
        const append = (count: number) => {
          for (let n = 0; n < count; n++) {
            log.push({ ...template!, offset: log.length, time: new Date().toISOString() })
          }
        }
        // More than a page, and then more than one look reads.
        append(300)
        await expect.poll(() => rows.count(), patience).toBe(303)
        append(900)
        await page.getByText("More events came than a tail shows at once.").waitFor()
        const note = page.getByText("More events came")
        while (await note.isVisible()) {
          const before = await rows.count()
          await page.getByRole("button", { name: "Show more of them" }).click()
          const isRead = async () => (await rows.count()) > before || !(await note.isVisible())
          await expect.poll(isRead, patience).toBe(true)
        }
        await expect.poll(() => rows.count(), patience).toBe(log.length)
      })
    })

    it.effect("redrives those that were selected by hand, and says which had already ended", () => {
      const changed: Array<string> = []
      const ids = Array.from({ length: 3 }, (_, n) => fixtures.letterId.slice(0, -1) + n)
      const answers = {
        ...stuck(),
        ...Object.fromEntries(
          ids.map((id, n) => [
            `/admin/dead-letters/${id}/redrive`,
            () => {
              changed.push(id)
              return fixtures.letter({ id, status: n === 1 ? "resolved" : "retrying" })
            },
          ]),
        ),
      }
      return story({ path: "/console/dead-letters?by=one", answers }, async ({ page }) => {
        await ready(page)
        await page.getByRole("link", { name: "order_created" }).first().waitFor()
        for (let n = 0; n < 3; n++) {
          await page.keyboard.press("j")
          await page.keyboard.press("x")
        }
        await page.getByRole("button", { name: "Redrive 3…" }).waitFor()
        await page.keyboard.press("r")
        const dialog = page.getByRole("dialog", { name: "Redrive 3" })
        await dialog.getByText("Runs 3 events again that you selected.").waitFor()
        await dialog.getByRole("button", { name: "Redrive 3" }).click()
        await page.getByText("Redrive of 2: they are tried now. 1 had already ended.").waitFor()
        expect(changed).toEqual(ids)
        expect(await page.getByRole("checkbox", { checked: true }).count()).toBe(0)
      })
    })

    it.effect("keeps an edited text that is refused, with the places that are wrong", () => {
      const path = fixtures.views["dead-letter"]!
      const letterPath = path.replace("/console", "/admin")
      let sent = ""
      const answers = {
        ...stuck(),
        [letterPath]: () => fixtures.letter({ raw: `{"order_id":4711,"big":12345678901234567890}` }),
        [`${letterPath}/redrive`]: (request: Request) => {
          sent = request.postData()!
          return new Refused(422, {
            title: "Validation failed",
            detail: "Some values are invalid",
            errors: [{ pointer: "/data/items/0/quantity", detail: "expected 1 or more" }],
          })
        },
      }
      return story({ path, answers }, async ({ page }) => {
        await page.getByRole("button", { name: "Edit and redrive" }).click()
        const text = `{"order_id":4711,"big":12345678901234567890,"items":[{"quantity":0}]}`
        await page.getByLabel("The data, as JSON").fill(text)
        await page.getByRole("button", { name: "Redrive with this data" }).click()
        await page.getByRole("dialog").getByRole("button", { name: "Redrive with this data" }).click()
        await page.getByText("/data/items/0/quantity").first().waitFor()
        expect(sent).toBe(`{"data":${text}}`)
        expect(await page.getByLabel("The data, as JSON").inputValue()).toBe(text)
      })
    })

    it.effect("shows hidden values on a click only, and lets go of them when the tab is hidden", () => {
      const path = fixtures.views["dead-letter"]!
      const letterPath = path.replace("/console", "/admin")
      const answers = {
        ...stuck(),
        [letterPath]: (request: Request) =>
          request.url().endsWith("personal=show")
            ? fixtures.letter({ raw: `{"payment_method":"card_ok"}` })
            : fixtures.letter(),
      }
      return story({ path, answers }, async ({ page }) => {
        await page.getByText("payment token, 7 characters").waitFor()
        await page.getByText("12345678901234567890").waitFor()
        await page.getByRole("button", { name: "Show", exact: true }).click()
        await page.getByText(`"card_ok"`).waitFor()
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await page.getByText(`"card_ok"`).waitFor({ state: "hidden" })
      })
    })

    it.effect("shows foreign text as text, wherever it stands", () => {
      const { hostile } = fixtures
      const bad = {
        ...fixtures.group,
        reaction: hostile,
        type: hostile,
        module: hostile,
        error: hostile,
        cause: hostile,
      }
      const letter = () =>
        fixtures.letter({
          reaction: hostile,
          error: hostile,
          raw: `{"a":${JSON.stringify(hostile)},"__proto__":{"dangerouslySetInnerHTML":{"__html":"<img src=x onerror=alert(4)>"}}}`,
          event: {
            ...fixtures.letter().event,
            id: hostile,
            type: hostile,
            key: hostile,
            headers: { [hostile]: hostile },
          },
        })
      const overview = () => ({
        ...fixtures.stuck(),
        waits: [{ ...fixtures.stuck().waits[0]!, why: hostile, sample: [hostile] }],
      })
      const whole = fixtures.journey(true)
      const [first] = whole.events
      const answers = {
        ...fixtures.answers(overview, [bad]),
        "/admin/dead-letters": { items: [letter()], next_cursor: null },
        [fixtures.views["dead-letter"]!.replace("/console", "/admin")]: letter,
        "/admin/journeys/4711": {
          ...whole,
          trace_ids: [hostile],
          events: [
            {
              ...first!,
              topic: hostile,
              event: { ...first!.event, id: "x", type: hostile, data: { [hostile]: hostile } },
            },
          ],
          gaps: [{ module: hostile, why: hostile }],
        },
        "/admin/actions": {
          items: [
            {
              id: "x",
              at: new Date().toISOString(),
              actor: hostile,
              action: hostile,
              target: hostile,
              details: { [hostile]: hostile },
            },
          ],
          next_cursor: null,
        },
      }
      return story({ answers }, async ({ page }) => {
        for (const path of [
          ...Object.values(fixtures.views),
          "/console/orders/4711?event=x",
          "/console/orders/4711?mode=raw",
        ]) {
          await page.goto(path)
          await ready(page)
          await page.getByText("Looking…").waitFor({ state: "hidden" })
          expect(await page.locator("main img, main script").count()).toBe(0)
          expect(
            await page.evaluate(
              `[...document.querySelectorAll("a[href]")].filter((a) => !a.href.startsWith(location.origin + "/console")).length`,
            ),
          ).toBe(0)
          expect([path, await overflowOf(page)]).toEqual([path, 0])
        }
        await page.goto(fixtures.views["dead-letter"]!)
        await page
          .getByRole("region", { name: "The error" })
          .getByText(String.raw`\u202etxt.exe \u0000`)
          .waitFor()
      })
    })

    it.effect("counts an answer that has not changed as a look, and knows the server's time all the while", () =>
      story({}, async ({ page }) => {
        await ready(page)
        for (let n = 0; n < 2; n++) {
          await page.waitForResponse((answer) => answer.url().endsWith("/admin/overview") && answer.status() === 304)
        }
        await page.getByText(/^live · checked [01] s ago/u).waitFor()
        const ahead = `import(document.querySelector("script[type=module]").src.replace("main.js", "net.js")).then(
          ({ serverNow }) => Math.abs(serverNow() - Date.now()))`
        expect(await page.evaluate<number>(ahead)).toBeLessThan(1_500)
      }),
    )

    it.effect("stops asking while the tab is hidden or paused, and backs off while the server is away", () =>
      story({ answers: states.calm }, async ({ page, asked }) => {
        await ready(page)
        await page.keyboard.press("p")
        await page.getByText(/^paused since/u).waitFor()
        await asksNothing(page, asked)
        await page.keyboard.press("p")
        await ready(page)
        await page.evaluate(`Object.defineProperty(document, "hidden", { value: true, configurable: true })`)
        await asksNothing(page, asked)
        await page.evaluate(`delete document.hidden`)
        await page.route("**/admin/overview", (route) => route.abort())
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await page.getByText(/^Connection lost at .* Next try in \d+ s\. Below is as of/u).waitFor()
        await page.unroute("**/admin/overview")
        await ready(page)
      }),
    )

    it.effect("asks for the login in place when the session has ended, and keeps what was typed", () => {
      const path = fixtures.views["dead-letter"]!
      const letter = () => fixtures.letter({ raw: `{"order_id":4711}` })
      return story(
        { path, answers: { ...stuck(), [path.replace("/console", "/admin")]: letter } },
        async ({ page }) => {
          await page.getByRole("button", { name: "Edit and redrive" }).click()
          await page.getByLabel("The data, as JSON").fill("typed so far")
          await page.context().clearCookies()
          await page.route("**/admin/overview", (route) => route.continue())
          const dialog = page.getByRole("dialog", { name: "You were signed out" })
          await dialog.getByLabel("Token").fill("wrong")
          await dialog.getByRole("button", { name: "Sign in" }).click()
          await dialog.getByText("This token is wrong.").waitFor()
          await dialog.getByLabel("Token").fill(token)
          await dialog.getByRole("button", { name: "Sign in" }).click()
          await dialog.waitFor({ state: "hidden" })
          expect(await page.getByLabel("The data, as JSON").inputValue()).toBe("typed so far")
          await ready(page)
        },
      )
    })

    it.effect("signs in by the form, goes on to the view that was asked for, and signs out", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { page, wrong } = yield* open({ path: "/console/dead-letters?status=parked" })
          yield* Effect.promise(async () => {
            await page.getByLabel("Token").fill(token)
            await page.getByLabel("Your name").fill("Zoë")
            await page.getByRole("button", { name: "Sign in" }).click()
            await page.getByRole("heading", { name: "Dead letters" }).waitFor()
            expect(new URL(page.url()).search).toBe("?status=parked")
            await page.getByRole("button", { name: "Sign out" }).click()
            await page.getByLabel("Token").waitFor()
            expect(await page.evaluate("document.cookie + JSON.stringify(localStorage)")).not.toContain(token)
            expect(wrong).toEqual([])
          })
        }),
      ),
    )

    it.effect("opens a link of another site without a second login", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { url } = yield* Scenario
          const { page } = yield* open({ as: "ops", answers: states.stuck })
          yield* Effect.promise(async () => {
            const link = `${url}/console/dead-letters?by=one&status=parked`
            await page.route("http://chat.example/", (route) =>
              route.fulfill({ contentType: "text/html", body: `<a href="${link}">look at this</a>` }),
            )
            await page.goto("http://chat.example/")
            const answered = page.waitForResponse(link)
            await page.getByRole("link", { name: "look at this" }).click()
            expect((await answered).status()).toBe(401)
            await page.getByRole("heading", { name: "Dead letters" }).waitFor()
          })
        }),
      ),
    )

    it.effect("moves between views by URL, and back with scroll and focus", () =>
      story({ path: "/console/dead-letters?by=one", answers: stuck() }, async ({ page }) => {
        await page.setViewportSize({ width: 1200, height: 260 })
        await page.getByRole("link", { name: "order_created" }).nth(2).click()
        await page.getByRole("heading", { name: "Attempts" }).waitFor()
        await page.goBack()
        await page.getByRole("link", { name: "order_created" }).nth(2).waitFor()
        const isBack = () => page.evaluate<boolean>("scrollY > 0 && document.activeElement.matches('[data-row] a')")
        await expect.poll(isBack, patience).toBe(true)
        await page.goto("/console/nothing/here")
        await page.getByText("There is no such view.").waitFor()
        await page.keyboard.press("g")
        await page.keyboard.press("e")
        await page.getByRole("heading", { name: "Events" }).waitFor()
        await page.locator("[data-row]").first().waitFor()
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await page.getByRole("region", { name: "The event's data" }).waitFor()
      }),
    )

    it.effect("shifts nothing while numbers change", () => {
      let looks = 0
      const answers = {
        ...stuck(),
        "/admin/overview": () => {
          looks++
          const whole = fixtures.stuck()
          return {
            ...whole,
            modules: whole.modules.map((module) =>
              module.state === "unreachable"
                ? module
                : { ...module, outbox: { pending: 10 ** (looks % 5), oldest_age_seconds: 1 } },
            ),
          }
        },
        "/admin/dead-letters/groups": () => fixtures.groups([{ ...fixtures.group, count: 38 + looks }]),
      }
      return story({ answers }, async ({ page }) => {
        await ready(page)
        await page.getByRole("link", { name: "4715" }).waitFor()
        await page.evaluate(`globalThis.shift = 0; new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) globalThis.shift += entry.value
        }).observe({ type: "layout-shift" })`)
        await expect.poll(() => looks, { timeout: 60_000 }).toBeGreaterThan(6)
        expect(await page.evaluate<number>("globalThis.shift")).toBeLessThan(0.02)
      })
    })

    it.effect("keeps new rows waiting while a list is pointed at", () => {
      let items = [fixtures.letter()]
      const answers = { ...stuck(), "/admin/dead-letters": () => ({ items, next_cursor: null }) }
      return story({ path: "/console/dead-letters?by=one", answers }, async ({ page }) => {
        await ready(page)
        await page.getByText("Fault on:").waitFor()
        const rows = page.getByRole("link", { name: "order_created" })
        await rows.first().hover()
        items = [fixtures.letter({ id: "019b7f4e-5c3a-7d21-9b1e-3f6a5d0c8e99" }), ...items]
        await page.getByRole("button", { name: "1 new one" }).waitFor()
        expect(await rows.count()).toBe(1)
        await page.getByRole("button", { name: "1 new one" }).click()
        await expect.poll(() => rows.count(), patience).toBe(2)
      })
    })

    it.effect("keeps the theme and the zone of this browser", () =>
      story({ answers: states.calm }, async ({ page }) => {
        await ready(page)
        await page.keyboard.press("u")
        await page.getByRole("button", { name: "UTC" }).waitFor()
        await page.getByRole("button", { name: "Theme: system" }).click()
        await page.getByRole("button", { name: "Theme: light" }).click()
        await page.reload()
        await page.getByRole("button", { name: "UTC" }).waitFor()
        expect(await page.evaluate("document.documentElement.dataset.theme")).toBe("dark")
      }),
    )
  })
})
