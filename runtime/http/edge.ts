import { isUtf8 } from "node:buffer"
import { Effect, Layer, SchemaIssue } from "effect"
import { HttpServerRequest } from "effect/http"
import { HttpApiError } from "effect/http-api"
import type { unhandled } from "effect/Types"
import { Database } from "../sql/Database.ts"
import { Edge, MalformedJson, NotFound, ValidationFailed } from "./Problem.ts"

/** The `Edge` of a module's endpoints. */
export const layer = Layer.effect(
  Edge,
  Effect.gen(function* () {
    const database = yield* Database
    return (answer) =>
      Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        if (request.method !== "GET" && request.method !== "HEAD") {
          yield* Effect.orDie(database.writable)
          if (!isUtf8(new Uint8Array(yield* Effect.orDie(request.arrayBuffer)))) return yield* new MalformedJson({})
        }
        return yield* Effect.catch(answer, (error): Effect.Effect<never, unhandled | Refusal> =>
          HttpApiError.HttpApiSchemaError.is(error) ? problemOf(error, request) : Effect.fail(error),
        )
      })
  }),
)

type Refusal = MalformedJson | ValidationFailed | NotFound

const problemOf = (error: HttpApiError.HttpApiSchemaError, request: HttpServerRequest.HttpServerRequest) =>
  Effect.gen(function* () {
    switch (error.kind) {
      case "Params":
        return yield* new NotFound({})
      case "Payload":
        if (!(yield* isJson(request))) return yield* new MalformedJson({})
        return yield* new ValidationFailed({ errors: faultsIn(error, (path) => ({ pointer: pointer(path) })) })
      case "Query":
      case "Headers":
        return yield* new ValidationFailed({
          errors: faultsIn(error, (path) => ({ parameter: String(path[0] ?? "") })),
        })
      default:
        return yield* Effect.die(error)
    }
  })

const isJson = (request: HttpServerRequest.HttpServerRequest) =>
  Effect.map(Effect.orDie(request.text), (text) => {
    try {
      JSON.parse(text)
      return true
    } catch {
      return false
    }
  })

const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1()

/** One fault for each place, which says all that is wrong there. */
const faultsIn = <Place extends object>(
  error: HttpApiError.HttpApiSchemaError,
  place: (path: ReadonlyArray<PropertyKey>) => Place,
) => {
  const details = new Map<string, { readonly at: Place; readonly said: Set<string> }>()
  for (const { path = [], message } of issuesOf(error.cause.issue).issues) {
    const at = place(path.map((part) => (typeof part === "object" ? part.key : part)))
    const id = JSON.stringify(at)
    const known = details.get(id) ?? { at, said: new Set<string>() }
    details.set(id, known)
    known.said.add(message)
  }
  return [...details.values()].map(({ at, said }) => ({ ...at, detail: [...said].join("; ") }) as never)
}

/** RFC 6901. */
const pointer = (path: ReadonlyArray<PropertyKey>) =>
  path.map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("")
