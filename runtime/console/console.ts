import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Effect, Option } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import type { Access, Verdict } from "../http/Admin.ts"
import { rejection } from "../http/Admin.ts"
import { Kinds, responseOf } from "../http/Problem.ts"
import { ReceivedBody } from "../http/server/body.ts"
import { mostName, setSession } from "../http/session.ts"
import { type Asset, type Assets, readAssets } from "./assets.ts"
import { loginForm, noteOf, shellHeaders, shellOf } from "./shell.ts"

/** Parts of the page that not every deployment has. */
export type Feature = "faults" | "try"

/** What the page shows beside the answers of `/admin`. */
interface Shown {
  readonly features: ReadonlyArray<Feature>
  /** Where trace ids lead, with `{trace_id}` in place of the id. */
  readonly traceUrl: string | undefined
}

/** Lists the sign-in of the operator with this name. */
type RecordSignIn = (actor: string) => Effect.Effect<void>

/** A token that is shorter can be guessed from a session, which is signed with it. */
const shortToken = 20

/** The routes of the console, for the middleware of all routes. */
export const consoleRoutes = [
  { path: "/console", methods: ["GET"], test: /^\/console\/?$/u },
  { path: "/console/login", methods: ["GET", "POST"], test: /^\/console\/login\/?$/u },
  { path: "/console/logout", methods: ["GET", "POST"], test: /^\/console\/logout\/?$/u },
  { path: "/console/session", methods: ["GET"], test: /^\/console\/session\/?$/u },
  { path: "/console/api/{call}", methods: ["GET", "POST", "PUT"], test: /^\/console\/api\/.*$/u },
  { path: "/console/{view}", methods: ["GET"], test: /^\/console\/.*$/u },
].map((route) => ({ ...route, module: "runtime" }))

/**
 * Adds the console's page, its assets, and login, session and logout to the router. `record` lists a sign-in; it must not
 * fail while the database is away.
 */
export const addConsole = (options: Shown & { readonly access: Access; readonly record: RecordSignIn }) =>
  Effect.gen(function* () {
    const { access, record } = options
    const router = yield* HttpRouter.HttpRouter
    const assets = readAssets()
    const page = pagesOf(assets)

    const shell = Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const verdict = yield* judgeOfPage(access)
      return "rejected" in verdict ? page.rejected(verdict.rejected, nextIn(request.url)) : page.of()
    })

    if (access.tokenLength !== undefined && access.tokenLength < shortToken) {
      yield* Effect.logWarning(`ADMIN_TOKEN is shorter than ${shortToken} characters: use 32 random bytes`)
    }
    // This pattern includes `/console` itself.
    yield* router.add("GET", "/console/*", shell)
    yield* router.add("GET", "/console/app/*", Effect.flatMap(HttpServerRequest.HttpServerRequest, assetsOf(assets)))
    yield* router.add("GET", "/console/session", sessionOf(access, options))
    yield* router.add("POST", "/console/login", loginOf({ access, page, record }))
    yield* router.add("POST", "/console/logout", logout)
  })

/** A link from another site may open the page, which then asks for the session by itself. */
const judgeOfPage = (access: Access) =>
  Effect.map(access.judge, (verdict): Verdict =>
    "rejected" in verdict && verdict.rejected === "forbidden" && access.tokenLength !== undefined
      ? { rejected: "unauthorized" }
      : verdict,
  )

const pagesOf = (assets: Assets) => {
  const headers = shellHeaders(assets.importMapHash)
  const of = (content?: string, status = 200, more: Readonly<Record<string, string>> = {}) =>
    HttpServerResponse.text(shellOf(assets, content), {
      status,
      contentType: "text/html; charset=utf-8",
      headers: { ...headers, ...more },
    })
  return {
    of,
    rejected: (why: "unauthorized" | "forbidden" | number, next: string) => {
      if (why === "forbidden") return of(noteOf("Galleria console", Kinds.forbidden.detail), 403)
      if (why === "unauthorized") return of(loginForm({ next }), 401, { "www-authenticate": "Bearer" })
      return of(loginForm({ next, fault: tooMany(why) }), 429, { "retry-after": String(why) })
    },
  }
}

const tooMany = (seconds: number) => `Too many wrong tokens. Try again in ${seconds} s.`

const assetsOf =
  ({ byPath }: Assets) =>
  ({ url, headers }: HttpServerRequest.HttpServerRequest) => {
    const asset = byPath.get(url.split("?")[0]!)
    return asset === undefined
      ? Effect.succeed(responseOf(Kinds.notFound))
      : Effect.promise(() => answerOf(asset, headers["accept-encoding"] ?? ""))
  }

