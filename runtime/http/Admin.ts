import { Clock, Effect, Layer, Option, Redacted, Schema } from "effect"
import { Headers, HttpServerRequest } from "effect/http"
import { HttpApiMiddleware, HttpApiSchema, HttpApiSecurity, OpenApi } from "effect/http-api"
import { createHash, timingSafeEqual } from "node:crypto"
import { monotonicMillis } from "../loop/monotonic.ts"
import { unlessSame } from "./etag.ts"
import { declare, Kinds, responseOf } from "./Problem.ts"
import { isOwnPage, makeSessions, sessionCookies } from "./session.ts"

class Unauthorized extends declare<Unauthorized>()("Unauthorized", Kinds.unauthorized) {}
class Forbidden extends declare<Forbidden>()("Forbidden", Kinds.forbidden) {}
class TooManyRequests extends declare<TooManyRequests>()("TooManyRequests", Kinds.tooManyRequests) {}

/**
 * The middleware of every path under `/admin`. Requires the bearer token or a session of the console where `ADMIN_TOKEN`
 * is set; otherwise a loopback peer with a loopback `Host`, no `Origin` of another host or port, and no header of a proxy.
 */
export class Admin extends HttpApiMiddleware.Service<Admin>()("galleria/Admin", {
  error: [
    HttpApiSchema.WithHeaders(Unauthorized, { "www-authenticate": Schema.Literal("Bearer") }),
    Forbidden,
    HttpApiSchema.WithHeaders(TooManyRequests, {
      "retry-after": Schema.String.annotate({ description: "Seconds to wait before a retry.", pattern: "^\\d+$" }),
    }),
  ],
  security: {
    bearer: HttpApiSecurity.bearer.pipe(
      HttpApiSecurity.annotate(
        OpenApi.Description,
        "The token in `ADMIN_TOKEN`. While that is unset, only requests from the machine itself are allowed, without a token.",
      ),
    ),
  },
}) {}

/** Who sends a request, or why it is rejected; a number is the seconds until the next attempt is allowed. */
export type Verdict =
  | { readonly actor: string; readonly name?: string }
  | { readonly rejected: "unauthorized" | "forbidden" | number }

/**
 * Access to `/admin` and `/console`: by the bearer token, by a session of the console, or, without a token, from this
 * machine.
 */
export const makeAccess = (secret: Redacted.Redacted | undefined) => {
  const token = secret === undefined ? undefined : Redacted.value(secret)
  const sessions = token === undefined ? undefined : makeSessions(token)
  const bearers = makeAttempts()
  const logins = makeAttempts(loginLimits)

  /** The name of the session, where the request has one and comes from a page of this origin. */
  const sessionOf = (request: HttpServerRequest.HttpServerRequest, now: number): Verdict | undefined => {
    for (const { value, isSecure } of sessionCookies(request.headers["cookie"])) {
      const name = sessions?.nameIn(value, now)
      if (name === undefined) continue
      return isOwnPage(request, isSecure) ? { actor: name, name } : { rejected: "forbidden" }
    }
    return undefined
  }

  const judge: Effect.Effect<Verdict, never, HttpServerRequest.HttpServerRequest> = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const { headers } = request
    const address = Option.getOrUndefined(request.remoteAddress)
    const actor = headers["x-actor"]
    if (token === undefined) {
      return isNear({ address, headers }) ? { actor: actor ?? "loopback" } : { rejected: "forbidden" }
    }
    const given = bearerIn(headers)
    if (given === undefined) {
      return sessionOf(request, yield* Clock.currentTimeMillis) ?? { rejected: "unauthorized" }
    }
    const now = yield* monotonicMillis
    const verdict = bearers.judge({ address: address ?? "", isRight: isSame(given, token), now })
    if (verdict === "right") return { actor: actor ?? "token" }
    return { rejected: verdict === "wrong" ? "unauthorized" : verdict }
  })

  /** The value of a new session's cookie for the right token. */
  const signIn = (given: { readonly token: string; readonly name: string; readonly address: string }) =>
    Effect.gen(function* () {
      if (token === undefined || sessions === undefined) return "unauthorized"
      const now = yield* monotonicMillis
      const verdict = logins.judge({ address: given.address, isRight: isSame(given.token, token), now })
      if (verdict !== "right") return verdict === "wrong" ? "unauthorized" : verdict
      return { session: sessions.issue(given.name, yield* Clock.currentTimeMillis) }
    })

  return { judge, signIn, tokenLength: token?.length }
}

export type Access = ReturnType<typeof makeAccess>

/** Handlers find who sends the request in its header `x-actor`. */
export const layer = (access: Access) =>
  Layer.succeed(Admin, {
    bearer: (answer) =>
      Effect.gen(function* () {
        const verdict = yield* access.judge
        if ("rejected" in verdict) return rejection(verdict.rejected)
        const request = yield* HttpServerRequest.HttpServerRequest
        const headers = Headers.set(request.headers, "x-actor", verdict.actor)
        const named = request.modify({ headers })
        return yield* Effect.provideService(unlessSame(answer), HttpServerRequest.HttpServerRequest, named)
      }),
  })

