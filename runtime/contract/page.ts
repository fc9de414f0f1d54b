import type { Json } from "../http/openapi/jsonSchema.ts"

const html = (text: string) => text.replaceAll(/[&<>"']/gu, (character) => `&#${character.codePointAt(0)};`)

/** Text with code in back-ticks. */
const prose = (text: string) => html(text).replaceAll(/`([^`]+)`/gu, "<code>$1</code>")

const code = (text: string) => `<code>${html(text)}</code>`

/** The events of an AsyncAPI document as a section of the page `/docs`. */
export const eventsSection = (document: Json): string => {
  const channels = Object.keys(document["channels"])
  return `<section style="font: 14px/1.5 sans-serif; max-width: 1420px; margin: 2rem auto; padding: 0 20px; color: #3b4151">
<h2 id="events">Events</h2>
<p>Also as AsyncAPI 3.0 at <code>/asyncapi.json</code>.</p>
${paragraphs(document["info"].description)}
${channels.map((type) => eventOf(type, document)).join("\n")}
</section>`
}

const paragraphs = (text: string) =>
  text
    .split("\n\n")
    .map((paragraph) => `<p>${prose(paragraph).replaceAll(/\*\*(.+?)\*\*/gu, "<b>$1</b>")}</p>`)
    .join("\n")

const eventOf = (type: string, document: Json) => {
  const { payload, examples } = document["components"].messages[type]
  const operations = Object.entries<Json>(document["operations"]).filter(
    ([, { channel }]) => channel.$ref === `#/channels/${type}`,
  )
  const namesOf = (action: string) =>
    operations
      .filter(([, one]) => one["action"] === action)
      .map(([name, { summary }]) => `<li>${code(name)}: ${prose(summary)}</li>`)
  const schema = document["components"].messages[type].headers.properties.ce_dataschema.enum[0]
  return `<details id="events/${html(type)}" style="border-top: 1px solid #d9d9d9; padding: .5rem 0">
<summary>${code(type)} ${prose(payload.description ?? "")}</summary>
<p>${prose(document["channels"][type].description)} Schema: ${code(schema)}.</p>
<table>
<tr style="text-align: left"><th>member</th><th>type</th><th></th></tr>
${membersOf(payload, document).join("\n")}
</table>
<pre>${html(JSON.stringify(examples[0].payload, undefined, 2))}</pre>
<ul>
${[...namesOf("send"), ...namesOf("receive")].join("\n")}
</ul>
</details>`
}

const membersOf = ({ properties, required = [] }: Json, document: Json) =>
  Object.entries<Json>(properties).map(([name, schema]) => {
    const notes = [required.includes(name) ? "" : "optional", resolve(schema, document)["description"] ?? ""]
    const note = notes.filter((one) => one !== "").join("; ")
    return `<tr><td>${code(name)}</td><td>${html(typeOf(schema, document))}</td><td>${prose(note)}</td></tr>`
  })

const resolve = (schema: Json, document: Json): Json =>
  schema["$ref"] === undefined ? schema : document["components"].schemas[schema["$ref"].split("/").at(-1)]

/** A schema's type in a few words. */
const typeOf = (schema: Json, document: Json): string => {
  const { type, enum: values, anyOf, items } = resolve(schema, document)
  if (values !== undefined) return values.join(" | ")
  if (anyOf !== undefined) return [...new Set(anyOf.map((one: Json) => typeOf(one, document)))].join(" | ")
  return type === "array" ? `list of ${typeOf(items, document)}` : type
}