const answerOf = async ({ type, bytes, brotli }: Asset, accepted: string) => {
  const isSmall = /\bbr\b(?!\s*;\s*q=0(?:\.0*)?(?:,|$))/u.test(accepted)
  return HttpServerResponse.uint8Array(isSmall ? await brotli() : bytes, {
    contentType: type,
    headers: {
      "cache-control": "public, max-age=31536000, immutable",
      "cross-origin-resource-policy": "same-origin",
      vary: "accept-encoding",
      "x-content-type-options": "nosniff",
      ...(isSmall ? { "content-encoding": "br" } : {}),
    },
  })
}

const unstored = { "cache-control": "no-store" }

/** `GET /console/session`: whether the request is signed in, with the name given at login, and what the page shows. */
const sessionOf = (access: Access, { features, traceUrl }: Shown) =>
  Effect.map(access.judge, (verdict) => {
    if (!("rejected" in verdict)) {
      const { name } = verdict
      const session = {
        signed_in: true,
        ...(name === undefined ? {} : { name }),
        features,
        ...(traceUrl === undefined ? {} : { trace_url: traceUrl }),
      }
      return HttpServerResponse.jsonUnsafe(session, { headers: unstored })
    }
    if (verdict.rejected === "unauthorized") {
      return HttpServerResponse.jsonUnsafe({ signed_in: false, features: [] }, { headers: unstored })
    }
    return rejection(verdict.rejected)
  })

/** Sets a session for the right token and redirects to `next`; only for a form of the same origin. */
const loginOf = ({
  access,
  page,
  record,
}: Readonly<{ access: Access; page: ReturnType<typeof pagesOf>; record: RecordSignIn }>) =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const received = NodeHttpServerRequest.toIncomingMessage(request)
    const body = received instanceof ReceivedBody ? received.body : undefined
    if (body === "too large") return responseOf(Kinds.contentTooLarge)
    if (body === "unsupported") return responseOf(Kinds.unsupportedMediaType)
    const scheme = schemeOfOwnForm(request)
    if (scheme === undefined) return rejection("forbidden")
    const form = new URLSearchParams(body?.toString() ?? "")
    const next = nextIn(form.get("next") ?? "")
    if (access.tokenLength === undefined) return yield* shellOr(access, page, next)
    const name = nameIn(form.get("name") ?? "")
    const address = Option.getOrUndefined(request.remoteAddress) ?? ""
    const signed = yield* access.signIn({ token: form.get("token") ?? "", name, address })
    if (typeof signed === "number") return page.rejected(signed, next)
    if (signed === "unauthorized") {
      yield* Effect.logWarning("A sign-in to the console was refused: the token is wrong")
      return page.of(loginForm({ next, fault: "This token is wrong." }), 401)
    }
    yield* Effect.annotateLogs(Effect.logInfo("An operator signed in to the console"), { actor: name })
    yield* record(name)
    return redirect(next, { "set-cookie": setSession(signed.session, scheme === "https") })
  })

/** Without a token there is nothing to sign in to. */
const shellOr = (access: Access, page: ReturnType<typeof pagesOf>, next: string) =>
  Effect.map(access.judge, (verdict) =>
    "rejected" in verdict ? page.rejected(verdict.rejected, next) : redirect(next, {}),
  )

const redirect = (location: string, headers: Readonly<Record<string, string>>) =>
  HttpServerResponse.empty({ status: 303, headers: { ...unstored, ...headers, location } })

/** Clears the cookies of a session; only for a page of this very origin. */
const logout = Effect.map(HttpServerRequest.HttpServerRequest, (request) => {
  const scheme = schemeOfOwnForm(request)
  return scheme === undefined
    ? rejection("forbidden")
    : redirect("/console", { "set-cookie": setSession("", scheme === "https") })
})

/** The scheme that the browser sees, in front of any proxy; undefined when the form is not of this host and port. */
const schemeOfOwnForm = ({ headers }: HttpServerRequest.HttpServerRequest) => {
  const { host = "", origin, "sec-fetch-site": site } = headers
  if (site !== undefined && site !== "same-origin") return undefined
  return (["http", "https"] as const).find((scheme) => origin === URL.parse(`${scheme}://${host}`)?.origin)
}

/** Only an address within the console; anything else becomes its first page. */
export const nextIn = (address: string) =>
  /^\/console(?:[/?][!-~]*)?$/u.test(address) && !/^\/console\/(?:login|logout|session|api|app)\b/u.test(address)
    ? address
    : "/console"

/** A name as it may stand in a list: of one line, at most `mostName` characters. */
export const nameIn = (text: string) => {
  const plain = text.replaceAll(/[\p{C}\p{Z}]+/gu, " ").trim()
  return Array.from(plain).slice(0, mostName).join("") || "operator"
}
