import { type Decoded, decode, isStructured, keyIn } from "../../events/cloudEvents.ts"
import type { Received } from "../../events/EventBus.ts"
import type { LoggedEvent } from "../LoggedEvent.ts"
import { type Contracts, textOf, withoutSecrets } from "../personal.ts"
import { shownOf } from "../shown.ts"

/** Which records are wanted. A member that is left out matches all. */
export interface Wanted {
  readonly key?: string
  readonly order_id?: number
  readonly event_id?: string
}

/** Whether a record is wanted. It is parsed only where its key, its headers and its bytes do not say otherwise. */
export const matching =
  ({ key, order_id, event_id }: Wanted) =>
  (record: Received): boolean => {
    const { headers } = record
    if (key !== undefined && record.key !== null && record.key !== key) return false
    if (event_id !== undefined && !isStructured(headers) && (headers["ce_id"] ?? event_id) !== event_id) return false
    if (order_id !== undefined && !bytesOf(record).includes(String(order_id))) return false
    if (key === undefined && order_id === undefined && event_id === undefined) return true
    const decoded = decode(record)
    const data = decoded._tag === "Event" ? decoded.envelope.data : undefined
    return (
      (key === undefined || (record.key ?? keyIn(data)) === key) &&
      (event_id === undefined || idOf(decoded, record) === event_id) &&
      (order_id === undefined || orderIn(data) === order_id)
    )
  }

/** A record as operators see it, with what is personal hidden by these contracts if there are some. */
export const loggedOf = (record: Received, hiddenBy?: Contracts): LoggedEvent => {
  const { topic, partition, offset, headers } = record
  const decoded = decode(record)
  const shown = record.value === null ? { data: null, time: null } : shownOf(textOf(record, hiddenBy), headers)
  const isEvent = decoded._tag === "Event"
  return {
    topic,
    partition,
    offset,
    time: new Date(record.time),
    event: {
      id: idOf(decoded, record),
      source: sourceOf(decoded, record),
      type: isEvent ? decoded.envelope.type : topic,
      time: shown.time,
      subject: subjectOf(record),
      key: record.key ?? keyIn(isEvent ? decoded.envelope.data : undefined),
      data: shown.data,
      headers: withoutSecrets(headers),
    },
  }
}

const bytesOf = ({ value }: Received): Buffer =>
  value === null ? Buffer.alloc(0) : Buffer.from(value.buffer, value.byteOffset, value.byteLength)

const idOf = (decoded: Decoded, { headers }: Received): string =>
  decoded._tag === "Event" ? decoded.envelope.id : decoded._tag === "Malformed" ? decoded.id : (headers["ce_id"] ?? "")

const sourceOf = (decoded: Decoded, { headers, topic }: Received): string =>
  decoded._tag === "Event"
    ? decoded.envelope.source
    : decoded._tag === "Malformed"
      ? decoded.source
      : (headers["ce_source"] ?? `/foreign/${topic}`)

/** CloudEvents' `subject`; of a structured event it is in the value. */
const subjectOf = (record: Received): string | null => {
  if (!isStructured(record.headers)) return record.headers["ce_subject"] ?? null
  try {
    const { subject }: { readonly subject?: unknown } = JSON.parse(bytesOf(record).toString()) ?? {}
    return typeof subject === "string" ? subject : null
  } catch {
    return null
  }
}

/** The order that a record is about. */
export const orderOf = (record: Received): number | undefined => {
  const decoded = decode(record)
  const id = decoded._tag === "Event" ? orderIn(decoded.envelope.data) : undefined
  return Number.isSafeInteger(id) ? id : undefined
}

const orderIn = (data: unknown): number | undefined =>
  typeof data === "object" && data !== null && "order_id" in data ? Number(data.order_id) : undefined