/** The rejection of a request for anything under `/admin`; undefined: it is allowed, or the path is another. */
export const refusalOf = (access: Access) =>
  Effect.gen(function* () {
    const { url } = yield* HttpServerRequest.HttpServerRequest
    if (!/^\/admin(?![^/?])/u.test(url)) return undefined
    const verdict = yield* access.judge
    return "rejected" in verdict ? rejection(verdict.rejected) : undefined
  })

const bearerIn = (headers: Readonly<Record<string, string | undefined>>) => {
  const text = headers["authorization"]
  return text === undefined ? undefined : /^Bearer +(.+)$/iu.exec(text)?.[1]
}

/** The problem of a rejected request. */
export const rejection = (why: "unauthorized" | "forbidden" | number) =>
  why === "unauthorized" ? unauthorized : why === "forbidden" ? forbidden : tooManyRequests(why)

const forbidden = responseOf(Kinds.forbidden)
const unauthorized = responseOf(Kinds.unauthorized, { "www-authenticate": "Bearer" })
const tooManyRequests = (seconds: number) => responseOf(Kinds.tooManyRequests, { "retry-after": String(seconds) })

/** Compares in constant time. */
const isSame = (given: string, right: string) => {
  const digest = (text: string) => createHash("sha256").update(text).digest()
  return timingSafeEqual(digest(given), digest(right))
}

const loopbackName = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/iu
const loopbackAddress = /^(?:::ffff:)?127\.|^::1$/u
const ofProxy = /^(?:forwarded|via|x-real-ip|x-forwarded-.*)$/iu

/** Whether a request comes from this machine, without a proxy, and not from a page of another origin. */
export const isNear = (asked: {
  readonly address: string | undefined
  readonly headers: Readonly<Record<string, string | undefined>>
}) => {
  const { host = "", origin } = asked.headers
  const isOwn = origin === undefined || (origin !== "" && origin === URL.parse(`http://${host}`)?.origin)
  return (
    loopbackAddress.test(asked.address ?? "") &&
    loopbackName.test(host) &&
    isOwn &&
    !Object.keys(asked.headers).some((name) => ofProxy.test(name))
  )
}

/** Token buckets of wrong attempts, of each address and in total: the burst, and the time until one more is allowed. */
const bearerLimits = {
  ofAddress: { burst: 20, everyMillis: 3_000 },
  ofAll: { burst: 1_000, everyMillis: 100 },
}

/** A person types the token at a login: 5 wrong ones a minute from an address, 60 in total. */
const loginLimits: typeof bearerLimits = {
  ofAddress: { burst: 5, everyMillis: 12_000 },
  ofAll: { burst: 60, everyMillis: 1_000 },
}

/** The most addresses with a bucket; the oldest is removed first. */
const mostAddresses = 10_000

const makeBucket = ({ burst, everyMillis }: { readonly burst: number; readonly everyMillis: number }) => {
  let left = burst
  let at = 0
  const refill = (now: number) => {
    left = Math.min(burst, left + Math.max(0, now - at) / everyMillis)
    at = now
  }
  return {
    /** Seconds until an attempt is allowed; 0 when it is. */
    wait: (now: number) => {
      refill(now)
      return left >= 1 ? 0 : Math.ceil(((1 - left) * everyMillis) / 1_000)
    },
    take: () => void left--,
  }
}

/**
 * Limits the rate of wrong tokens, for each address and in total. An address that has once sent the right token can
 * always use it.
 */
export const makeAttempts = ({ ofAddress, ofAll } = bearerLimits) => {
  const all = makeBucket(ofAll)
  const addresses = new Map<string, ReturnType<typeof makeBucket>>()
  const proven = new Set<string>()

  const bucketOf = (address: string) => {
    const known = addresses.get(address)
    if (known !== undefined) return known
    const bucket = makeBucket(ofAddress)
    addresses.set(address, bucket)
    if (addresses.size > mostAddresses) addresses.delete(addresses.keys().next().value!)
    return bucket
  }

  /** The verdict on a token, or the seconds until the next attempt is allowed. */
  const judge = (attempt: { readonly address: string; readonly isRight: boolean; readonly now: number }) => {
    const { address, isRight, now } = attempt
    if (isRight && proven.has(address)) return "right"
    const bucket = bucketOf(address)
    const wait = Math.max(bucket.wait(now), all.wait(now))
    if (wait > 0) return wait
    if (isRight) {
      if (proven.size < mostAddresses) proven.add(address)
      return "right"
    }
    bucket.take()
    all.take()
    return "wrong"
  }

  return { judge }
}
