import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Clock, Effect, Redacted, Schema } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { createHash } from "node:crypto"
import { auditOverHttp } from "../admin/audit/overHttp.ts"
import { memo } from "../admin/overview/memo.ts"
import { type Access, rejection } from "../http/Admin.ts"
import { firstOf, type ModuleAddress, moduleNames } from "../http/addresses.ts"
import { makeCursors } from "../http/edge/signedPages.ts"
import { InvalidCursor } from "../http/Page.ts"
import { Kinds, responseOf, Unavailable } from "../http/Problem.ts"
import { ReceivedBody } from "../http/server/body.ts"
import {
  mergeOverviews,
  MergedPosition,
  mergePages,
  type RemoteLook,
  type RemoteOverview,
  type RemotePage,
} from "./merge.ts"
import { ask, processesOf, type RemoteAnswer, type RemoteCall, type RemoteProcess, Unreachable } from "./processes.ts"

/** The modules in other processes, by `MODULE_URLS`, and the token that they accept. */
interface Remote {
  readonly addresses: ReadonlyArray<ModuleAddress>
  readonly token: Redacted.Redacted | undefined
}

type Reply = Effect.Effect<HttpServerResponse.HttpServerResponse, Unreachable>

/** Requests within this time (ms) share an overview. */
const sharedMillis = 1_000

/** Between several processes, what is in transit takes longer than within one. */
const auditLooks = { looks: 3, pause: "1 second" } as const

const passOn = ({ status, headers, text }: RemoteAnswer) =>
  text === ""
    ? HttpServerResponse.empty({ status, headers })
    : HttpServerResponse.text(text, { status, headers, contentType: headers["content-type"] ?? "application/json" })

const json = (body: unknown) => HttpServerResponse.jsonUnsafe(body, { headers: { "cache-control": "no-store" } })

const isoNow = Effect.map(Clock.currentTimeMillis, (millis) => new Date(millis).toISOString())

/**
 * The calls of `/admin` over modules in other processes. A process that does not answer in time is left out of lists, and
 * shown as unreachable in the overview; a call that it alone could answer fails.
 */
export const makeRemoteAdmin = ({ addresses, token: secret }: Remote) =>
  Effect.gen(function* () {
    const token = secret === undefined ? undefined : Redacted.value(secret)
    const calls = callsTo(processesOf(addresses), token)
    return {
      overview: Effect.map(yield* memo(overviewOver(calls), sharedMillis), json),
      list: listOver(
        calls,
        makeCursors(
          createHash("sha256")
            .update(`galleria console cursor ${token ?? ""}`)
            .digest(),
        ),
      ),
      find: findIn(calls),
      act: actIn(calls),
      redriveAll: redriveIn(calls),
      /** Calls the process of a reaction, whose name begins with its module's. */
      toReaction: (call: RemoteCall, reaction: string | undefined) => toModule(calls, reaction?.split(".")[0], call),
      /** Any process lists all topics of Kafka; with other logs, that of the module that reads most. */
      toLog: (call: RemoteCall) => toModule(calls, "order", call),
      audit: auditOver(addresses, token),
      /** Makes a public call of a module. */
      publicCall: (call: RemoteCall) => toModule(calls, ownerOf(call.path), call),
    }
  })

const callsTo = (processes: ReadonlyArray<RemoteProcess>, token: string | undefined) => {
  const one = (process: RemoteProcess, call: RemoteCall) => ask(process.url, call, token)
  return {
    processes,
    one,
    /** The answers of processes, or why there is none. */
    all: (call: RemoteCall, among = processes) =>
      Effect.forEach(
        among,
        (process) => Effect.map(Effect.result(one(process, call)), (answer) => ({ process, answer })),
        { concurrency: "unbounded" },
      ),
    /** The processes of a module; of any, where it is left out. */
    of: (module: string | undefined) =>
      module === undefined ? processes : processes.filter(({ modules }) => modules.includes(module)),
  }
}

type Calls = ReturnType<typeof callsTo>
type Answers = Effect.Success<ReturnType<Calls["all"]>>

