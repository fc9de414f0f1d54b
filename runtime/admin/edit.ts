import { Effect } from "effect"
import { ofNoReaction } from "../delivery/outcome.ts"
import { decode, type Envelope, isStructured } from "../events/cloudEvents.ts"
import type { Received } from "../events/EventBus.ts"
import { inputFaultsOf, pointerOf } from "../http/edge/inputFaults.ts"
import { ValidationFailed } from "../http/Problem.ts"
import type { Reaction } from "../module/Reaction.ts"
import { memberIn, replaced } from "./jsonText.ts"
import { textOf } from "./personal.ts"

/** The member of the body that has the data. */
const member = "data"

const isJson = (text: string) => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** A structured event whose envelope cannot be read stays as it is. */
const inEnvelope = (envelope: string, data: string) => {
  const place = isJson(envelope) ? memberIn(envelope, member) : undefined
  return place === undefined ? envelope : replaced(envelope, [{ ...place, by: data }])
}

/**
 * A record with other data, as JSON text. It stays the same event: the id of bare JSON follows from its value, so such a
 * record gets CloudEvents' headers with the id and source that it had.
 */
export const withData = (record: Received, data: string): Received => {
  if (isStructured(record.headers))
    return { ...record, value: Buffer.from(inEnvelope(textOf(record, undefined), data)) }
  const value = Buffer.from(data)
  if (Object.keys(record.headers).some((name) => name.startsWith("ce_"))) return { ...record, value }
  const found = decode(record)
  if (found._tag === "Tombstone") return { ...record, value }
  const { id, source } = found._tag === "Event" ? found.envelope : found
  const said = { ce_specversion: "1.0", ce_id: id, ce_source: source, ce_type: record.topic }
  return { ...record, headers: { ...record.headers, ...said }, value }
}

const refused = (detail: string) =>
  Effect.fail(new ValidationFailed({ errors: [{ pointer: pointerOf([member]), detail }] }))

const checkOne = (reaction: Reaction<never>, { version, type, data }: Envelope) =>
  Effect.gen(function* () {
    if (version > reaction.event.version) {
      return yield* refused(
        `version ${version} of ${type} is newer than ${reaction.event.version}, which this release knows`,
      )
    }
    yield* Effect.catchTag(reaction.decode(data), "SchemaError", ({ issue }) =>
      Effect.fail(
        new ValidationFailed({ errors: inputFaultsOf(issue, (path) => ({ pointer: pointerOf([member, ...path]) })) }),
      ),
    )
  })

/**
 * Fails when a record with other data does not satisfy the schema of its event. `reaction` is that of its dead letter; a
 * record that could not be read is for every reaction to its topic.
 */
export const checkEdited = (record: Received, reaction: string, reactions: ReadonlyArray<Reaction<never>>) =>
  Effect.gen(function* () {
    const found = decode(record)
    if (found._tag === "Malformed") return yield* refused(found.reason)
    const own = reactions.find(({ name, event }) =>
      reaction === ofNoReaction ? event.type === record.topic : name === reaction,
    )
    if (own === undefined || found._tag === "Tombstone") {
      return yield* refused(`this release has no reaction ${reaction} to ${record.topic}`)
    }
    yield* checkOne(own, found.envelope)
  })
