import { type Json, nameOf } from "../http/openapi/jsonSchema.ts"
import { type Difference, differencesOf } from "./compare.ts"
import type { Contract, ReleasedEvent } from "./released.ts"

/** A change of a contract that breaks others. */
export interface Break {
  /** What changed, and whom it breaks, in sentences. */
  readonly words: string
  /** The event that a new version mends: readers of the old one wait until they are upgraded. Undefined: nothing mends it. */
  readonly mendedByVersionOf: string | undefined
}

/** The names of the reactions to a type of event. */
export type ReadersOf = (type: string) => ReadonlyArray<string>

const unmendable = (words: string): Break => ({ words, mendedByVersionOf: undefined })

/** Finds what breaks others, from the released contract of a module to today's. */
export const breaksOf = (released: Contract, today: Contract, readersOf: ReadersOf): ReadonlyArray<Break> => [
  ...latestOf(released.events).flatMap((event) => eventBreaks(event, released, today, readersOf)),
  ...(released.openapi === undefined || today.openapi === undefined
    ? []
    : apiBreaks(released.openapi, today.openapi).map(unmendable)),
]

const latestOf = (events: ReadonlyArray<ReleasedEvent>) => [
  ...new Map(events.toSorted((a, b) => a.version - b.version).map((event) => [event.type, event])).values(),
]

const eventBreaks = (
  latest: ReleasedEvent,
  released: Contract,
  today: Contract,
  readersOf: ReadersOf,
): ReadonlyArray<Break> => {
  const { type } = latest
  const readers = listOf(readersOf(type))
  const event = today.events.find((one) => one.type === type)
  if (event === undefined) {
    return [unmendable(`${type} is no longer published: ${readers} get no more of them.`)]
  }
  if (event.version < latest.version) {
    return [
      unmendable(
        `${type} has version ${event.version}, and version ${latest.version} was released: it cannot go back.`,
      ),
    ]
  }
  return [
    ...(event.key === latest.key
      ? []
      : [
          unmendable(
            `The key of ${type} was \`${latest.key}\`, and is \`${event.key}\`: events of one \`${latest.key}\` move to several partitions, and ${readers} lose their order. Publish a new type of event instead.`,
          ),
        ]),
    ...(event.subject === latest.subject
      ? []
      : [
          unmendable(
            `The subject of ${type} was \`${latest.subject}\`, and is \`${event.subject}\`: programs that filter by \`ce_subject\` break.`,
          ),
        ]),
    ...(latest.keptForever && !event.keptForever
      ? [unmendable(`${type} is no longer kept forever: a module that is added later lacks its history.`)]
      : []),
    ...released.events.filter((one) => one.type === type).flatMap((one) => dataBreaks(one, event, readers)),
  ]
}

/** Records of every version are on the log; only readers of the same version get today's. */
const dataBreaks = (was: ReleasedEvent, is: ReleasedEvent, readers: string): ReadonlyArray<Break> => {
  const isSameVersion = was.version === is.version
  const schemaIn = ({ schema }: ReleasedEvent) => ({ schema, defs: schema["$defs"] ?? {} })
  return differencesOf(schemaIn(was), schemaIn(is)).flatMap((one) => {
    const subject = `${was.type} ${was.version}: ${subjectOf(one)}.`
    const refused = one.breaksNewReaders ? `Today's readers refuse events that were published before: ${readers}.` : ""
    const broken =
      one.breaksOldReaders && isSameVersion ? `Readers of the last release break on today's events: ${readers}.` : ""
    const words = [subject, refused, broken].filter((sentence) => sentence !== "").join(" ")
    if (refused !== "") return [unmendable(words)]
    return broken === "" ? [] : [{ words, mendedByVersionOf: was.type }]
  })
}

const subjectOf = ({ at, words }: Difference) => (at === "" ? `the value ${words}` : `\`${at}\` ${words}`)

const listOf = (readers: ReadonlyArray<string>) =>
  readers.length === 0 ? "other programs" : `${readers.join(", ")} and other programs`

/** Finds what breaks clients, from an OpenAPI document to a later one. */
export const apiBreaks = (before: Json, after: Json): ReadonlyArray<string> => {
  const [was, is] = [operationsIn(before), operationsIn(after)]
  return [...was].flatMap(([name, operation]) => {
    const now = is.get(name)
    if (now === undefined) return [`${name} is removed: its clients get 404 or 405.`]
    const scope = { before, after }
    return [
      ...parameterBreaks(operation, now, scope),
      ...bodyBreaks(operation, now, scope),
      ...answerBreaks(operation, now, scope),
    ].map((words) => `${name}: ${words}`)
  })
}

interface Documents {
  readonly before: Json
  readonly after: Json
}

