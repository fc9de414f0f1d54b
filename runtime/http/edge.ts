import { isUtf8 } from "node:buffer"
import { Effect, Layer, SchemaIssue } from "effect"
import { HttpServerRequest, type HttpServerResponse } from "effect/http"
import { HttpApiError } from "effect/http-api"
import { Database } from "../sql/Database.ts"
import * as json from "./json.ts"
import { Edge, MalformedJson, NotFound, ValidationFailed } from "./Problem.ts"

/** The `Edge` of a module's endpoints. */
export const layer = Layer.effect(
  Edge,
  Effect.gen(function* () {
    const database = yield* Database
    return (answer) =>
      Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        if (request.method === "GET" || request.method === "HEAD") return yield* explained(answer, request)
        yield* Effect.orDie(database.writable)
        if (!isUtf8(new Uint8Array(yield* Effect.orDie(request.arrayBuffer)))) return yield* new MalformedJson({})
        const prepared = yield* prepare(request)
        return yield* explained(Effect.provideService(answer, HttpServerRequest.HttpServerRequest, prepared), prepared)
      })
  }),
)

const explained = <E, R>(
  answer: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>,
  request: HttpServerRequest.HttpServerRequest,
) =>
  Effect.catch(answer, (error): Effect.Effect<never, E | Refusal> =>
    HttpApiError.HttpApiSchemaError.is(error) ? problemOf(error, request) : Effect.fail(error),
  )

const isJsonType = /^\s*application\/json\s*(?:;|$)/iu

/** The request with its body as the schema is to see it. */
const prepare = (request: HttpServerRequest.HttpServerRequest) =>
  Effect.gen(function* () {
    if (!isJsonType.test(request.headers["content-type"] ?? "application/json")) return request
    const given = yield* Effect.orDie(request.text)
    const body = json.prepare(given)
    if ("text" in body) {
      return body.text === given
        ? request
        : (Object.create(request, { text: { value: Effect.succeed(body.text) } }) as typeof request)
    }
    const detail = `expected at most ${json.mostMembers} members`
    return yield* new ValidationFailed({ errors: body.tooLong.map((name) => ({ pointer: pointer([name]), detail })) })
  })

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
