import type { NonEmptyReadonlyArray } from "effect/Array"
import type { Batch, KafkaMessage, Message } from "kafkajs"
import type { Outgoing, Received, Span } from "../EventBus.ts"

/** Bytes of keys, values and headers in one produce request: below the broker's limit of one batch (1 MB). */
const mostBytes = 900_000

/** Records in one call of `handle`. A rebalance waits for the running call. */
export const mostRecords = 500

/** A record as kafkajs sends it. */
export const messageOf = ({ key, value, headers }: Outgoing): Message => ({
  key,
  value: value === null ? null : Buffer.from(value.buffer, value.byteOffset, value.byteLength),
  headers,
})

/** Divides records into as few produce requests as their size allows, in order. */
export const requestsOf = (records: ReadonlyArray<Outgoing>): ReadonlyArray<ReadonlyArray<Outgoing>> => {
  const requests: Array<Array<Outgoing>> = []
  let bytes = Infinity
  for (const record of records) {
    const size = sizeOf(record)
    if (bytes + size > mostBytes) {
      requests.push([])
      bytes = 0
    }
    requests.at(-1)!.push(record)
    bytes += size
  }
  return requests
}

/** Approximate bytes of a record. A request that is too large all the same is sent again in halves. */
const sizeOf = ({ key, value, headers }: Outgoing): number =>
  (key?.length ?? 0) +
  (value?.byteLength ?? 0) +
  Object.entries(headers).reduce((sum, [name, text]) => sum + name.length + text.length, 100)

/** What one call of `handle` gets. */
export interface Slice {
  readonly records: NonEmptyReadonlyArray<Received>
  readonly span: Span
}

/**
 * Divides a batch, from the offset `begin` on, into calls of `handle`. Offsets have holes, so the span of the last slice
 * ends where the batch ends, not after its last record.
 */
export const slicesOf = function* (
  batch: Pick<Batch, "topic" | "partition" | "messages" | "lastOffset">,
  begin: number,
): Generator<Slice> {
  const { topic, partition, messages } = batch
  const due = messages.filter(({ offset }) => Number(offset) >= begin)
  let from = begin
  for (let at = 0; at < due.length; at += mostRecords) {
    const [first, ...rest] = due.slice(at, at + mostRecords).map((message) => receivedOf(topic, partition, message))
    const isLast = at + mostRecords >= due.length
    const next = isLast ? Number(batch.lastOffset()) + 1 : (rest.at(-1) ?? first!).offset + 1
    yield { records: [first!, ...rest], span: { topic, partition, from, next } }
    from = next
  }
}

/** A record as `handle` gets it. */
export const receivedOf = (topic: string, partition: number, message: KafkaMessage): Received => ({
  topic,
  partition,
  offset: Number(message.offset),
  time: Number(message.timestamp),
  key: message.key === null ? null : message.key.toString(),
  value: message.value,
  headers: headersOf(message.headers),
})

/** Header names in lower case. Of a repeated header the last value is taken; a header without a value is dropped. */
const headersOf = (headers: KafkaMessage["headers"] = {}): Readonly<Record<string, string>> => {
  const texts: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    const last = Array.isArray(value) ? value.at(-1) : value
    // A header of Kafka may have no value, which the types of kafkajs do not say.
    if (last !== undefined && last !== null) texts[name.toLowerCase()] = last.toString()
  }
  return texts
}