const operationsIn = ({ paths }: Json) =>
  new Map(
    Object.entries<Json>(paths).flatMap(([path, item]) =>
      Object.entries<Json>(item).map(([method, operation]) => [`${method.toUpperCase()} ${path}`, operation]),
    ),
  )

const schemasOf = (document: Json) => document["components"].schemas ?? {}

/** What clients send: values that were accepted and are not, and members that are not read any more. */
const requestBreaks = (what: string, was: Json, is: Json, { before, after }: Documents) =>
  differencesOf({ schema: was, defs: schemasOf(before) }, { schema: is, defs: schemasOf(after) })
    .filter((one) => one.breaksNewReaders || one.isRemoval)
    .map((one) => `${what}, ${subjectOf(one)}: requests of existing clients are refused or lose a value.`)

/** What clients get: values that they do not know, and members that they miss. */
const answersBreaks = (what: string, was: Json, is: Json, { before, after }: Documents) =>
  differencesOf({ schema: was, defs: schemasOf(before) }, { schema: is, defs: schemasOf(after) })
    .filter((one) => one.breaksOldReaders)
    .map((one) => `${what}, ${subjectOf(one)}: existing clients cannot read it.`)

const parameterBreaks = (was: Json, is: Json, documents: Documents) => {
  const named = ({ parameters = [] }: Json) =>
    new Map<string, Json>(parameters.map((one: Json) => [`the ${one["in"]} parameter \`${one["name"]}\``, one]))
  const [before, after] = [named(was), named(is)]
  return [
    ...[...before].flatMap(([name, parameter]) => {
      const now = after.get(name)
      if (now === undefined) return [`${name} is removed: it no longer has an effect.`]
      return [
        ...(now["required"] && !parameter["required"] ? [`${name} is newly required.`] : []),
        ...requestBreaks(name, parameter["schema"], now["schema"], documents),
      ]
    }),
    ...[...after]
      .filter(([name, one]) => one["required"] && !before.has(name))
      .map(([name]) => `${name} is new, and required.`),
  ]
}

const bodyBreaks = ({ requestBody: was }: Json, { requestBody: is }: Json, documents: Documents) => {
  if (was === undefined) return is?.["required"] ? ["a body is newly required."] : []
  if (is === undefined) return ["the body is removed: it no longer has an effect."]
  return [
    ...(is["required"] && !was["required"] ? ["the body is newly required."] : []),
    ...Object.entries<Json>(was["content"]).flatMap(([type, { schema }]) => {
      const now = is["content"][type]
      if (now === undefined) return [`a body as ${type} is no longer accepted.`]
      return requestBreaks("in the body", schema, now.schema, documents)
    }),
  ]
}

const answerBreaks = (was: Json, is: Json, documents: Documents) =>
  Object.entries<Json>(was["responses"]).flatMap(([status, one]) => {
    const found = is["responses"][status]
    if (found === undefined) return [`the status ${status} is removed: clients that expect it break.`]
    const [answer, now] = [resolved(one, documents.before), resolved(found, documents.after)]
    const headers = Object.keys(answer["headers"] ?? {}).filter((name) => !(name in (now["headers"] ?? {})))
    return [
      ...headers.map((name) => `the answer ${status} no longer has the header ${name}.`),
      ...Object.entries<Json>(answer["content"] ?? {}).flatMap(([type, { schema }]) => {
        const media = now["content"]?.[type]
        if (media === undefined) return [`the answer ${status} is no longer sent as ${type}.`]
        return type === "application/problem+json"
          ? problemBreaks(status, schema, media.schema, documents)
          : answersBreaks(`in the answer ${status}`, schema, media.schema, documents)
      }),
    ]
  })

/** An answer may be shared between operations. */
const resolved = (answer: Json, document: Json): Json =>
  answer["$ref"] === undefined ? answer : document["components"].responses[nameOf(answer["$ref"])]

/** A status may have several problems; further ones break no client, which has to expect unknown problems. */
const problemBreaks = (status: string, was: Json, is: Json, documents: Documents) => {
  const [before, after] = [problemsIn(was, documents.before), problemsIn(is, documents.after)]
  return [...before].flatMap(([type, schema]) => {
    const now = after.get(type)
    if (now === undefined) return [`the problem ${type} (${status}) is removed: clients that distinguish it break.`]
    return answersBreaks(`in the problem ${type}`, schema, now, documents)
  })
}

const problemsIn = (schema: Json, document: Json) =>
  new Map<string, Json>(
    (schema["anyOf"] ?? [schema]).map((one: Json) => {
      const problem = one["$ref"] === undefined ? one : schemasOf(document)[nameOf(one["$ref"])]
      return [problem["properties"].type.enum[0], problem]
    }),
  )
