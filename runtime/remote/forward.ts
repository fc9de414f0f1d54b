import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Effect } from "effect"
import { HttpServerRequest } from "effect/http"
import { type Access, rejection } from "../http/Admin.ts"
import { unlessSame } from "../http/etag.ts"
import { Kinds, responseOf, Unavailable } from "../http/Problem.ts"
import { ReceivedBody } from "../http/server/body.ts"
import type { Reply } from "./calls.ts"
import type { RemoteCall } from "./processes.ts"

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
export const answering = (access: Access, reply: (call: RemoteCall) => Reply) =>
  Effect.gen(function* () {
    const verdict = yield* access.judge
    if ("rejected" in verdict) return rejection(verdict.rejected)
    const request = yield* HttpServerRequest.HttpServerRequest
    return yield* unlessSame(passing(request, request.url, verdict.actor, reply))
  })

/** Answers by `reply` a call of `path`; where a process does not answer, with 503. */
export const passing = (
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
