import { type Json, nameOf } from "../http/openapi/jsonSchema.ts"

/** A difference between two schemas that breaks a reader. */
export interface Difference {
  /** The path of the value, such as `items[].price`; empty for the whole. */
  readonly at: string
  /** What became of it, as a predicate: `is removed`. */
  readonly words: string
  /** A member that readers knew is not there any more. */
  readonly isRemoval: boolean
  /** Readers by the new schema may refuse a value that satisfies the old one. */
  readonly breaksNewReaders: boolean
  /** Readers by the old schema may refuse a value that satisfies the new one, or miss a member. */
  readonly breaksOldReaders: boolean
}

/** A schema with the definitions to which its references refer by their last segment. */
export interface Schema {
  readonly schema: Json
  readonly defs: Json
}

/** Finds what breaks readers from one schema to another. Descriptions, titles, examples and defaults are ignored. */
export const differencesOf = (before: Schema, after: Schema): ReadonlyArray<Difference> => compare(before, after, "")

type Compare = (before: Schema, after: Schema, at: string) => ReadonlyArray<Difference>

const difference =
  (rest: Pick<Difference, "breaksNewReaders" | "breaksOldReaders" | "isRemoval">) =>
  (at: string, words: string): Difference => ({ at, words, ...rest })

/** Fewer values satisfy the new schema. */
const narrowed = difference({ breaksNewReaders: true, breaksOldReaders: false, isRemoval: false })
/** More values satisfy the new schema. */
const widened = difference({ breaksNewReaders: false, breaksOldReaders: true, isRemoval: false })
const changed = difference({ breaksNewReaders: true, breaksOldReaders: true, isRemoval: false })
const removed = difference({ breaksNewReaders: false, breaksOldReaders: true, isRemoval: true })

const compare: Compare = (before, after, at) => {
  const [was, is] = [branchesOf(before), branchesOf(after)]
  if (was.length === 1 && is.length === 1) return compareBranches(was[0]!, is[0]!, at)
  const pairs = was.map((branch) => [branch, partnerOf(branch, is)] as const)
  const partners = new Set(pairs.map(([, partner]) => partner))
  return [
    ...pairs.flatMap(([branch, partner]) =>
      partner === undefined
        ? [narrowed(at, `can no longer be ${typeOf(branch)}`)]
        : compareBranches(branch, partner, at),
    ),
    ...is.filter((branch) => !partners.has(branch)).map((branch) => widened(at, `can now also be ${typeOf(branch)}`)),
  ]
}

/** The alternatives of a union; one for any other schema. */
const branchesOf = ({ schema, defs }: Schema): ReadonlyArray<Schema> => {
  const { $ref, anyOf } = schema
  if ($ref !== undefined) return branchesOf({ schema: defs[nameOf($ref)], defs })
  return isUnion(schema) ? anyOf.flatMap((one: Json) => branchesOf({ schema: one, defs })) : [{ schema, defs }]
}

/** Beside a type, `anyOf` has conditions: see `others`. */
const isUnion = ({ anyOf, type }: Json) => anyOf !== undefined && type === undefined

/** The equal alternative, or else the first of the same type. */
const partnerOf = (branch: Schema, among: ReadonlyArray<Schema>): Schema | undefined =>
  among.find((one) => canonical(one) === canonical(branch)) ?? among.find((one) => typeOf(one) === typeOf(branch))

const typeOf = ({ schema: { type, enum: values } }: Schema): string =>
  type ?? (values === undefined ? "anything" : typeof values[0])

const annotations = new Set(["$schema", "$id", "$defs", "title", "description", "examples", "example", "default"])

/** The schema as text, without annotations, with its references resolved. */
const canonical = (one: Schema): string =>
  JSON.stringify(branchesOf(one).map(({ schema, defs }) => plain(schema, defs)))

const plain = (part: any, defs: Json): unknown => {
  if (Array.isArray(part)) return part.map((one) => plain(one, defs))
  if (typeof part !== "object" || part === null) return part
  if (part.$ref !== undefined) return plain(defs[nameOf(part.$ref)], defs)
  const entries = Object.entries(part).filter(([name]) => !annotations.has(name))
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, one]) => [name, plain(one, defs)]))
}

