import { Schema } from "effect"
import type { EventType } from "../events/Event.ts"
import { type Json, options, tidy } from "../http/openapi/jsonSchema.ts"

/** The path of an event's schema: its `ce_dataschema`. */
export const pathOf = ({ type, version }: Pick<EventType, "type" | "version">) => `/schemas/${type}/${version}`

/** The JSON Schema (2020-12) of an event's data, as it is on the wire. */
export const schemaOf = (event: EventType): Json => {
  const { schema, definitions } = Schema.toJsonSchemaDocument(event.data, options)
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    $id: pathOf(event),
    title: event.type,
    ...(tidy(schema) as Json),
    ...(Object.keys(definitions).length === 0 ? {} : { $defs: tidy(definitions) }),
  }
}