/** The overviews of all processes, merged. Remembers since when a process does not answer. */
const overviewOver = (calls: Calls) => {
  const silent = new Map<string, string>()
  const look = (process: RemoteProcess) =>
    Effect.gen(function* () {
      const { url, modules } = process
      const answer = yield* calls.one(process, { method: "GET", path: "/admin/overview" })
      if (answer.status !== 200) return yield* new Unreachable({ why: `it answered ${answer.status}` })
      const overview = JSON.parse(answer.text) as RemoteOverview
      const missing = modules.filter((name) => !overview.modules.some(({ module }) => module === name))
      if (missing.length > 0) return yield* new Unreachable({ why: `${missing.join(", ")} does not run at ${url}` })
      silent.delete(url)
      return { modules, overview } satisfies RemoteLook
    }).pipe(
      Effect.catchTag("Unreachable", ({ why }) =>
        Effect.map(isoNow, (now) => {
          const since = silent.get(process.url) ?? now
          silent.set(process.url, since)
          return { modules: process.modules, since, why } satisfies RemoteLook
        }),
      ),
    )
  return Effect.gen(function* () {
    const looks = yield* Effect.forEach(calls.processes, look, { concurrency: "unbounded" })
    return mergeOverviews(looks, yield* isoNow)
  })
}

/** A list that is ordered by ids, over all processes, or over the one of the module in the query. */
const listOver =
  (calls: Calls, cursors: ReturnType<typeof makeCursors>) =>
  (call: RemoteCall): Reply =>
    Effect.gen(function* () {
      const [path, query] = call.path.split("?") as [string, string | undefined]
      const { cursor, limit, ...filters } = Object.fromEntries(new URLSearchParams(query))
      const name = [
        path,
        ...Object.entries(filters)
          .toSorted(([a], [b]) => (a < b ? -1 : 1))
          .flat(),
      ]
      const from = cursor === undefined ? undefined : yield* positionIn(yield* cursors.open(name, cursor))
      const among = calls.of(filters["module"]).filter(({ url }) => from === undefined || url in from)
      const page = (process: RemoteProcess) => {
        const { cursor = null, skip = 0 } = from?.[process.url] ?? {}
        const own = new URLSearchParams({ ...filters, ...(limit && { limit }), ...(cursor && { cursor }) })
        const asked = Effect.result(calls.one(process, { ...call, path: `${path}?${own.toString()}` }))
        return Effect.map(asked, (answer) => ({ url: process.url, cursor, skip, answer }))
      }
      const pages = yield* Effect.forEach(among, page, { concurrency: "unbounded" })
      const answered = pages.flatMap(({ answer, ...page }) =>
        answer._tag === "Success" ? [{ ...page, answer: answer.success }] : [],
      )
      if (answered.length === 0 && among.length > 0) return yield* noneOf(among)
      const refused = answered.find(({ answer }) => answer.status !== 200)
      if (refused !== undefined) return passOn(refused.answer)
      const merged = mergePages(
        answered.map(({ answer, ...page }) => ({ ...page, ...(JSON.parse(answer.text) as RemotePage) })),
        Number(limit ?? 50),
      )
      const next = merged.next === undefined ? null : cursors.seal(name, JSON.stringify(merged.next))
      return json({ items: merged.items, next_cursor: next })
    }).pipe(Effect.catchTag("InvalidCursor", () => Effect.succeed(responseOf(invalidCursor))))

/** The answer of the one process that has what is asked for. */
const findIn =
  (calls: Calls) =>
  (call: RemoteCall): Reply =>
    Effect.gen(function* () {
      const answers = yield* calls.all(call)
      const found = foundIn(answers)
      return found === undefined ? yield* notFoundIn(answers) : passOn(found.answer)
    })