const compareBranches: Compare = (before, after, at) => {
  const [was, is] = [typeOf(before), typeOf(after)]
  if (was === "integer" && is === "number") return [widened(at, "was an integer, and can be any number")]
  if (was === "number" && is === "integer") return [narrowed(at, "was any number, and is an integer")]
  if (was !== is) return [changed(at, `was ${was}, and is ${is}`)]
  return [enumerations, limits, others, members, elements].flatMap((compared) => compared(before, after, at))
}

const enumerations: Compare = ({ schema: { enum: was } }, { schema: { enum: is } }, at) => {
  if (was === undefined && is === undefined) return []
  if (was === undefined) return [narrowed(at, `can only be ${listOf(is)}`)]
  if (is === undefined) return [widened(at, `can now be other than ${listOf(was)}`)]
  return [
    ...was
      .filter((one: unknown) => !is.includes(one))
      .map((one: unknown) => narrowed(at, `can no longer be ${show(one)}`)),
    ...is
      .filter((one: unknown) => !was.includes(one))
      .map((one: unknown) => widened(at, `can now also be ${show(one)}`)),
  ]
}

const show = (value: unknown) => `\`${String(value)}\``
const listOf = (values: ReadonlyArray<unknown>) => values.map(show).join(", ")

const lower = ["minimum", "exclusiveMinimum", "minLength", "minItems"]
const upper = ["maximum", "exclusiveMaximum", "maxLength", "maxItems"]

const limits: Compare = (before, after, at) =>
  [...lower, ...upper].flatMap((keyword) => {
    const none = lower.includes(keyword) ? -Infinity : Infinity
    const [was, is]: ReadonlyArray<number> = [before, after].map(({ schema }) => schema[keyword] ?? none)
    if (was === is) return []
    const isNarrower = lower.includes(keyword) ? is! > was! : is! < was!
    return [(isNarrower ? narrowed : widened)(at, `has another ${keyword}: ${was}, now ${is}`)]
  })

/** Keywords whose values have no order. */
const others: Compare = (before, after, at) =>
  ["pattern", "format", "anyOf", "uniqueItems"].flatMap((keyword) => {
    const [was, is] = [before, after].map(({ schema, defs }) => JSON.stringify(plain(schema[keyword], defs)))
    if (was === is) return []
    if (was === undefined) return [narrowed(at, `has a ${keyword} now: ${is}`)]
    if (is === undefined) return [widened(at, `has no ${keyword} any more: ${was}`)]
    return [changed(at, `has another ${keyword}: ${was}, now ${is}`)]
  })

const members: Compare = (before, after, at) => {
  const [was, is]: ReadonlyArray<Json> = [before, after].map(({ schema }) => schema["properties"] ?? {})
  const child = (of: Schema, name: string) => ({ schema: of.schema["properties"][name], defs: of.defs })
  const isRequired = ({ schema }: Schema, name: string) => (schema["required"] ?? []).includes(name)
  const path = (name: string) => (at === "" ? name : `${at}.${name}`)
  const added = new Set(Object.keys(is!).filter((name) => !(name in was!)))
  const differences = Object.keys(was!).flatMap((name) => {
    if (name in is!) {
      const [must, mustNow] = [isRequired(before, name), isRequired(after, name)]
      return [
        ...(!must && mustNow ? [narrowed(path(name), "is newly required")] : []),
        ...(must && !mustNow ? [widened(path(name), "is no longer always there")] : []),
        ...compare(child(before, name), child(after, name), path(name)),
      ]
    }
    const renamed = [...added].find((one) => canonical(child(after, one)) === canonical(child(before, name)))
    if (renamed === undefined) return [removed(path(name), "is removed")]
    added.delete(renamed)
    const isMissed = isRequired(after, renamed)
    return [{ ...removed(path(name), `is renamed to \`${renamed}\``), breaksNewReaders: isMissed }]
  })
  const required = [...added].filter((name) => isRequired(after, name))
  return [...differences, ...required.map((name) => narrowed(path(name), "is new, and required"))]
}

/** The items of lists, and the values of records. */
const elements: Compare = (before, after, at) =>
  (["items", "additionalProperties"] as const).flatMap((keyword) => {
    const [was, is] = [before, after].map(({ schema, defs }) => ({ schema: schema[keyword], defs }))
    const isCompared = typeof was!.schema === "object" && typeof is!.schema === "object"
    return isCompared ? compare(was!, is!, keyword === "items" ? `${at}[]` : `${at}{}`) : []
  })
