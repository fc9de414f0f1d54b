import { setTimeout as sleep } from "node:timers/promises"
import { type ModuleAddress, firstOf, type ModuleName, moduleNames } from "../../http/addresses.ts"
import { type WalkedJourney, standing } from "./journey.ts"
import type { TableRow } from "./table.ts"

/** How long a step waits: a lost provider answer is looked up later, and the machine may be busy. */
const patienceMillis = 60_000

/** How long a journey is asked for again: a process answers four reads of operators at once, and refuses further ones. */
const journeyMillis = 30_000

export interface WalkAnswer {
  readonly status: number
  readonly headers: Headers
  readonly body: any
}

export type Call = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Readonly<Record<string, string>>,
) => Promise<WalkAnswer>

/** The running system: which modules answer, and a way to call each. */
export interface Site {
  readonly modules: ReadonlySet<ModuleName>
  readonly call: Call
  /** Where an order stands, by its journey. */
  readonly whereIs: (order: number) => Promise<string>
  /** How long a step waits for the expected result. */
  readonly patienceMillis: number
}

export const ask = async (url: string, ...[method, path, body, headers]: Parameters<Call>): Promise<WalkAnswer> => {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    signal: AbortSignal.timeout(patienceMillis),
  })
  const text = await response.text()
  const isJson = /json/u.test(response.headers.get("content-type") ?? "")
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
}

/** An order's journey as one process answers it; asks again while the process is busy (503), after its `Retry-After`. */
const askJourney = async (url: string, token: string | undefined, order: number): Promise<WalkAnswer> => {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const began = performance.now()
  for (;;) {
    const answer = await ask(url, "GET", `/admin/journeys/${order}`, undefined, headers)
    const wait = Number(answer.headers.get("retry-after") ?? 1) * 1000
    if (answer.status !== 503 || performance.now() + wait - began > journeyMillis) return answer
    await sleep(wait)
  }
}

/** Where an order stands according to each process; an address that refuses is named with its answer. */
const whereIs = async (addresses: ReadonlyArray<ModuleAddress>, token: string | undefined, order: number) => {
  const urls = [...new Set(addresses.map(({ url }) => url))]
  const answers = await Promise.all(urls.map((url) => askJourney(url, token, order)))
  const journeys = answers.flatMap(({ status, body }) => (status === 200 ? [body as WalkedJourney] : []))
  const refusals = answers.flatMap(({ status }, n) =>
    status === 200 || status === 404 ? [] : [`${urls[n]} answers ${status} about its journey`],
  )
  return [...(journeys.length === 0 ? [] : [standing(journeys)]), ...refusals].join("; ")
}

/** The system at these addresses, according to the OpenAPI document of each; `token` is that of `/admin`. */
export const siteOf = async (addresses: ReadonlyArray<ModuleAddress>, token?: string): Promise<Site> => {
  const serving = new Map<ModuleName, string>()
  for (const { url } of addresses) {
    const { body } = await ask(url, "GET", "/openapi.json")
    const first = new Set(Object.keys(body.paths ?? {}).map((path) => path.split("/")[1]))
    for (const name of moduleNames) if (first.has(firstOf[name])) serving.set(name, url)
  }
  const call: Call = (method, path, ...rest) => {
    const name = moduleNames.find((one) => firstOf[one] === path.split(/[/?]/u)[1])
    const url = name === undefined ? undefined : serving.get(name)
    return url === undefined ? Promise.reject(new Error(`${path} is not served here`)) : ask(url, method, path, ...rest)
  }
  return {
    modules: new Set(serving.keys()),
    call,
    whereIs: (order) => whereIs(addresses, token, order),
    patienceMillis,
  }
}

/** All items of a list, over its pages. */
export const itemsOf = async (site: Site, path: string): Promise<ReadonlyArray<any>> => {
  const items: Array<any> = []
  let cursor: string | null = null
  do {
    const and: string = path.includes("?") ? "&" : "?"
    const rest: string = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`
    const { status, body } = await site.call("GET", `${path}${and}limit=200${rest}`)
    if (status !== 200) throw new Error(`GET ${path} answers ${status} ${JSON.stringify(body)}`)
    items.push(...body.items)
    cursor = body.next_cursor
  } while (cursor !== null)
  return items
}

/** Runs a step and records its row; returns whether the result was right. */
export type WalkCheck = (
  step: string,
  expected: string,
  see: () => Promise<string>,
  /** Whether the result is right; default: it equals the expected text. */
  holds?: (seen: string) => boolean,
) => Promise<boolean>

const seenBy = (see: () => Promise<string>) =>
  see().catch((error: unknown) => (error instanceof Error ? error.message : String(error)))

/**
 * Two ways to run a step, whose rows go to `rows`: `now` runs it once, `eventually` repeats it until its result is right or
 * the time is over.
 */
export const checksOf = (
  rows: Array<TableRow>,
  part: string,
  patience = patienceMillis,
): { readonly now: WalkCheck; readonly eventually: WalkCheck } => {
  const check =
    (patience: number): WalkCheck =>
    async (step, expected, see, holds = (seen) => seen === expected) => {
      const began = performance.now()
      let seen = await seenBy(see)
      while (!holds(seen) && performance.now() - began < patience) {
        await sleep(50)
        seen = await seenBy(see)
      }
      const isRight = holds(seen)
      rows.push({ part, step, expected, seen, millis: performance.now() - began, isRight })
      return isRight
    }
  return { now: check(0), eventually: check(patience) }
}
