import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js"
import formats from "ajv-formats"
import { expect } from "vitest"
import type { Answered } from "./ask.ts"

type Json = Record<string, any>

/** An operation of the document, with where it is. */
export interface Operation {
  readonly method: string
  readonly path: string
  readonly says: Json
}

/** A document of `/openapi.json`, for asking what it says. */
export class Documented {
  readonly document: Json
  readonly operations: ReadonlyArray<Operation>
  /** Why a value is not what a schema of the document says; undefined when it is. */
  readonly faultOf: (schema: Json, value: unknown) => string | undefined
  /** The same, where a member that is not documented is a fault. */
  readonly strictFaultOf: (schema: Json, value: unknown) => string | undefined

  constructor(document: Json) {
    this.document = document
    this.operations = Object.entries<Json>(document["paths"]).flatMap(([path, item]) =>
      Object.entries<Json>(item).map(([method, says]) => ({ method: method.toUpperCase(), path, says })),
    )
    this.faultOf = judgeOf(document, (schema) => schema)
    this.strictFaultOf = judgeOf(document, closed)
  }

  /** The operation that a request is for. */
  of(method: string, path: string): Operation {
    const parts = path.split("?")[0]!.split("/")
    const fits = (template: ReadonlyArray<string>) =>
      template.length === parts.length && template.every((part, n) => part === parts[n] || part.startsWith("{"))
    const found = this.operations
      .filter((operation) => operation.method === method && fits(operation.path.split("/")))
      .sort((a, b) => a.path.split("{").length - b.path.split("{").length)[0]
    expect(found, `${method} ${path} is not documented`).toBeDefined()
    return found!
  }

  /** What a reference, if it is one, refers to. */
  resolve(part: Json): Json {
    return typeof part["$ref"] === "string"
      ? part["$ref"]
          .slice(2)
          .split("/")
          .reduce((whole: Json, name: string) => whole[name], this.document)
      : part
  }

  /** Holds an answer to what is documented: its status, media type, headers, and each member of its body. */
  expectDocumented(method: string, path: string, answer: Answered) {
    const what = `${method} ${path} → ${answer.status} ${answer.text.slice(0, 300)}`
    const { says } = this.of(method, path)
    expect(Object.keys(says["responses"]), what).toContain(String(answer.status))
    const promised = this.resolve(says["responses"][answer.status])

    for (const [name, { required, schema }] of Object.entries<Json>(promised["headers"] ?? {})) {
      const value = answer.headers[name.toLowerCase()]
      if (required) expect(value, `${what} lacks ${name}`).toBeDefined()
      if (value !== undefined) expect(this.faultOf(schema, value), what).toBeUndefined()
    }
    const known = Object.keys(promised["headers"] ?? {}).map((name) => name.toLowerCase())
    for (const name of telling) if (name in answer.headers) expect(known, what).toContain(name)

    const type = answer.headers["content-type"]?.split(";")[0]
    if (promised["content"] === undefined) return expect(answer.text, what).toBe("")
    expect(Object.keys(promised["content"]), what).toContain(type)
    const value = type!.endsWith("json") ? answer.body : answer.text
    expect(this.strictFaultOf(promised["content"][type!].schema, value), what).toBeUndefined()
  }
}

/** The headers that say something about the answer and not about its transport. */
const telling = ["location", "idempotency-replayed", "retry-after", "etag", "allow"]

const id = "galleria:document"

/** Says why a value is not what a schema of the document says. */
const judgeOf = (document: Json, change: (schema: unknown) => unknown) => {
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  formats.default(ajv)
  ajv.addSchema({ $id: id, components: change(document["components"]) })
  const compiled = new Map<Json, ValidateFunction>()
  return (schema: Json, value: unknown): string | undefined => {
    const judge = compiled.get(schema) ?? ajv.compile(absolute(change(schema)) as Json)
    compiled.set(schema, judge)
    return judge(value) ? undefined : ajv.errorsText(judge.errors)
  }
}

/** Schemas are compiled alone, and refer to the document from there. */
const absolute = (part: unknown) =>
  mapped(part, (object) =>
    typeof object["$ref"] === "string" ? { ...object, $ref: `${id}${object["$ref"]}` } : object,
  )

/** The same, with no member that is not documented. */
const closed = (part: unknown) =>
  mapped(part, (object) =>
    object["type"] === "object" && "properties" in object ? { additionalProperties: false, ...object } : object,
  )

const mapped = (part: unknown, change: (object: Json) => Json): unknown => {
  if (Array.isArray(part)) return part.map((one) => mapped(one, change))
  if (typeof part !== "object" || part === null) return part
  return Object.fromEntries(Object.entries(change(part as Json)).map(([name, one]) => [name, mapped(one, change)]))
}
