import { Effect, Redacted } from "effect"
import { HttpRouter, type HttpServerRequest } from "effect/http"
import { createHash } from "node:crypto"
import { auditOverHttp } from "../admin/audit/overHttp.ts"
import { memo } from "../admin/overview/memo.ts"
import { contractsOf } from "../admin/personal.ts"
import type { EventType } from "../events/Event.ts"
import type { Access } from "../http/Admin.ts"
import { firstOf, type ModuleAddress, moduleNames } from "../http/addresses.ts"
import { makeCursors } from "../http/edge/signedPages.ts"
import { actIn, callsTo, findIn, isoNow, json, queryOf, type Reply, toModule } from "./calls.ts"
import { changeAllIn, groupsOver, memberOf, operationOver } from "./changes.ts"
import { answering, passing } from "./forward.ts"
import { journeyOver } from "./journeys.ts"
import { listOver } from "./lists.ts"
import { overviewOver } from "./overview.ts"
import { processesOf, type RemoteCall, Unreachable } from "./processes.ts"
import { searchOver } from "./search.ts"

/** The modules in other processes, by `MODULE_URLS`, the token that they accept, and their events. */
interface Remote {
  readonly addresses: ReadonlyArray<ModuleAddress>
  readonly token: Redacted.Redacted | undefined
  readonly events: ReadonlyArray<EventType>
}

/** Requests within this time (ms) share an overview. */
const sharedMillis = 1_000

/** Between several processes, what is in transit takes longer than within one. */
const auditLooks = { looks: 3, pause: "1 second" } as const

/**
 * The calls of `/admin` over modules in other processes. A process that does not answer in time is left out of lists, and
 * shown as unreachable in the overview; a call that it alone could answer fails.
 */
export const makeRemoteAdmin = ({ addresses, token: secret, events }: Remote) =>
  Effect.gen(function* () {
    const token = secret === undefined ? undefined : Redacted.value(secret)
    const calls = callsTo(processesOf(addresses), token)
    const key = createHash("sha256")
      .update(`galleria console cursor ${token ?? ""}`)
      .digest()
    return {
      overview: Effect.map(yield* memo(overviewOver(calls), sharedMillis), json),
      journey: journeyOver(calls, contractsOf(events)),
      search: searchOver(calls),
      list: listOver(calls, makeCursors(key)),
      find: findIn(calls),
      act: actIn(calls),
      groups: groupsOver(calls),
      redriveAll: changeAllIn(calls, "redriven"),
      discardAll: changeAllIn(calls, "discarded"),
      operation: operationOver(calls),
      /** Calls the process of a reaction, whose name begins with its module's. */
      toReaction: (call: RemoteCall, reaction: string | undefined) => toModule(calls, reaction?.split(".")[0], call),
      /** Any process lists all topics of Kafka; with other logs, that of the module that reads most. */
      toLog: (call: RemoteCall) => toModule(calls, "order", call),
      audit: auditOver(addresses, token),
      /** Makes a public call of a module. */
      publicCall: (call: RemoteCall) => toModule(calls, ownerOf(call.path), call),
    }
  })

type RemoteAdmin = Effect.Success<ReturnType<typeof makeRemoteAdmin>>

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

/** Makes the page's public calls in the processes of their modules. */
export const toModules =
  ({ publicCall }: RemoteAdmin) =>
  (request: HttpServerRequest.HttpServerRequest, url: string) =>
    passing(request, url, request.headers["x-actor"] ?? "console", publicCall)

/** The paths of `/admin` that span other processes. */
const paths = {
  "/admin/overview": ["GET"],
  "/admin/journeys/:order_id": ["GET"],
  "/admin/search": ["GET"],
  "/admin/dead-letters": ["GET"],
  "/admin/dead-letters/groups": ["GET"],
  "/admin/dead-letters/:id": ["GET"],
  "/admin/dead-letters/redrive": ["POST"],
  "/admin/dead-letters/discard": ["POST"],
  "/admin/dead-letters/:id/redrive": ["POST"],
  "/admin/dead-letters/:id/discard": ["POST"],
  "/admin/operations/:id": ["GET"],
  "/admin/actions": ["GET"],
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
    yield* add("GET", "/admin/journeys/:order_id", remote.journey)
    yield* add("GET", "/admin/search", remote.search)
    yield* add("GET", "/admin/dead-letters", remote.list)
    yield* add("GET", "/admin/dead-letters/groups", (call) =>
      remote.groups(call, queryOf(call).get("module") ?? undefined),
    )
    yield* add("GET", "/admin/dead-letters/:id", remote.find)
    yield* add("POST", "/admin/dead-letters/redrive", remote.redriveAll)
    yield* add("POST", "/admin/dead-letters/discard", remote.discardAll)
    yield* add("GET", "/admin/operations/:id", remote.operation)
    yield* add("GET", "/admin/actions", remote.list)
    yield* add("POST", "/admin/dead-letters/:id/redrive", remote.act)
    yield* add("POST", "/admin/dead-letters/:id/discard", remote.act)
    yield* add("POST", "/admin/replays", (call) => remote.toReaction(call, memberOf(call.body, "reaction")))
    yield* add("GET", "/admin/replays/:reaction", (call) =>
      remote.toReaction(call, decodeURIComponent(call.path.split("/").at(-1)!)),
    )
    yield* add("GET", "/admin/events", remote.toLog)
    yield* add("GET", "/admin/audit", () => remote.audit)
  })
