import { Effect } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiSwagger, OpenApi } from "effect/http-api"
import { createHash } from "node:crypto"
import { documentOf } from "./document.ts"
import { endpoints, serveAt } from "./operations.ts"

/** `GET /openapi.json` and `GET /docs`: the document as JSON and as a page, both made on first use. */
export const documentation = (owners: Parameters<typeof documentOf>[0]) =>
  Effect.gen(function* () {
    const document = yield* Effect.cached(Effect.sync(() => documentOf(owners)))
    const text = yield* Effect.cached(
      Effect.map(document, (document) => kept(JSON.stringify(document), "application/json")),
    )
    const page = yield* Effect.cached(Effect.flatMap(document, pageOf))
    yield* serveAt(endpoints.openapi, unlessKnown(text))
    yield* serveAt(endpoints.docs, unlessKnown(page))
  })

/** Effect's page, which is self-contained. Its policy lets the browser load nothing from other servers. */
const pageOf = (document: OpenApi.OpenAPISpec) =>
  Effect.promise(async () => {
    const api = HttpApi.make("galleria").annotateMerge(OpenApi.annotations({ transform: () => document }))
    const { handler, dispose } = HttpRouter.toWebHandler(HttpApiSwagger.layer(api), { disableLogger: true })
    const html = await (await handler(new Request("http://localhost/docs"))).text()
    await dispose()
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
    headers: { ...headers, etag: `"${hashOf(text)}"`, "cache-control": "no-cache" },
  })

const unlessKnown = (answer: Effect.Effect<HttpServerResponse.HttpServerResponse>) =>
  Effect.gen(function* () {
    const { headers } = yield* HttpServerRequest.HttpServerRequest
    const response = yield* answer
    const etag = response.headers["etag"]!
    return headers["if-none-match"]?.includes(etag) === true
      ? HttpServerResponse.empty({ status: 304, headers: { etag } })
      : response
  })
