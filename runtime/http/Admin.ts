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
 * What every address under `/admin` goes through: the bearer token where `ADMIN_TOKEN` is set, else a loopback peer with
 * a loopback `Host`, no `Origin` but this very host and port, and no sign of a proxy.
 */
export class Admin extends HttpApiMiddleware.Service<Admin>()("galleria/Admin", {
  error: [
    HttpApiSchema.WithHeaders(Unauthorized, { "www-authenticate": Schema.Literal("Bearer") }),
    Forbidden,
    HttpApiSchema.WithHeaders(TooManyRequests, {
      "retry-after": Schema.String.annotate({ description: "Seconds after which to ask again.", pattern: "^\\d+$" }),
    }),
  ],
  security: {
    bearer: HttpApiSecurity.bearer.pipe(
      HttpApiSecurity.annotate(
        OpenApi.Description,
        "The token of `ADMIN_TOKEN`. Where none is set, only requests of the machine itself are answered, without one.",
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

/** Compares without telling by its time how much agrees: of each the whole length counts. */
const isSame = (given: string, right: string) => {
  const digest = (text: string) => createHash("sha256").update(text).digest()
  return timingSafeEqual(digest(given), digest(right))
}

const loopbackName = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/iu
const loopbackAddress = /^(?:::ffff:)?127\.|^::1$/u
const ofProxy = /^(?:forwarded|via|x-real-ip|x-forwarded-.*)$/iu

/** Whether a request comes from this machine: from no page of another server, and past no proxy. */
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

/** So many wrong tokens at once, and then one for each such time. */
const ofAddress = { burst: 20, everyMillis: 3_000 }
const ofAll = { burst: 1_000, everyMillis: 100 }

/** Addresses that are remembered; the longest known is forgotten first. */
const mostAddresses = 10_000

const makeBucket = ({ burst, everyMillis }: typeof ofAddress) => {
  let left = burst
  let at = 0
  const refill = (now: number) => {
    left = Math.min(burst, left + Math.max(0, now - at) / everyMillis)
    at = now
  }
  return {
    /** Seconds until there is one; 0 when there is. */
    wait: (now: number) => {
      refill(now)
      return left >= 1 ? 0 : Math.ceil(((1 - left) * everyMillis) / 1_000)
    },
    take: () => void left--,
  }
}

/**
 * Bounds how often tokens can be guessed, from one address and from all together. An address that has shown the right
 * token is not shut out by what others try from there.
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

  /** What a token is; for one that is not looked at, the seconds until the next is. */
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
