import { Effect, Layer, Option, Redacted, Schema } from "effect"
import { HttpServerRequest } from "effect/http"
import { HttpApiMiddleware, HttpApiSchema, HttpApiSecurity, OpenApi } from "effect/http-api"
import { createHash, timingSafeEqual } from "node:crypto"
import { monotonicMillis } from "../loop/monotonic.ts"
import { declare, Kinds, responseOf } from "./Problem.ts"

class Unauthorized extends declare<Unauthorized>()("Unauthorized", Kinds.unauthorized) {}
class Forbidden extends declare<Forbidden>()("Forbidden", Kinds.forbidden) {}
class TooManyRequests extends declare<TooManyRequests>()("TooManyRequests", Kinds.tooManyRequests) {}

/**
 * The middleware of every path under `/admin`. Requires the bearer token where `ADMIN_TOKEN` is set; otherwise a loopback
 * peer with a loopback `Host`, no `Origin` of another host or port, and no header of a proxy.
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

export const layer = (token: Redacted.Redacted | undefined) =>
  Layer.sync(Admin, () => {
    const attempts = makeAttempts()
    const judged = (given: string | undefined, right: string, address: string) =>
      Effect.map(monotonicMillis, (now) =>
        given === undefined ? "wrong" : attempts.judge({ address, isRight: isSame(given, right), now }),
      )
    return {
      bearer: (answer) =>
        Effect.gen(function* () {
          const { headers, remoteAddress } = yield* HttpServerRequest.HttpServerRequest
          const address = Option.getOrUndefined(remoteAddress)
          if (token === undefined) return yield* isNear({ address, headers }) ? answer : Effect.succeed(forbidden)
          const given = /^Bearer +(.+)$/iu.exec(headers["authorization"] ?? "")?.[1]
          const verdict = yield* judged(given, Redacted.value(token), address ?? "")
          if (verdict === "right") return yield* answer
          return verdict === "wrong" ? unauthorized : tooManyRequests(verdict)
        }),
    }
  })

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

/** Token buckets of wrong attempts: the burst, and the time until one more is allowed. */
const ofAddress = { burst: 20, everyMillis: 3_000 }
const ofAll = { burst: 1_000, everyMillis: 100 }

/** The most addresses with a bucket; the oldest is removed first. */
const mostAddresses = 10_000

const makeBucket = ({ burst, everyMillis }: typeof ofAddress) => {
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
export const makeAttempts = () => {
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