/** Acts on a dead letter in the process that has it. */
const actIn =
  (calls: Calls) =>
  (call: RemoteCall): Reply =>
    Effect.gen(function* () {
      const answers = yield* calls.all({ method: "GET", path: call.path.replace(/\/\w+\/?$/u, "") })
      const found = foundIn(answers)
      return found === undefined ? yield* notFoundIn(answers) : passOn(yield* calls.one(found.process, call))
    })

const foundIn = (answers: Answers) => {
  for (const { process, answer } of answers) {
    if (answer._tag === "Success" && answer.success.status === 200) return { process, answer: answer.success }
  }
  return undefined
}

/** What no process has is not found; when one did not answer, that is not known. */
const notFoundIn = (answers: Answers): Reply => {
  const failed = answers.flatMap(({ answer }) => (answer._tag === "Failure" ? [answer.failure] : []))
  const refused = answers.flatMap(({ answer }) => (answer._tag === "Success" ? [answer.success] : []))
  if (failed[0] !== undefined) return Effect.fail(failed[0])
  return Effect.succeed(refused[0] === undefined ? responseOf(Kinds.notFound) : passOn(refused[0]))
}

/** Redrives in all processes that answer, or in the one of the module in the body. */
const redriveIn =
  (calls: Calls) =>
  (call: RemoteCall): Reply =>
    Effect.gen(function* () {
      const among = calls.of(memberOf(call.body, "module"))
      const answers = yield* calls.all(call, among)
      const answered = answers.flatMap(({ answer }) => (answer._tag === "Success" ? [answer.success] : []))
      if (answered.length === 0 && among.length > 0) return yield* noneOf(among)
      const refused = answered.find(({ status }) => status !== 200)
      if (refused !== undefined) return passOn(refused)
      const counts = answered.map(({ text }) => (JSON.parse(text) as { readonly redriven: number }).redriven)
      return json({ redriven: counts.reduce((sum, count) => sum + count, 0) })
    })

/** The answer of the process of a module; where there is no such module, of any, which says what is wrong. */
const toModule = (calls: Calls, module: string | undefined, call: RemoteCall): Reply => {
  const [process = calls.processes[0]] = module === undefined ? [] : calls.of(module)
  return process === undefined
    ? Effect.succeed(responseOf(Kinds.notFound))
    : Effect.map(calls.one(process, call), passOn)
}

/** The module of a public path. */
const ownerOf = (path: string): string | undefined => {
  const first = path.split(/[/?]/u)[1]
  return moduleNames.find((name) => firstOf[name] === first)
}

const auditOver = (addresses: ReadonlyArray<ModuleAddress>, token: string | undefined): Reply =>
  Effect.gen(function* () {
    const checked_at = yield* isoNow
    const { violations } = yield* auditOverHttp(addresses, token, auditLooks)
    return json({ checked_at, violations })
  }).pipe(Effect.catchTag("CannotAudit", ({ reason }) => new Unreachable({ why: reason })))

type RemoteAdmin = Effect.Success<ReturnType<typeof makeRemoteAdmin>>

const invalidCursor = {
  slug: "invalid-cursor",
  status: 400,
  title: "Invalid cursor",
  detail: new InvalidCursor({}).detail,
}

/** Of a signed cursor. It does not decode only if another release has signed it. */
const positionIn = (text: string) =>
  Effect.mapError(Schema.decodeEffect(MergedPosition)(text), () => new InvalidCursor({}))

const noneOf = (processes: ReadonlyArray<RemoteProcess>) =>
  new Unreachable({ why: `no answer from ${processes.map(({ url }) => url).join(", ")}` })

/** A text member of a JSON body; undefined when there is none, whatever the body is. */
const memberOf = (body: string | undefined, name: string): string | undefined => {
  try {
    const value: unknown = JSON.parse(body ?? "")
    const member =
      typeof value === "object" && value !== null ? Object.entries(value).find(([key]) => key === name) : []
    return typeof member?.[1] === "string" ? member[1] : undefined
  } catch {
    return undefined
  }
}

