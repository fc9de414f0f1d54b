import { Exit, Schema } from "effect"
import { decode, isStructured } from "../events/cloudEvents.ts"
import type { EventType } from "../events/Event.ts"
import type { Received } from "../events/EventBus.ts"
import { type Json, nameOf } from "../http/openapi/jsonSchema.ts"
import { withoutAddresses } from "../telemetry/logs.ts"
import { replaced, valuesIn } from "./jsonText.ts"

/** Deeper JSON is hidden whole, because it is shown as text. */
const deepest = 100

/** The members of an event's data that its contract annotates as `personal`, and what it needs to judge other values. */
interface Contract {
  /** What a value is called that is personal, by its path; `*` stands for any item. */
  readonly personal: ReadonlyMap<string, string>
  /** The values of its enumerations. */
  readonly words: ReadonlySet<string>
  readonly fits: (data: unknown) => boolean
}

const nothingKnown: Contract = { personal: new Map(), words: new Set(), fits: () => false }

const pathName = (path: ReadonlyArray<string | number>) =>
  path.map((part) => (typeof part === "number" ? "*" : part)).join("/")

const readContract = (event: EventType): Contract => {
  const { schema, definitions } = Schema.toJsonSchemaDocument(event.data, {
    includeAnnotationKey: (key) => key === "personal",
  })
  const personal = new Map<string, string>()
  const words = new Set<string>()
  const walk = (part: Json, path: ReadonlyArray<string>): void => {
    const { $ref, properties = {}, items, anyOf = [], allOf = [] } = part
    if (typeof $ref === "string") walk(definitions[nameOf($ref)]!, path)
    if (typeof part["personal"] === "string") personal.set(path.join("/"), part["personal"])
    for (const word of part["enum"] ?? []) if (typeof word === "string") words.add(word)
    for (const [name, member] of Object.entries<Json>(properties)) walk(member, [...path, name])
    if (items !== undefined) walk(items, [...path, "*"])
    for (const one of [...anyOf, ...allOf]) walk(one, path)
  }
  walk(schema, [])
  const decodeData = Schema.decodeUnknownExit(event.data)
  return { personal, words, fits: (data) => Exit.isSuccess(decodeData(data)) }
}

/** What is known about types of events, for hiding what is personal. */
export const contractsOf = (events: Iterable<EventType>) => {
  const known = new Map([...events].map((event) => [event.type, event]))
  const read = new Map<string, Contract>()
  return (type: string, version: number): Contract => {
    const event = known.get(type)
    if (event === undefined || version > event.version) return nothingKnown
    if (!read.has(type)) read.set(type, readContract(event))
    return read.get(type)!
  }
}

export type Contracts = ReturnType<typeof contractsOf>

/** What stands in the place of a value. */
export interface Hidden {
  readonly hidden: string
}

const hiddenAs = (what: string, length: number): Hidden => ({
  hidden: `${what}, ${length} ${length === 1 ? "character" : "characters"}`,
})

const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/iu
const id = /^[\w.:-]{1,64}$/u
const idName = /(?:^|_)id$/u
const money = /^-?\d{1,12}\.\d{2}$/u

/** Whether a text of an event that does not satisfy its schema may be shown. */
const isPlain = (text: string, name: string | number | undefined, words: ReadonlySet<string>) =>
  uuid.test(text) || money.test(text) || words.has(text) || (idName.test(String(name)) && id.test(text))

/** CloudEvents' attributes in the envelope of a structured event. */
const attributes = new Set([
  "specversion",
  "id",
  "source",
  "type",
  "time",
  "subject",
  "dataschema",
  "datacontenttype",
  "traceparent",
])

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const isTooDeep = (text: string): boolean => {
  let depth = 0
  for (const [token] of text.matchAll(/"(?:[^"\\]+|\\.)*"|[{}[\]]/gu)) {
    if (token === "{" || token === "[") depth++
    else if (token === "}" || token === "]") depth--
    if (depth > deepest) return true
  }
  return false
}

interface Text {
  readonly text: string
  /** The member of an envelope that has the data; undefined: the text is the data. */
  readonly envelope: "data" | undefined
  readonly contract: Contract
  readonly isFitting: boolean
}

/** JSON text with `{"hidden": …}` in the place of what is personal; text that is no JSON is hidden whole. */
const hideIn = ({ text, envelope, contract, isFitting }: Text): string => {
  if (parse(text) === undefined || isTooDeep(text)) return JSON.stringify(hiddenAs("text", text.length))
  const places: Array<{ start: number; end: number; by: string }> = []
  const hide = (start: number, end: number, what: string) => {
    // A place comes after those within it, which it replaces.
    while (places.length > 0 && places.at(-1)!.start >= start) places.pop()
    const value: unknown = JSON.parse(text.slice(start, end))
    const length = Array.from(typeof value === "string" ? value : text.slice(start, end)).length
    places.push({ start, end, by: JSON.stringify(hiddenAs(what, length)) })
  }
  for (const { path, start, end } of valuesIn(text, deepest)) {
    const [first] = path
    const own = envelope === undefined ? path : first === envelope ? path.slice(1) : undefined
    const what = own === undefined ? undefined : contract.personal.get(pathName(own))
    if (what !== undefined) hide(start, end, what)
    else if (!isFitting && text[start] === '"' && !(own === undefined && attributes.has(String(first)))) {
      if (!isPlain(JSON.parse(text.slice(start, end)) as string, path.at(-1), contract.words)) hide(start, end, "text")
    }
  }
  return replaced(text, places)
}

/** The text of a record with what is personal hidden. */
export const hidePersonal = (record: Received, contracts: Contracts): string => {
  const text = Buffer.from(record.value ?? []).toString()
  const decoded = decode(record)
  const envelope = isStructured(record.headers) ? "data" : undefined
  if (decoded._tag !== "Event") return hideIn({ text, envelope, contract: nothingKnown, isFitting: false })
  const { type, version, data } = decoded.envelope
  const contract = contracts(type, version)
  return hideIn({ text, envelope, contract, isFitting: contract.fits(data) })
}

/** The text of a record, with what is personal hidden by these contracts if there are some. */
export const textOf = (record: Received, hiddenBy: Contracts | undefined): string =>
  hiddenBy === undefined ? Buffer.from(record.value ?? []).toString() : hidePersonal(record, hiddenBy)

/** Data that was parsed, with what is personal hidden. */
export const hidePersonalData = (type: string, data: unknown, contracts: Contracts): unknown => {
  const contract = contracts(type, 1)
  return JSON.parse(
    hideIn({ text: JSON.stringify(data), envelope: undefined, contract, isFitting: contract.fits(data) }),
  )
}

const secretName = /^(?:authorization|cookie|.*(?:token|secret|key).*)$/iu

/** Headers without the values of those that may have a secret. */
export const withoutSecrets = (headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, secretName.test(name) ? "‹hidden›" : value]))

/** The text of an error without e-mail addresses. */
export const withoutMails = (error: string | null): string | null =>
  error === null ? null : withoutAddresses(error).replaceAll("…@…", "‹e-mail›")
