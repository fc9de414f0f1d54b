import { Context, type Effect, Schema } from "effect"
import type { HttpServerRequest, HttpServerResponse } from "effect/http"
import type { Statement } from "effect/sql"
import { declare } from "./Problem.ts"

export class InvalidIdempotencyKey extends declare<InvalidIdempotencyKey>()("InvalidIdempotencyKey", {
  slug: "invalid-idempotency-key",
  status: 400,
  title: "Invalid idempotency key",
  detail: "An Idempotency-Key has 1 to 255 printable ASCII characters.",
}) {}

export class IdempotencyKeyReused extends declare<IdempotencyKeyReused>()("IdempotencyKeyReused", {
  slug: "idempotency-key-reused",
  status: 422,
  title: "Idempotency key reused",
  detail: "This Idempotency-Key came with another body before; use a new one for a new request.",
}) {}

export class RequestInProgress extends declare<RequestInProgress>()("RequestInProgress", {
  slug: "request-in-progress",
  status: 409,
  title: "Request in progress",
  detail: "The first request with this Idempotency-Key is still running; ask again a little later.",
}) {}

/** A key that is well-formed. */
export const keyPattern = /^[\x20-\x7e]{1,255}$/u

/** What an endpoint that takes the header says of it. */
export const headers = {
  "idempotency-key": Schema.optionalKey(
    Schema.String.annotate({
      description:
        "Makes it safe to ask again: for 24 hours the same key with the same body, compared as JSON, is given the first answer again. After any other answer than 2xx the key is free.",
      pattern: keyPattern.source,
      examples: ["8e03978e-40d5-43e8-bc93-6894a57f9324"],
    }),
  ),
}

/** The problems of an endpoint that takes the header. */
export const problems = [InvalidIdempotencyKey, IdempotencyKeyReused, RequestInProgress] as const

/** The headers of an answer to a creation; `idempotency-replayed` says that it was given before. */
export const answerHeaders = {
  location: Schema.String.annotate({ description: "The path of what was created." }),
  "idempotency-replayed": Schema.optionalKey(
    Schema.Literal("true").annotate({ description: "This answer was given before." }),
  ),
}

/** That a request is to be done once: its key, scoped to the route, and a hash of its body as JSON. */
export interface Claim {
  readonly route: string
  readonly key: string
  readonly hash: string
}

/** The key was claimed before: nothing was done now. */
export class KeyTaken extends Schema.TaggedError<KeyTaken>()("KeyTaken", {}) {}

/**
 * `Idempotency-Key` (IETF draft-ietf-httpapi-idempotency-key-header): the same key and body replays the first answer.
 * A key is claimed in the transaction of the work, so only answers of the 2xx kind are kept, for 24 hours.
 */
export class Idempotency extends Context.Service<
  Idempotency,
  {
    /**
     * Runs a use case with the claim that the request makes, undefined when it carries no key. When the use case says
     * that the key is taken, answers with what was answered then.
     */
    readonly once: <A, E, R>(
      request: HttpServerRequest.HttpServerRequest,
      route: string,
      run: (claim: Claim | undefined) => Effect.Effect<A, E | KeyTaken, R>,
    ) => Effect.Effect<
      A | HttpServerResponse.HttpServerResponse,
      Exclude<E, KeyTaken> | InvalidIdempotencyKey | IdempotencyKeyReused | RequestInProgress,
      R
    >

    /** Claims the key in the running transaction, to be called before the work. */
    readonly claim: (claim: Claim | undefined) => Effect.Effect<void, KeyTaken>

    /** Keeps the answer, in the same transaction: the body as JSON text and where the new thing is. */
    readonly answer: (
      claim: Claim | undefined,
      answer: { readonly location: string; readonly body: string },
    ) => Effect.Effect<void>

    /**
     * Both as part of a statement: an INSERT of the rows `(route, key, hash, location, body)`, each key once, that returns
     * the `key` of those that were free.
     */
    readonly insert: (rows: Statement.Fragment) => Effect.Effect<Statement.Fragment>
  }
>()("galleria/Idempotency") {}
