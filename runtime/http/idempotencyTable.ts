import { Clock, Effect, Layer } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { SqlClient, type Statement } from "effect/sql"
import { createHash } from "node:crypto"
import {
  type Claim,
  Idempotency,
  IdempotencyKeyReused,
  InvalidIdempotencyKey,
  keyPattern,
  KeyTaken,
  RequestInProgress,
} from "./Idempotency.ts"

/** How long an answer is kept. */
export const keptMillis = 24 * 60 * 60 * 1_000

/** `Idempotency` in the table of that name. */
export const layer = Layer.effect(
  Idempotency,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient

    const insert = (rows: Statement.Fragment) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const old = new Date(now - keptMillis)
        return sql<{ key: string }>`
          insert into idempotency (route, key, hash, location, body, created_at)
          select route, key, hash, location, body, ${new Date(now)} from (${rows}) as r (route, key, hash, location, body)
          order by route, key
          on conflict (route, key) do update
            set hash = excluded.hash, location = excluded.location, body = excluded.body, created_at = excluded.created_at
            where idempotency.created_at <= ${old}
          returning key`
      })

    const claim = Effect.fnUntraced(function* (claim: Claim | undefined) {
      if (claim === undefined) return
      const { route, key, hash } = claim
      const free = yield* insert(sql`select ${route}::text, ${key}::text, ${hash}::text, null::text, null::text`)
      if ((yield* Effect.orDie(free)).length === 0) return yield* new KeyTaken()
    })

    const keptOf = Effect.fnUntraced(function* ({ route, key }: Claim) {
      const now = yield* Clock.currentTimeMillis
      const [kept] = yield* Effect.orDie(
        sql<{ hash: string; location: string; body: string }>`
          select hash, location, body from idempotency
          where route = ${route} and key = ${key} and created_at > ${new Date(now - keptMillis)}`,
      )
      return kept
    })

    const recall = Effect.fnUntraced(function* (claim: Claim) {
      const kept = yield* keptOf(claim)
      if (kept === undefined) return yield* new RequestInProgress({})
      if (kept.hash !== claim.hash) return yield* new IdempotencyKeyReused({})
      return HttpServerResponse.text(kept.body, {
        status: 201,
        contentType: "application/json",
        headers: { location: kept.location, "idempotency-replayed": "true" },
      })
    })

    /** A request that was refused before it came to its key may still have come with one that is taken. */
    const failIfTaken = Effect.fnUntraced(function* (claim: Claim | undefined) {
      if (claim !== undefined && (yield* keptOf(claim)) !== undefined) return yield* new KeyTaken()
    })

    return {
      insert,
      claim,
      answer: (claim, { location, body }) =>
        claim === undefined
          ? Effect.void
          : Effect.asVoid(
              Effect.orDie(sql`update idempotency set location = ${location}, body = ${body}
                where route = ${claim.route} and key = ${claim.key}`),
            ),
      once: (request, route, run) =>
        Effect.gen(function* () {
          const claim = yield* claimIn(request, route)
          return yield* run(claim).pipe(
            Effect.tapError((error) => (isKeyTaken(error) ? Effect.void : failIfTaken(claim))),
            Effect.catchIf(isKeyTaken, () => recall(claim!)),
          )
        }),
    }
  }),
)

const isKeyTaken = (error: unknown): error is KeyTaken => error instanceof KeyTaken

const claimIn = (request: HttpServerRequest.HttpServerRequest, route: string) =>
  Effect.gen(function* () {
    const key = request.headers["idempotency-key"]
    if (key === undefined) return undefined
    if (!keyPattern.test(key)) return yield* new InvalidIdempotencyKey({})
    const body = yield* Effect.orDie(request.text)
    return { route, key, hash: createHash("sha256").update(canonical(body)).digest("base64url") }
  })

/** The same text for the same JSON, whatever the order of members and the white space (in the manner of RFC 8785). */
const canonical = (body: string): string => {
  try {
    return JSON.stringify(JSON.parse(body), (_, value: unknown) =>
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
        : value,
    )
  } catch {
    // Nested too deeply to be walked: compared as it stands.
    return body
  }
}
