import { type Json, nameOf } from "../http/openapi/jsonSchema.ts"

/** A value of a schema, and in what it differs from the one with every member. */
export interface Sample {
  readonly variant: string
  readonly data: unknown
}

/**
 * Values of a schema: `whole` has every member, and each further one differs from it in one place. There is one without the
 * optional members, one for each value of an enumeration, for each type of a union, and for an empty list.
 */
export const samplesOf = (schema: Json): readonly [Sample, ...ReadonlyArray<Sample>] => {
  const [whole, ...others] = valuesOf(schema, "", schema["$defs"] ?? {})
  return [{ variant: "whole", data: whole.data }, ...others]
}

type Values = readonly [Sample, ...ReadonlyArray<Sample>]

const base = (data: unknown): Sample => ({ variant: "", data })

const valuesOf = (schema: Json, at: string, defs: Json): Values => {
  const { $ref, enum: values, anyOf, type, examples = [] } = schema
  if ($ref !== undefined) return valuesOf(defs[nameOf($ref)], at, defs)
  if (values !== undefined) {
    return [base(values[0]), ...values.slice(1).map((data: unknown) => ({ variant: `${at}: ${String(data)}`, data }))]
  }
  if (anyOf !== undefined) return ofUnion(schema, at, defs)
  if (type === "object") return ofObject(schema, at, defs)
  if (type === "array") return ofList(schema, at, defs)
  if (examples.length > 0) return [base(examples[0])]
  if (type === "boolean") return [base(true), { variant: `${at}: false`, data: false }]
  if (type === "null") return [base(null)]
  if (type === "string") return [base("text")]
  return [base(Math.max(schema["minimum"] ?? 1, Math.min(schema["maximum"] ?? 1, 1)))]
}

/** The example, or the first of the union; then one value of each other type. */
const ofUnion = ({ anyOf, examples = [] }: Json, at: string, defs: Json): Values => {
  const all: ReadonlyArray<Sample> = anyOf.flatMap((one: Json) => valuesOf(one, at, defs).slice(0, 1))
  const first = examples.length > 0 ? base(examples[0]) : all[0]!
  const others = all.filter(({ data }) => typeName(data) !== typeName(first.data))
  return [first, ...others.map(({ data }) => ({ variant: `${at} is ${typeName(data)}`, data }))]
}

const typeName = (data: unknown) => (data === null ? "null" : Array.isArray(data) ? "list" : typeof data)

const ofObject = ({ properties = {}, required = [] }: Json, at: string, defs: Json): Values => {
  const members = Object.entries<Json>(properties).map(
    ([name, schema]) => [name, valuesOf(schema, at === "" ? name : `${at}.${name}`, defs)] as const,
  )
  const whole = Object.fromEntries(members.map(([name, [first]]) => [name, first.data]))
  const least = Object.fromEntries(Object.entries(whole).filter(([name]) => required.includes(name)))
  const variant = at === "" ? "least" : `${at}: least`
  return [
    base(whole),
    ...(Object.keys(least).length < members.length ? [{ variant, data: least }] : []),
    ...members.flatMap(([name, [, ...others]]) =>
      others.map(({ variant, data }) => ({ variant, data: { ...whole, [name]: data } })),
    ),
  ]
}

const ofList = ({ items, minItems = 0 }: Json, at: string, defs: Json): Values => {
  const [first, ...others] = valuesOf(items, at, defs)
  const listOf = (data: unknown) => Array.from({ length: Math.max(1, minItems) }, () => data)
  return [
    base(listOf(first.data)),
    ...(minItems === 0 ? [{ variant: `${at}: empty`, data: [] }] : []),
    ...others.map(({ variant, data }) => ({ variant, data: listOf(data) })),
  ]
}
