import { Effect, Schema } from "effect"
import { type ModuleAddress, firstOf, moduleNames } from "../../http/addresses.ts"
import { Facts, type Violation as ViolationOf } from "../../module/Audit.ts"
import { ShownViolation } from "./api.ts"
import { audit, type Source } from "./audit.ts"

/** A process cannot be audited, and why. */
export class CannotAudit extends Schema.TaggedError<CannotAudit>()("CannotAudit", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

const withinMillis = 60_000

const Documented = Schema.Struct({ paths: Schema.Record(Schema.String, Schema.Unknown) })
const Page = Schema.Struct({ items: Schema.Array(Facts) })
const Answered = Schema.Struct({ violations: Schema.Array(ShownViolation) })

/** Sends a request, with the token if there is one, and decodes the answer by its schema. */
const ask = <A, I>(url: string, path: string, token: string | undefined, schema: Schema.Codec<A, I>) =>
  Effect.tryPromise({
    try: async (signal) => {
      const response = await fetch(`${url}${path}`, {
        headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
        signal: AbortSignal.any([signal, AbortSignal.timeout(withinMillis)]),
      })
      const text = await response.text()
      if (!response.ok) throw new Error(`${response.status} ${text}`)
      return Schema.decodeUnknownSync(schema)(JSON.parse(text))
    },
    catch: (error) => {
      const { message, cause } = error instanceof Error ? error : new Error(String(error))
      return new CannotAudit({ reason: `${url}${path}: ${cause instanceof Error ? cause.message : message}` })
    },
  })

/** The modules that are served at an address. */
const servedAt = ({ url, module: expected }: ModuleAddress, token: string | undefined) =>
  Effect.gen(function* () {
    const { paths } = yield* ask(url, "/openapi.json", token, Documented)
    const first = new Set(Object.keys(paths).map((path) => path.split("/")[1]))
    const served = moduleNames.filter((name) => first.has(firstOf[name]))
    if (expected !== undefined && !served.includes(expected)) {
      return yield* new CannotAudit({ reason: `${url} does not serve ${expected}` })
    }
    return { url, served }
  })

const sourceOf = (url: string, module: string, token: string | undefined): Source<CannotAudit> => ({
  module,
  facts: (after, limit) =>
    Effect.map(
      ask(url, `/admin/audit/facts/${module}?after=${after}&limit=${limit}`, token, Page),
      ({ items }) => items,
    ),
})

const distinct = (violations: ReadonlyArray<ViolationOf>) => [
  ...new Map(violations.map((one) => [JSON.stringify([one.invariant, one.module, one.subject]), one])).values(),
]

/** Between several processes, what is in transit takes longer than within one. */
const looksOverHttp = { looks: 5, pause: "2 seconds" } as const

/**
 * The violations over the processes at these addresses, and which modules were compared. Each process audits itself;
 * orders are compared over several processes page by page. Fails with `CannotAudit`.
 */
export const auditOverHttp = (
  addresses: ReadonlyArray<ModuleAddress>,
  token: string | undefined,
  { looks, pause }: Pick<Parameters<typeof audit>[0], "looks" | "pause"> = looksOverHttp,
) =>
  Effect.gen(function* () {
    const processes = yield* Effect.forEach(addresses, (address) => servedAt(address, token), {
      concurrency: "unbounded",
    })
    const urls = new Map(processes.flatMap(({ url, served }) => served.map((module) => [module, url] as const)))
    const asked = [...new Set(processes.map(({ url }) => url))]
    const own = yield* Effect.forEach(asked, (url) => ask(url, "/admin/audit", token, Answered), {
      concurrency: "unbounded",
    })
    const sources = Array.from(urls, ([module, url]) => sourceOf(url, module, token))
    const compared =
      new Set(urls.values()).size < 2 ? [] : yield* audit({ sources, local: Effect.succeed([]), looks, pause })
    return { modules: [...urls.keys()], violations: distinct([...own.flatMap((one) => one.violations), ...compared]) }
  })
