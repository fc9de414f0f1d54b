import { Context, type Effect, Schema } from "effect"
import type { HttpServerRequest, HttpServerResponse } from "effect/http"
import { type HttpApiEndpoint, HttpApiSchema } from "effect/http-api"
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
  detail: "This Idempotency-Key was used with another body; use a new key for a new request.",
}) {}

export class RequestInProgress extends declare<RequestInProgress>()("RequestInProgress", {
  slug: "request-in-progress",
  status: 409,
  title: "Request in progress",
  detail: "The first request with this Idempotency-Key is still running; retry later.",
}) {}

/** Matches a valid key. */
export const keyPattern = /^[\x20-\x7e]{1,255}$/u

/** The header, for the declaration of an endpoint that takes it. */
export const headers = {
  "idempotency-key": Schema.optionalKey(
    Schema.String.annotate({
      description:
        "Makes the request safe to retry: for 24 hours the same key with the same body, compared as JSON, replays the first answer. After an answer other than 2xx the key can be used again.",
      pattern: keyPattern.source,
      examples: ["8e03978e-40d5-43e8-bc93-6894a57f9324"],
    }),
  ),
}

/** The problems of an endpoint that takes the header. */
export const problems = [InvalidIdempotencyKey, IdempotencyKeyReused, RequestInProgress] as const

/** An answer as it is sent and stored. */
export interface Answer {
  readonly status: number
  readonly location: string | null
  /** JSON text. */
  readonly body: string
}

/** The answer to the creation of something whose `id` the inserting statement assigns. */
export interface AnswerDraft<in out A> {
  /** For `Idempotency.insert`; null where the request carries no key. */
  readonly row: (Key & Answer) | null
  /** The answer, once the id is known. */
  readonly complete: (id: number) => Answered<A>
}

declare const made: unique symbol

/** The result of a use case, with its answer. Only a `Claim` makes one. */
export interface Answered<out A> {
  readonly value: A
  readonly answer: Answer
  readonly [made]: true
}

/** An idempotency key: its scope, which is the method and path of the request, the key, and a hash of the body as JSON. */
export interface Key {
  readonly scope: string
  readonly key: string
  readonly hash: string
}

/** How the success of a request is answered, and under which key the answer is stored. */
export interface Claim<in out A> {
  /** Undefined: the request has no key, and nothing is stored. */
  readonly key: Key | undefined
  readonly answer: (value: A) => Answered<A>
  /** For a use case whose statement assigns the `id`. */
  readonly draft: (value: Omit<A, "id">) => AnswerDraft<A>
}

/** The key was claimed before. Nothing was done. */
export class KeyTaken extends Schema.TaggedError<KeyTaken>()("KeyTaken", {}) {}

const annotation = "galleria/answers"

/** How the values of a use case are encoded as answers. */
export interface Answers {
  readonly answer: (value: any) => Answer
  /** For a value without its `id`, which is encoded once. */
  readonly draft: (value: any) => {
    /** The answer without the `id`: it is missing in the body, and the location has `:id` in its place. */
    readonly withoutId: () => Answer
    /** The answer, with the `id` as the first member of the body. */
    readonly withId: (id: number) => Answer
  }
}

type Members = Readonly<Record<string, Schema.Codec<any, any>>>

/** Fills members of a body into a path such as `/users/:id`; a member that the body lacks leaves its segment as it is. */
const locationBy = (path: string) => {
  const segments = path.split("/")
  return (encoded: Readonly<Record<string, unknown>>): string =>
    segments
      .map((segment) => {
        const member = segment.startsWith(":") ? encoded[segment.slice(1)] : undefined
        return typeof member === "number" || typeof member === "string" ? encodeURIComponent(member) : segment
      })
      .join("/")
}

