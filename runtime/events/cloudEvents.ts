import { createHash } from "node:crypto"
import { isUtf8 } from "node:buffer"
import type { Outgoing, Received } from "./EventBus.ts"

/** A CloudEvent whose data is not decoded yet. */
export interface Envelope {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly time: Date
  readonly version: number
  readonly key: string | null
  readonly data: unknown
}

/** The result of `decode`. */
export type Decoded =
  | { readonly _tag: "Event"; readonly envelope: Envelope }
  | { readonly _tag: "Malformed"; readonly reason: string; readonly id: string; readonly source: string }
  | { readonly _tag: "Tombstone" }

/** The version in a `dataschema` of Galleria, or in another that ends in `/<type>/<version>`; otherwise 1. */
const versionOf = (type: string, schema: string | undefined): number => {
  const [, named = "", version] = /^(.*)\/(\d+)$/su.exec(schema ?? "") ?? []
  const isOwn = named === `/schemas/${type}`
  const isVersion = isOwn || (named.endsWith(`/${type}`) && /^[1-9]\d{0,2}$/u.test(version!))
  return isVersion ? Number(version) : 1
}

const iso = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?([Zz]|[+-]\d\d:\d\d)?$/u

/** Unix ms of an RFC 3339 time; UTC when it has no zone. NaN for any other text. */
const millisOf = (time: string): number => {
  const parts = iso.exec(time)
  return parts === null ? Number.NaN : Date.parse(parts[1] === undefined ? `${time}Z` : time)
}

/** Encodes an event as a record in CloudEvents' binary mode: the value is the data alone. */
export const encode = (event: {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly version: number
  readonly key: string
  readonly subject: string
  readonly time: string
  readonly traceparent: string | null
  readonly data: string
}): Outgoing => ({
  topic: event.type,
  key: event.key,
  value: Buffer.from(event.data),
  headers: {
    ce_specversion: "1.0",
    ce_id: event.id,
    ce_source: event.source,
    ce_type: event.type,
    ce_subject: event.subject,
    ce_time: event.time,
    ce_dataschema: `/schemas/${event.type}/${event.version}`,
    "content-type": "application/json",
    ...(event.traceparent === null ? {} : { traceparent: event.traceparent }),
  },
})

/** Whether a record is in CloudEvents' structured mode: its value is the whole event, not only its data. */
export const isStructured = (headers: Readonly<Record<string, string>>): boolean =>
  /^application\/cloudevents\+json\b/iu.test(headers["content-type"] ?? "")

/**
 * Decodes a record in CloudEvents' binary or structured mode, or bare JSON of a foreign producer. Never throws.
 *
 * The id of bare JSON, and of a record that cannot be decoded, is derived from its topic, partition, offset, time and value:
 * the same record has the same id each time that it is read, and a recreated topic does not repeat ids.
 */
export const decode = (record: Received): Decoded => {
  if (record.value === null) return { _tag: "Tombstone" }
  const value = Buffer.from(record.value.buffer, record.value.byteOffset, record.value.byteLength)
  // Computed on demand: its hashes take longer than everything else here.
  const foreign = () => ({ id: foreignId(record, value), source: `/foreign/${record.topic}` })
  const malformed = (reason: string): Decoded => ({ _tag: "Malformed", reason, ...foreign() })

  if (value.length === 0) return malformed("the value is empty")
  if (!isUtf8(value)) return malformed("the value is not UTF-8")
  let json: unknown
  try {
    json = JSON.parse(value.toString())
  } catch {
    return malformed("the value is not JSON")
  }
  if (!isObject(json)) return malformed("the value is not a JSON object")

  const structured = isStructured(record.headers)
  const said: Record<string, unknown> = structured ? json : fromHeaders(record.headers)
  const bare = !structured && !Object.keys(record.headers).some((name) => name.startsWith("ce_"))
  if (bare) return event({ ...foreign(), type: record.topic, time: record.time, schema: undefined, data: json }, record)

  const { specversion, id, source, type, time, dataschema } = said
  if (!isName(id) || !isName(source) || !isName(type)) {
    return malformed("CloudEvents' id, source and type are needed, as text of at most 200 characters")
  }
  if (specversion !== "1.0") return malformed(`CloudEvents' specversion is ${show(specversion)}, not 1.0`)
  if (type !== record.topic) return malformed(`the type ${show(type)} is not that of the topic ${record.topic}`)
  if (structured && !isObject(json["data"])) return malformed("the structured event has no data that is an object")
  return event(
    {
      id,
      source,
      type,
      time: typeof time === "string" ? millisOf(time) : Number.NaN,
      schema: typeof dataschema === "string" ? dataschema : undefined,
      data: structured ? json["data"] : json,
    },
    record,
  )
}

const event = (
  said: { id: string; source: string; type: string; time: number; schema: string | undefined; data: unknown },
  record: Received,
): Decoded => ({
  _tag: "Event",
  envelope: {
    id: said.id,
    source: said.source,
    type: said.type,
    time: new Date([said.time, record.time, 0].find(isTime)!),
    version: versionOf(said.type, said.schema),
    key: storable(record.key ?? keyIn(said.data)),
    data: said.data,
  },
})

const fromHeaders = (headers: Readonly<Record<string, string>>): Record<string, string> => {
  const said: Record<string, string> = {}
  for (const name of Object.keys(headers)) if (name.startsWith("ce_")) said[name.slice(3)] = headers[name]!
  return said
}

/** The key of an event whose record has none: `user_id` of its data. */
export const keyIn = (data: unknown): string | null => {
  const user = isObject(data) ? data["user_id"] : undefined
  return typeof user === "number" || (typeof user === "string" && user !== "") ? String(user) : null
}

/** A foreign key may be any text. One that a database cannot store or index is replaced by its hash. */
export const storable = (key: string | null): string | null =>
  key === null || isName(key) ? key : createHash("sha256").update(key).digest("hex")

const isTime = (millis: number) => millis >= 0 && millis < Date.UTC(10_000, 0)

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** 1 to 200 code points that every database can store. */
const isName = (value: unknown): value is string =>
  typeof value === "string" && /^[^\0]{1,200}$/u.test(value) && value.isWellFormed()

// Only text is quoted: JSON.stringify overflows the stack on a value that is nested too deep.
const show = (value: unknown): string =>
  typeof value === "string" ? JSON.stringify(value.slice(0, 80)) : value === undefined ? "missing" : `a ${typeof value}`

/** The namespace of the UUIDv5s of foreign records (RFC 9562 §5.5). */
const namespace = Buffer.from("6f0c1b1e5d0e5b6f9b0a3f6f3c8f7a52", "hex")

const foreignId = (record: Received, value: Buffer): string => {
  const hash = createHash("sha1")
    .update(namespace)
    .update(`${record.topic}\n${record.partition}\n${record.offset}\n${record.time}\n`)
    .update(createHash("sha256").update(value).digest())
    .digest()
  hash[6] = (hash[6]! & 0x0f) | 0x50
  hash[8] = (hash[8]! & 0x3f) | 0x80
  const hex = hash.toString("hex", 0, 16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
