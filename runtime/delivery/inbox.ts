import { isUtf8 } from "node:buffer"
import { Clock, Effect } from "effect"
import { uuidV7Unsafe } from "effect/crypto/SecureRandom"
import type { SqlClient } from "effect/sql"

/** One event for one reaction. */
export interface Delivery {
  readonly reaction: string
  readonly source: string
  readonly event_id: string
  /** Deliveries of one key stay in order; null: of no key, holding nobody. */
  readonly key: string | null
}

/** What is kept of a delivery that steps aside. `event` is JSON text. */
export interface Aside extends Delivery {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly event: string
  readonly outcome: Outcome
}

export type Outcome =
  | { readonly status: "waiting" }
  | {
      readonly status: "retrying" | "parked"
      readonly attempts: number
      readonly reason: string
      readonly error: string
      /** When it is tried again; null when a person decides. */
      readonly due: Date | null
    }

/** A record's value inside JSON, byte by byte: as text where it is text. */
export interface KeptValue {
  readonly value: string
  readonly encoding?: "base64"
}

export const keepValue = (bytes: Uint8Array): KeptValue => {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return isUtf8(buffer) ? { value: buffer.toString() } : { value: buffer.toString("base64"), encoding: "base64" }
}

export const bytesOf = ({ value, encoding }: KeptValue): Buffer => Buffer.from(value, encoding ?? "utf8")

/**
 * The statements of DELIVERY.md, *Taking charge*, each to be run by itself inside one transaction, in this order. Their order is the
 * point: `takeCharge` may wait for another transaction, and only a later snapshot sees what that one parked.
 */
export const inbox = (sql: SqlClient.SqlClient) => {
  const idOf = (delivery: Pick<Delivery, "reaction" | "source" | "event_id">) =>
    JSON.stringify([delivery.reaction, delivery.source, delivery.event_id])

  return {
    /** Takes charge of deliveries, and returns those that nobody had taken charge of, each once. */
    takeCharge: <D extends Delivery>(deliveries: ReadonlyArray<D>) =>
      Effect.gen(function* () {
        const now = new Date(yield* Clock.currentTimeMillis)
        const rows = deliveries.map(({ reaction, source, event_id }, n) => ({ n, reaction, source, event_id }))
        const taken = yield* sql<Pick<Delivery, "reaction" | "source" | "event_id">>`
          insert into inbox (reaction, source, event_id, taken_at)
          select reaction, source, event_id, ${now}
          from json_to_recordset(${JSON.stringify(rows)}::json) as x (n int, reaction text, source text, event_id text)
          order by n on conflict do nothing returning reaction, source, event_id`
        const fresh = new Set(taken.map(idOf))
        return deliveries.filter((delivery) => fresh.delete(idOf(delivery)))
      }),

    /** Says which of the deliveries are of a key that is held. */
    heldOf: <D extends Delivery>(deliveries: ReadonlyArray<D>) =>
      Effect.gen(function* () {
        const keys = new Map(deliveries.map(({ reaction, key }) => [`${reaction} ${key}`, { reaction, key }]))
        const rows = yield* sql<{ reaction: string; key: string }>`
          select distinct h.reaction, h.key
          from held h join json_to_recordset(${JSON.stringify([...keys.values()])}::json) as x (reaction text, key text)
            on h.reaction = x.reaction and h.key = x.key
          where h.status in ('waiting', 'retrying', 'parked')`
        const held = new Set(rows.map(({ reaction, key }) => `${reaction} ${key}`))
        return (delivery: D) => delivery.key !== null && held.has(`${delivery.reaction} ${delivery.key}`)
      }),

    /**
     * Sets deliveries aside, in the order given. One that is set aside already stays as it is: its inbox row may be gone
     * before its dead letter is, and a copy of it must neither take effect nor stop its partition.
     */
    setAside: (entries: ReadonlyArray<Aside>) =>
      Effect.gen(function* () {
        if (entries.length === 0) return
        const now = new Date(yield* Clock.currentTimeMillis)
        const rows = entries.map(({ outcome, ...entry }, n) => ({
          ...entry,
          n,
          id: uuidV7Unsafe(),
          ...(outcome.status === "waiting"
            ? { status: "waiting", attempts: 0, due: now }
            : { ...outcome, failed: now }),
        }))
        yield* sql`
          insert into held (id, reaction, key, source, event_id, status, attempts, reason, error, topic, partition,
            "offset", event, due, first_failed_at, last_failed_at, created_at)
          select id, reaction, key, source, event_id, status, attempts, reason, error, topic, partition,
            "offset", event::json, due, failed, failed, ${now}
          from json_to_recordset(${JSON.stringify(rows)}::json) as x (n int, id text, reaction text, key text, source text,
            event_id text, status text, attempts int, reason text, error text, topic text, partition int,
            "offset" bigint, event text, due timestamptz, failed timestamptz)
          order by n on conflict (reaction, source, event_id) do nothing`
      }),
  }
}

export type Inbox = ReturnType<typeof inbox>
