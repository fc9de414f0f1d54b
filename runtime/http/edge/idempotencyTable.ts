import { Clock, Effect, Layer } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { SqlClient, type Statement } from "effect/sql"
import { createHash } from "node:crypto"
import { Database } from "../../sql/Database.ts"
import {
  type Answer,
  type Answered,
  type Answers,
  answersOf,
  type Claim,
  Idempotency,
  IdempotencyKeyReused,
  InvalidIdempotencyKey,
  type Key,
  keyPattern,
  KeyTaken,
  RequestInProgress,
} from "../Idempotency.ts"

/** How long an answer is stored. */
export const keptMillis = 24 * 60 * 60 * 1_000

/** `Idempotency` in the table of that name. */
export const layer = Layer.effect(
  Idempotency,
  Effect.gen(function* () {
    const { transaction } = yield* Database
    const { insert, claim, store, find } = statementsOf(yield* SqlClient.SqlClient)

    const keep: Idempotency["Service"]["keep"] = ({ key, answer }, work) => {
      const answered = Effect.map(work, answer)
      if (key === undefined) return transaction(answered)
      return transaction(
        Effect.andThen(
          claim(key),
          Effect.tap(answered, (done) => store(key, done.answer)),
        ),
      )
    }

    const replay = Effect.fnUntraced(function* (key: Key) {
      const stored = yield* find(key)
      if (stored === undefined) return yield* new RequestInProgress({})
      if (stored.hash !== key.hash) return yield* new IdempotencyKeyReused({})
      return responseOf(stored, { "idempotency-replayed": "true" })
    })

    /** A request that failed before it claimed its key may be the repetition of one that succeeded. */
    const failIfTaken = Effect.fnUntraced(function* (key: Key | undefined) {
      if (key !== undefined && (yield* find(key)) !== undefined) return yield* new KeyTaken()
    })

    return Idempotency.of({
      insert,
      keep,
      once: ({ request, endpoint }, run) => {
        const answers = answersOf(endpoint as never)
        if (answers === undefined) {
          const why = `the success of ${scopeOf(request)} is declared neither by created nor by updated`
          return Effect.die(new Error(why))
        }
        const under = (key: Key | undefined) =>
          run(claimOf(answers, key)).pipe(
            Effect.map(({ answer }) => responseOf(answer)),
            Effect.tapError((error) => (isKeyTaken(error) ? Effect.void : failIfTaken(key))),
            Effect.catchIf(isKeyTaken, () => replay(key!)),
          )
        return Effect.flatMap(keyIn(request), under)
      },
    })
  }),
)

/** Deletes at most `limit` answers that were stored from one instant up to another, and returns when they were. */
export const removeAnswers = (sql: SqlClient.SqlClient, from: Date, before: Date, limit: number) =>
  sql<{ created_at: Date }>`
    delete from idempotency where ctid in (
      select ctid from idempotency where created_at >= ${from} and created_at < ${before} order by created_at limit ${limit})
    returning created_at`

const statementsOf = (sql: SqlClient.SqlClient) => {
  /** Inserts rows `(scope, key, hash, status, location, body)`, also over those that have expired. */
  const put = (rows: Statement.Fragment) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const old = new Date(now - keptMillis)
      return sql<{ scope: string; key: string }>`
        insert into idempotency (scope, key, hash, status, location, body, created_at)
        select scope, key, hash, status, location, body, ${new Date(now)}
        from (${rows}) as r (scope, key, hash, status, location, body) order by scope, key
        on conflict (scope, key) do update
          set hash = excluded.hash, status = excluded.status, location = excluded.location, body = excluded.body,
            created_at = excluded.created_at
          where idempotency.created_at <= ${old}
        returning scope, key`
    })

  const insert = (rows: Statement.Fragment) =>
    put(sql`
      select c.scope, c.key, c.hash, c.status, replace(c.location, ':id', id::text),
        completed('{"id":' || id || '}', c.body)
      from (${rows}) as r (claim, id)
      cross join lateral json_to_record(r.claim) as c (scope text, key text, hash text, status int, location text, body text)`)

  const claim = Effect.fnUntraced(function* ({ scope, key, hash }: Key) {
    const free = yield* put(sql`
      select ${scope}::text, ${key}::text, ${hash}::text, null::int, null::text, null::text`)
    if ((yield* Effect.orDie(free)).length === 0) return yield* new KeyTaken()
  })

  const store = ({ scope, key }: Key, { status, location, body }: Answer) =>
    Effect.orDie(sql`
      update idempotency set status = ${status}, location = ${location}, body = ${body}
      where scope = ${scope} and key = ${key}`)

  const find = Effect.fnUntraced(function* ({ scope, key }: Key) {
    const now = yield* Clock.currentTimeMillis
    const [stored] = yield* Effect.orDie(
      sql<Answer & { hash: string }>`
        select hash, status, location, body from idempotency
        where scope = ${scope} and key = ${key} and created_at > ${new Date(now - keptMillis)}`,
    )
    return stored
  })

  return { insert, claim, store, find }
}

const isKeyTaken = (error: unknown): error is KeyTaken => error instanceof KeyTaken

const responseOf = ({ status, location, body }: Answer, headers: Readonly<Record<string, string>> = {}) =>
  HttpServerResponse.text(body, {
    status,
    contentType: "application/json",
    headers: { ...(location === null ? {} : { location }), ...headers },
  })

/** Method and path of a request, without a slash at its end: the router ignores that. */
const scopeOf = ({ method, url }: HttpServerRequest.HttpServerRequest) =>
  `${method} ${url.split("?")[0]!.replace(/(?<=.)\/$/u, "")}`

const keyIn = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<Key | undefined, InvalidIdempotencyKey> => {
  const key = request.headers["idempotency-key"]
  if (key === undefined) return Effect.succeed(undefined)
  if (!keyPattern.test(key)) return Effect.fail(new InvalidIdempotencyKey({}))
  return Effect.map(Effect.orDie(request.text), (body) => ({
    scope: scopeOf(request),
    key,
    hash: createHash("sha256").update(canonical(body)).digest("base64url"),
  }))
}

const claimOf = <A>(answers: Answers, key: Key | undefined): Claim<A> => ({
  key,
  answer: (value) => answered(value, answers.answer(value)),
  draft: (value) => {
    const { withoutId, withId } = answers.draft(value)
    return {
      row: key === undefined ? null : { ...key, ...withoutId() },
      complete: (id) => answered({ ...value, id } as A, withId(id)),
    }
  },
})

const answered = <A>(value: A, answer: Answer) => ({ value, answer }) as Answered<A>

/** One text for equal JSON, without white space and with sorted members (similar to RFC 8785). */
const canonical = (body: string): string => {
  try {
    return JSON.stringify(JSON.parse(body), (_, value: unknown) =>
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
        : value,
    )
  } catch {
    // Nested too deep for the recursion of JSON.stringify: compared as text.
    return body
  }
}