const answersBy = (body: Schema.Struct<Members>, status: 200 | 201, path?: string): Answers => {
  const { id: _, ...rest } = body.fields
  const locationOf = path === undefined ? () => null : locationBy(path)
  const answerOf = (encoded: Readonly<Record<string, unknown>>): Answer => ({
    status,
    location: locationOf(encoded),
    body: JSON.stringify(encoded),
  })
  const encode = Schema.encodeSync(body)
  const encodeRest = Schema.encodeSync(Schema.Struct(rest))
  return {
    answer: (value) => answerOf(encode(value)),
    draft: (value) => {
      const encoded = encodeRest(value)
      return { withoutId: () => answerOf(encoded), withId: (id) => answerOf({ id, ...encoded }) }
    },
  }
}

const replayed = {
  "idempotency-replayed": Schema.optionalKey(
    Schema.Literal("true").annotate({ description: "The answer is a replay." }),
  ),
}

/**
 * The success of an endpoint that takes an `Idempotency-Key` and creates something: 201, with the path of what was created in
 * `Location`. `/users/:id` gets the member `id` of the body.
 */
export const created = <Fields extends Members>(body: Schema.Struct<Fields>, location: `/${string}`) =>
  HttpApiSchema.WithHeaders(body.pipe(HttpApiSchema.status(201)), {
    location: Schema.String.annotate({ description: "The path of what was created." }),
    ...replayed,
  }).annotate({ [annotation]: answersBy(body as never, 201, location) })

/** The success of an endpoint that takes an `Idempotency-Key` and creates nothing: 200. */
export const updated = <Fields extends Members>(body: Schema.Struct<Fields>) =>
  HttpApiSchema.WithHeaders(body, replayed).annotate({ [annotation]: answersBy(body as never, 200) })

/** How an endpoint encodes its answers; undefined where its success was declared neither by `created` nor by `updated`. */
export const answersOf = ({ success }: Pick<HttpApiEndpoint.Top, "success">): Answers | undefined => {
  for (const { ast } of success) {
    const answers = ast.annotations?.[annotation]
    if (answers !== undefined) return answers as Answers
  }
  return undefined
}

/** The body of an endpoint's success. */
type AnswerOf<Endpoint extends HttpApiEndpoint.Constraint> =
  Endpoint["~Success"]["Type"] extends HttpApiSchema.withHeaders<infer A, any> ? A : never

/**
 * `Idempotency-Key` (IETF draft-ietf-httpapi-idempotency-key-header): the same key with the same body replays the first
 * answer. A key is claimed in the transaction of the work, so only 2xx answers are stored, for 24 hours. Its scope is the
 * method and path of the request.
 */
export class Idempotency extends Context.Service<
  Idempotency,
  {
    /**
     * Answers a request by a use case, which gets the claim of the request and returns the result of `keep` or
     * `Draft.complete`. When the use case fails with `KeyTaken`, replays the first answer.
     */
    readonly once: <Endpoint extends HttpApiEndpoint.Constraint, E, R>(
      asked: { readonly request: HttpServerRequest.HttpServerRequest; readonly endpoint: Endpoint },
      run: (claim: Claim<AnswerOf<Endpoint>>) => Effect.Effect<Answered<AnswerOf<Endpoint>>, E | KeyTaken, R>,
    ) => Effect.Effect<
      HttpServerResponse.HttpServerResponse,
      Exclude<E, KeyTaken> | InvalidIdempotencyKey | IdempotencyKeyReused | RequestInProgress,
      R
    >

    /** Claims the key, does the work and stores its answer, in one transaction, or in the one that is running. */
    readonly keep: <A, E, R>(
      claim: Claim<A>,
      work: Effect.Effect<A, E, R>,
    ) => Effect.Effect<Answered<A>, E | KeyTaken, R>

    /**
     * The same as a part of the statement that creates rows: an INSERT from rows `(claim json, id bigint)`, where `claim` is
     * the `row` of a draft, and each key occurs once. Returns `scope` and `key` of those that were free.
     */
    readonly insert: (rows: Statement.Fragment) => Effect.Effect<Statement.Fragment>
  }
>()("galleria/Idempotency") {}
