import manifest from "../../package.json" with { type: "json" }
import type { EventType } from "../events/Event.ts"
import type { Json } from "../http/openapi/jsonSchema.ts"
import { eventsOf, type Module } from "../module/Module.ts"
import { pathOf, schemaOf } from "./eventSchema.ts"
import { samplesOf } from "./samples.ts"

/** What the document needs of a module. */
export type Declared = Pick<Module, "name" | "publishes" | "reactions">

const rules = `Each type of event has a Kafka topic of the same name. A record's value is the event's data alone, as UTF-8 JSON; its headers are CloudEvents 1.0 in binary mode. Consumers also accept structured mode (\`application/cloudevents+json\`) and bare JSON without headers.

**Order.** The key selects the partition. A topic keeps the order of events of one key; across keys and topics there is none, so every reaction is correct in any order.

**Delivery** is at least once: \`ce_source\` and \`ce_id\` together identify an event.

**Compatibility.** Within a version, members may be added to the data; none is renamed or removed. Ignore unknown members.`

/** The AsyncAPI 3.0 document of just these modules. */
export const asyncApiOf = (modules: ReadonlyArray<Declared>): Json => {
  const events = eventsOf(modules)
  return {
    asyncapi: "3.0.0",
    info: {
      title: "Galleria",
      version: manifest.version,
      description: rules,
      license: { name: manifest.license },
    },
    defaultContentType: "application/json",
    channels: Object.fromEntries(events.map((event) => [event.type, channelOf(event)])),
    operations: Object.fromEntries(modules.flatMap((module) => [...sendsOf(module), ...receivesOf(module)])),
    components: {
      messages: Object.fromEntries(events.map((event) => [event.type, messageOf(event, modules)])),
      schemas: Object.assign({}, ...events.map((event) => inComponents(schemaOf(event)["$defs"] ?? {}))),
    },
  }
}

const channelOf = ({ type, key, keptForever }: EventType) => ({
  address: type,
  title: type,
  description: `The key of a record is \`${key}\` of its data: events of one \`${key}\` are in one partition, in order.${
    keptForever ? " Records are never removed." : ""
  }`,
  messages: { [type]: { $ref: `#/components/messages/${type}` } },
  bindings: { kafka: { topic: type, bindingVersion: "0.5.0" } },
})

const onChannel = ({ type }: EventType) => ({
  channel: { $ref: `#/channels/${type}` },
  messages: [{ $ref: `#/channels/${type}/messages/${type}` }],
})

const sendsOf = ({ name, publishes }: Declared) =>
  publishes.map((event) => [
    `${name}.${event.type}`,
    { action: "send", summary: `The module \`${name}\` publishes it.`, ...onChannel(event) },
  ])

const receivesOf = ({ name, reactions }: Declared) =>
  reactions.map((reaction) => [
    reaction.name,
    {
      action: "receive",
      summary: `The module \`${name}\` reacts to it.`,
      ...onChannel(reaction.event),
      bindings: {
        kafka: { groupId: { type: "string", enum: [`${name}_service_group`] }, bindingVersion: "0.5.0" },
      },
    },
  ])

const messageOf = (event: EventType, modules: ReadonlyArray<Declared>) => {
  const { $schema: _schema, $id: _id, $defs: _defs, title: _title, ...payload } = schemaOf(event)
  const source = modules.find(({ publishes }) => publishes.includes(event))?.name
  const headers = headersOf(event, source)
  return {
    name: event.type,
    title: event.type,
    summary: payload["description"],
    contentType: "application/json",
    headers,
    payload: inComponents(payload),
    bindings: { kafka: { key: { type: "string" }, bindingVersion: "0.5.0" } },
    examples: [{ name: event.type, headers: samplesOf(headers)[0].data, payload: samplesOf(schemaOf(event))[0].data }],
  }
}

/** The CloudEvents headers of a record; `source` is the module that publishes the event, if it runs here. */
const headersOf = (event: EventType, source: string | undefined) => {
  const fixed = (value: string) => ({ type: "string", enum: [value] })
  const text = (description: string, example: string, rest: Json = {}) => ({
    type: "string",
    description,
    ...rest,
    examples: [example],
  })
  return {
    type: "object",
    required: [
      "ce_specversion",
      "ce_id",
      "ce_source",
      "ce_type",
      "ce_subject",
      "ce_time",
      "ce_dataschema",
      "content-type",
    ],
    properties: {
      ce_specversion: fixed("1.0"),
      ce_id: text("A UUIDv7, made when the event is written.", "019b7f4e-5c3a-7d21-9b1e-3f6a5d0c8e42"),
      ce_source: source === undefined ? text("The publishing module.", "/galleria/x") : fixed(`/galleria/${source}`),
      ce_type: fixed(event.type),
      ce_subject: text(`The aggregate that the event is about: \`${event.subject}\` of the data.`, "1"),
      ce_time: text("When the event was written.", "2026-01-02T03:04:05.678Z", { format: "date-time" }),
      ce_dataschema: fixed(pathOf(event)),
      "content-type": fixed("application/json"),
      traceparent: text(
        "The W3C trace context of the event, if it has one.",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      ),
    },
  }
}

/** The same schemas, with references into the document's components. */
const inComponents = (part: any): any => {
  if (Array.isArray(part)) return part.map(inComponents)
  if (typeof part !== "object" || part === null) return part
  return Object.fromEntries(
    Object.entries<any>(part).map(([name, value]) => [
      name,
      name === "$ref" ? value.replace("#/$defs/", "#/components/schemas/") : inComponents(value),
    ]),
  )
}