/** A request as it is passed on: its actor goes with it, in the characters of a header; its session does not. */
const callOf = (request: HttpServerRequest.HttpServerRequest, path: string, actor: string): RemoteCall | undefined => {
  const received = NodeHttpServerRequest.toIncomingMessage(request)
  const body = received instanceof ReceivedBody ? received.body : undefined
  if (typeof body === "string") return undefined
  const passed = ["accept", "content-type", "idempotency-key"].flatMap((name) => {
    const value = request.headers[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  return {
    method: request.method,
    path,
    headers: { ...Object.fromEntries(passed), "x-actor": actor.replaceAll(/[^\u0020-\u00ff]/gu, "?") },
    ...(body === undefined || body.length === 0 ? {} : { body: body.toString() }),
  }
}

/** Answers by `reply` what access allows. */
const answering = (access: Access, reply: (call: RemoteCall) => Reply) =>
  Effect.gen(function* () {
    const verdict = yield* access.judge
    if ("rejected" in verdict) return rejection(verdict.rejected)
    const request = yield* HttpServerRequest.HttpServerRequest
    return yield* passing(request, request.url, verdict.actor, reply)
  })

const passing = (
  request: HttpServerRequest.HttpServerRequest,
  path: string,
  actor: string,
  reply: (call: RemoteCall) => Reply,
) => {
  const call = callOf(request, path, actor)
  return call === undefined
    ? Effect.succeed(responseOf(Kinds.unsupportedMediaType))
    : Effect.catchTag(reply(call), "Unreachable", ({ why }) =>
        Effect.andThen(Effect.logWarning(`A call could not be passed on: ${why}`), Effect.die(new Unavailable({}))),
      )
}

/** Makes the page's public calls in the processes of their modules. */
export const toModules =
  ({ publicCall }: RemoteAdmin) =>
  (request: HttpServerRequest.HttpServerRequest, url: string) =>
    passing(request, url, request.headers["x-actor"] ?? "console", publicCall)

/** The paths of `/admin` that span other processes. */
const paths = {
  "/admin/overview": ["GET"],
  "/admin/dead-letters": ["GET"],
  "/admin/dead-letters/:id": ["GET"],
  "/admin/dead-letters/redrive": ["POST"],
  "/admin/dead-letters/:id/redrive": ["POST"],
  "/admin/dead-letters/:id/discard": ["POST"],
  "/admin/replays": ["POST"],
  "/admin/replays/:reaction": ["GET"],
  "/admin/events": ["GET"],
  "/admin/audit": ["GET"],
} as const

/** The routes, for the middleware of all routes. */
export const remoteAdminRoutes = Object.entries(paths).map(([path, methods]) => ({
  path: path.replaceAll(/:(\w+)/gu, "{$1}"),
  methods: [...methods],
  test: new RegExp(`^${path.replaceAll(/:\w+/gu, "[^/]+")}/?$`, "u"),
  module: "runtime",
}))

/** Adds `/admin` over other processes to the router. */
export const addRemoteAdmin = (access: Access, remote: RemoteAdmin) =>
  Effect.gen(function* () {
    const router = yield* HttpRouter.HttpRouter
    const add = (method: "GET" | "POST", path: keyof typeof paths, reply: (call: RemoteCall) => Reply) =>
      router.add(method, path, answering(access, reply))
    yield* add("GET", "/admin/overview", () => remote.overview)
    yield* add("GET", "/admin/dead-letters", remote.list)
    yield* add("GET", "/admin/dead-letters/:id", remote.find)
    yield* add("POST", "/admin/dead-letters/redrive", remote.redriveAll)
    yield* add("POST", "/admin/dead-letters/:id/redrive", remote.act)
    yield* add("POST", "/admin/dead-letters/:id/discard", remote.act)
    yield* add("POST", "/admin/replays", (call) => remote.toReaction(call, memberOf(call.body, "reaction")))
    yield* add("GET", "/admin/replays/:reaction", (call) =>
      remote.toReaction(call, decodeURIComponent(call.path.split("/").at(-1)!)),
    )
    yield* add("GET", "/admin/events", remote.toLog)
    yield* add("GET", "/admin/audit", () => remote.audit)
  })
