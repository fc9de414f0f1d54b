import { Effect } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import { createHash } from "node:crypto"

/** The strong tag (RFC 9110 §8.8.3) of an answer with this text. */
export const tagOf = (text: string) => `"${createHash("sha256").update(text).digest("base64")}"`

/** Answers 304 to a client that has the answer already; an answer without a tag stays as it is. */
export const unlessKnown = <E, R>(answer: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
  Effect.gen(function* () {
    const { headers } = yield* HttpServerRequest.HttpServerRequest
    const response = yield* answer
    const { etag, "cache-control": kept = "no-cache" } = response.headers
    // Compared weakly (RFC 9110 §13.1.2).
    const isKnown = etag !== undefined && headers["if-none-match"]?.includes(etag.replace(/^W\//u, "")) === true
    return isKnown ? HttpServerResponse.empty({ status: 304, headers: { etag, "cache-control": kept } }) : response
  })

/** When an answer was read; its first member, where it has one. */
const readAt = /^\{"checked_at":"[^"]*"/u

/**
 * An answer about the state of the moment, which clients ask for again and again and no cache keeps. Its tag is weak: two
 * answers that differ in `checked_at` alone have the same one, so that a 304 means that nothing has changed.
 */
export const unlessSame = <E, R>(answer: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ method }) =>
    unlessKnown(
      Effect.map(answer, (response) => {
        const unstored = HttpServerResponse.setHeader(response, "cache-control", "no-store")
        const { body, status } = unstored
        if (!/^(?:GET|HEAD)$/u.test(method) || status !== 200 || body._tag !== "Uint8Array") return unstored
        const text = body.text ?? Buffer.from(body.body).toString()
        return HttpServerResponse.setHeader(unstored, "etag", `W/${tagOf(text.replace(readAt, ""))}`)
      }),
    ),
  )
