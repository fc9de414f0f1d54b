import { Effect } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiSwagger, OpenApi } from "effect/http-api"
import { createHash } from "node:crypto"
import { tagOf, unlessKnown } from "../etag.ts"
import { endpoints, serveAt } from "./operations.ts"

/**
 * `GET /openapi.json` and `GET /docs`: the document as JSON and as a page, both made on first use. The page ends with
 * `section`, which is HTML.
 */
export const documentation = (made: Effect.Effect<OpenApi.OpenAPISpec>, section: Effect.Effect<string>) =>
  Effect.gen(function* () {
    const document = yield* Effect.cached(made)
    const page = Effect.gen(function* () {
      return yield* pageOf(yield* document, yield* section)
    })
    yield* serveKept(endpoints.openapi, Effect.map(document, jsonOf()))
    yield* serveKept(endpoints.docs, page)
  })

/** Effect's page, which is self-contained. Its policy lets the browser load nothing from other servers. */
const pageOf = (document: OpenApi.OpenAPISpec, section: string) =>
  Effect.promise(async () => {
    const api = HttpApi.make("galleria").annotateMerge(OpenApi.annotations({ transform: () => document }))
    const { handler, dispose } = HttpRouter.toWebHandler(HttpApiSwagger.layer(api), { disableLogger: true })
    const page = await (await handler(new Request("http://localhost/docs"))).text()
    await dispose()
    const end = page.lastIndexOf("</body>")
    const html = `${page.slice(0, end)}${section}\n${page.slice(end)}`
    return kept(html, "text/html; charset=utf-8", {
      "content-security-policy": policyOf(html),
      "x-content-type-options": "nosniff",
    })
  })

/** Allows only the scripts in the page, and connections only to this server. */
const policyOf = (html: string) => {
  const scripts = [...html.matchAll(/<script>(.*?)<\/script>/gsu)].map(([, script]) => `'sha256-${hashOf(script!)}'`)
  return [
    "default-src 'none'",
    `script-src ${scripts.join(" ")}`,
    "style-src 'unsafe-inline'",
    "img-src data:",
    "connect-src 'self'",
    ...["base-uri", "form-action", "frame-ancestors"].map((directive) => `${directive} 'none'`),
  ].join("; ")
}

const hashOf = (text: string) => createHash("sha256").update(text).digest("base64")

/** An answer to be cached, and revalidated by its tag. */
const kept = (text: string, contentType: string, headers: Readonly<Record<string, string>> = {}) =>
  HttpServerResponse.text(text, {
    contentType,
    headers: { ...headers, etag: tagOf(text), "cache-control": "no-cache" },
  })

/** A value as JSON, to be cached and revalidated. */
export const jsonOf =
  (contentType = "application/json") =>
  (value: unknown) =>
    kept(JSON.stringify(value), contentType)

/** Serves an answer that never changes and is made on first use. */
export const serveKept = (
  endpoint: Parameters<typeof serveAt>[0],
  answer: Effect.Effect<HttpServerResponse.HttpServerResponse>,
) => Effect.flatMap(Effect.cached(answer), (answer) => serveAt(endpoint, unlessKnown(answer)))
