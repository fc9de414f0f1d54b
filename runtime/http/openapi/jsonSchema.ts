/** A JSON Schema, or a document that contains some. */
export type Json = Record<string, any>

/** Keywords of JSON Schema that contracts annotate, because a check cannot express them. */
const keywords = new Set(["anyOf", "pattern", "minimum", "maximum"])

/** How schemas of a contract become JSON Schemas. */
export const options = { includeAnnotationKey: (key: string) => keywords.has(key) }

/** The last segment of a reference: the name of the schema. */
export const nameOf = (ref: string) => ref.slice(ref.lastIndexOf("/") + 1)

/** The example of a schema, or one made of the examples of its members; undefined where there is none. */
export const exampleOf = (schema: Json, schemas: Json): unknown => {
  const { $ref, examples, anyOf, type, items, properties } = schema
  if (examples !== undefined) return examples[0]
  if ($ref !== undefined) return exampleOf(schemas[nameOf($ref)], schemas)
  if (schema["enum"] !== undefined) return schema["enum"][0]
  if (type === "array") return [exampleOf(items, schemas)]
  if (properties !== undefined) {
    const members = Object.entries<Json>(properties).map(([name, member]) => [name, exampleOf(member, schemas)])
    return Object.fromEntries(members.filter(([, value]) => value !== undefined))
  }
  return anyOf === undefined ? undefined : exampleOf(anyOf[0], schemas)
}

/**
 * Simplifies a document: merges `allOf` into its schema, allows additional members, and removes the suffix `Encoded` from
 * names.
 */
export const tidy = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(tidy)
  if (typeof value !== "object" || value === null) return value
  const tidied: Json = Object.fromEntries(
    Object.entries(value)
      .filter(([key, member]) => !(key === "additionalProperties" && member === false))
      .map(([key, member]) => [key.replace(/Encoded$/u, ""), key === "$ref" ? renamed(member) : tidy(member)]),
  )
  const { allOf, ...rest } = tidied
  if (!Array.isArray(allOf)) return tidied
  const merged = Object.assign({}, rest, ...allOf)
  const separate = [rest, ...allOf].reduce((count: number, part: Json) => count + Object.keys(part).length, 0)
  return Object.keys(merged).length === separate ? merged : tidied
}

const renamed = (ref: string) => ref.replace(/Encoded$/u, "")
