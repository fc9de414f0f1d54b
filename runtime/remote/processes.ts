import { Effect, Schema } from "effect"
import { type ModuleAddress, moduleNames } from "../http/addresses.ts"

/** A process that runs modules, as another one calls it. */
export interface RemoteProcess {
  readonly url: string
  readonly modules: ReadonlyArray<string>
}

/** The processes at the addresses. One without a module's name has all modules that no other address has. */
export const processesOf = (addresses: ReadonlyArray<ModuleAddress>): ReadonlyArray<RemoteProcess> => {
  const named = new Set(addresses.flatMap(({ module }) => (module === undefined ? [] : [module])))
  const others = moduleNames.filter((name) => !named.has(name))
  const byUrl = new Map<string, Array<string>>()
  for (const { url, module } of addresses) {
    byUrl.set(url, [...(byUrl.get(url) ?? []), ...(module === undefined ? others : [module])])
  }
  return Array.from(byUrl, ([url, modules]) => ({ url, modules }))
}

/** A process did not answer, and why. */
export class Unreachable extends Schema.TaggedError<Unreachable>()("Unreachable", { why: Schema.String }) {
  override get message(): string {
    return this.why
  }
}

export interface RemoteCall {
  readonly method: string
  /** With the query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export interface RemoteAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
}

/** The time that a process has for an answer: a view is shown without it; the result of a change has to be known. */
const withinOf = (method: string) => (method === "GET" ? "1 second" : "10 seconds")

/** Headers of an answer that are passed on. */
const passed = ["content-type", "location", "retry-after", "allow", "idempotency-replayed"]

/** Calls a process, with the token if there is one. */
export const ask = (
  url: string,
  call: RemoteCall,
  token: string | undefined,
): Effect.Effect<RemoteAnswer, Unreachable> => {
  const within = withinOf(call.method)
  return Effect.tryPromise({
    try: async (signal) => {
      const response = await fetch(`${url}${call.path}`, {
        method: call.method,
        headers: { ...call.headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
        redirect: "manual",
        signal,
        ...(call.body === undefined ? {} : { body: call.body }),
      })
      const headers = passed.flatMap((name) => {
        const value = response.headers.get(name)
        return value === null ? [] : [[name, value] as const]
      })
      return { status: response.status, headers: Object.fromEntries(headers), text: await response.text() }
    },
    catch: (error) => {
      const { message, cause } = error instanceof Error ? error : new Error(String(error))
      return new Unreachable({ why: cause instanceof Error ? cause.message || message : message })
    },
  }).pipe(
    Effect.timeoutOrElse({
      duration: within,
      orElse: () => new Unreachable({ why: `no answer within ${within}` }),
    }),
  )
}
