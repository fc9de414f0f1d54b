import { Effect, Layer, Option, Redacted } from "effect"
import { HttpServerRequest } from "effect/http"
import { HttpApiMiddleware, HttpApiSecurity, OpenApi } from "effect/http-api"
import { createHash, timingSafeEqual } from "node:crypto"
import { declare } from "./Problem.ts"

export class Unauthorized extends declare<Unauthorized>()("Unauthorized", {
  slug: "unauthorized",
  status: 401,
  title: "Unauthorized",
  detail: "This needs `Authorization: Bearer` with the token of ADMIN_TOKEN.",
}) {}

export class Forbidden extends declare<Forbidden>()("Forbidden", {
  slug: "forbidden",
  status: 403,
  title: "Forbidden",
  detail: "Without ADMIN_TOKEN this is answered on the machine itself alone, by a loopback address and name.",
}) {}

/**
 * What every address under `/admin` goes through: the bearer token where `ADMIN_TOKEN` is set, else a
 * loopback peer with a loopback `Host` and no foreign `Origin`, so that no page of a browser can reach it.
 */
export class Admin extends HttpApiMiddleware.Service<Admin>()("galleria/Admin", {
  error: [Unauthorized, Forbidden],
  security: {
    bearer: HttpApiSecurity.bearer.pipe(
      HttpApiSecurity.annotate(
        OpenApi.Description,
        "The token of `ADMIN_TOKEN`. Where none is set, only the machine itself is answered, without one.",
      ),
    ),
  },
}) {}

const loopbackName = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/iu
const loopbackAddress = /^(?:::ffff:)?127\.|^::1$/u

export const layer = (token: Redacted.Redacted | undefined) =>
  Layer.succeed(Admin, {
    bearer: (answer) =>
      Effect.gen(function* () {
        const { headers, remoteAddress } = yield* HttpServerRequest.HttpServerRequest
        if (token !== undefined) {
          const given = /^Bearer +(.+)$/iu.exec(headers["authorization"] ?? "")?.[1] ?? ""
          if (!isSame(given, Redacted.value(token))) return yield* new Unauthorized({})
        } else {
          const { host = "", origin } = headers
          const near = Option.exists(remoteAddress, (address) => loopbackAddress.test(address))
          const own = origin === undefined || loopbackName.test(origin.replace(/^https?:\/\//u, ""))
          if (!near || !loopbackName.test(host) || !own) return yield* new Forbidden({})
        }
        return yield* answer
      }),
  })

/** Compares without telling by its time how much agrees. */
const isSame = (given: string, right: string) => {
  const digest = (text: string) => createHash("sha256").update(text).digest()
  return timingSafeEqual(digest(given), digest(right))
}
