import { Context, Effect, Layer } from "effect"
import { existsSync } from "node:fs"
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core"
import { Scenario } from "../harness/scenario.ts"
import type { Answers } from "./fixtures.ts"

const executable = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync)

/** Whether the tests in a browser can run. A machine without Chromium skips them; in CI that is a failure. */
export const hasBrowser = executable !== undefined
if (!hasBrowser) {
  if (process.env["CI"] === "true") throw new Error("there is no Chromium: apt-get install chromium")
  console.warn("── THE CONSOLE IS NOT TESTED IN A BROWSER: there is no Chromium (apt-get install chromium) ──")
}

export const token = "0123456789abcdef0123456789abcdef"

interface Opening extends BrowserContextOptions {
  readonly path?: string
  readonly width?: number
  /** Answers in place of the server's, by path. */
  readonly answers?: Answers
  /** Signs in first. */
  readonly as?: string
}

/** A page, and what went wrong in it: errors on its console, violations of its policy, requests to other servers. */
export interface Opened {
  readonly page: Page
  readonly wrong: ReadonlyArray<string>
  /** The requests for data so far, as `METHOD path`. */
  readonly asked: ReadonlyArray<string>
}

export class Chromium extends Context.Service<Chromium, { readonly browser: Browser }>()("galleria/testing/Chromium") {
  static readonly layer = Layer.effect(
    Chromium,
    Effect.map(
      Effect.acquireRelease(
        Effect.promise(() => chromium.launch({ executablePath: executable! })),
        (browser) => Effect.promise(() => browser.close()),
      ),
      (browser) => ({ browser }),
    ),
  )
}

const cookieFor = async (url: string, name: string) => {
  const answer = await fetch(`${url}/console/login`, {
    method: "POST",
    redirect: "manual",
    headers: { "content-type": "application/x-www-form-urlencoded", origin: new URL(url).origin },
    body: new URLSearchParams({ token, name }).toString(),
  })
  const [pair] = answer.headers.get("set-cookie")!.split(";")
  const [key, value] = pair!.split("=")
  return { name: key!, value: value!, url }
}

const watch = (page: Page, origin: string) => {
  const wrong: Array<string> = []
  const asked: Array<string> = []
  page.on("console", (message) => {
    // A refused call is on the console as well; the page shows it.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) wrong.push(message.text())
  })
  page.on("pageerror", (error) => wrong.push(String(error)))
  page.on("dialog", (dialog) => {
    wrong.push(`a script opened a dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  page.on("request", (request) => {
    const url = new URL(request.url())
    if (url.origin !== origin) wrong.push(`a request to ${url.href}`)
    if (/^\/(?:admin|console\/api)\//u.test(url.pathname)) asked.push(`${request.method()} ${url.pathname}`)
  })
  return { wrong, asked }
}

const answerBy = async (page: Page, answers: Answers) => {
  await page.route(
    (url) => Object.hasOwn(answers, url.pathname),
    async (route) => {
      const answer = answers[new URL(route.request().url()).pathname]
      const body: unknown = typeof answer === "function" ? answer(route.request()) : answer
      if (body instanceof Refused) {
        return route.fulfill({
          status: body.status,
          contentType: "application/problem+json",
          body: JSON.stringify(body.problem),
        })
      }
      return route.fulfill({ json: body })
    },
  )
}

/** An answer outside of 2xx. */
export class Refused {
  readonly status: number
  readonly problem: object
  constructor(status: number, problem: object = { title: "Refused", detail: "refused" }) {
    this.status = status
    this.problem = problem
  }
}

/** Opens a page of the scenario's server in a context of its own, and closes it with the scope. */
export const open = (options: Opening) => Effect.flatMap(Scenario, ({ url }) => openAt(url, options))

/** The same, of any server. */
export const openAt = (url: string, options: Opening) =>
  Effect.gen(function* () {
    const { path = "/console", width = 1200, answers = {}, as, ...context } = options
    const { browser } = yield* Chromium
    const opened = yield* Effect.acquireRelease(
      Effect.promise(() =>
        browser.newContext({ reducedMotion: "reduce", viewport: { width, height: 800 }, baseURL: url, ...context }),
      ),
      (opened) => Effect.promise(() => opened.close()),
    )
    return yield* Effect.promise(async () => {
      if (as !== undefined) await opened.addCookies([await cookieFor(url, as)])
      const page = await opened.newPage()
      const watched = watch(page, new URL(url).origin)
      await answerBy(page, answers)
      await page.goto(path)
      return { page, ...watched }
    })
  })
