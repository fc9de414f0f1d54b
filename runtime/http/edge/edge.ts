import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Effect, Layer } from "effect"
import { HttpServerRequest, type HttpServerResponse } from "effect/http"
import { HttpApiError } from "effect/http-api"
// Compiles the decoders and encoders of schemas on first use.
import "effect/schema/SchemaJITCompiler/enable"
import { Database } from "../../sql/Database.ts"
import { ReceivedBody } from "../server/body.ts"
import { inputFaultsOf, pointerOf } from "./inputFaults.ts"
import * as json from "./json.ts"
import { Edge, Kinds, MalformedJson, NotFound, responseOf, ValidationFailed } from "../Problem.ts"

/** The `Edge` of a module's endpoints, behind `serve`, which has received their bodies. */
export const layer = Layer.effect(
  Edge,
  Effect.gen(function* () {
    const writable = Effect.orDie((yield* Database).writable)
    return (answer, { endpoint }) => {
      const answered = explained(answer)
      if (endpoint.method === "GET") return answered
      const received = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => receive(request, answered))
      return Effect.andThen(writable, received)
    }
  }),
)

const explained = <E, R>(answer: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
  Effect.catch(answer, (error): Effect.Effect<never, E | Refusal, HttpServerRequest.HttpServerRequest> =>
    HttpApiError.HttpApiSchemaError.is(error)
      ? Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => problemOf(error, request))
      : Effect.fail(error),
  )

const utf8 = new TextDecoder("utf-8", { fatal: true })

/** Checks the body that was received, then answers. */
const receive = <E, R>(
  request: HttpServerRequest.HttpServerRequest,
  answer: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>,
): Effect.Effect<HttpServerResponse.HttpServerResponse, E | Refusal, R> => {
  const body = bodyOf(request)
  if (body === "too large") return Effect.succeed(responseOf(Kinds.contentTooLarge))
  if (body === "unsupported") return Effect.succeed(responseOf(Kinds.unsupportedMediaType))
  let text: string
  try {
    text = utf8.decode(body)
  } catch {
    return Effect.fail(new MalformedJson({}))
  }
  const prepared = json.prepare(text)
  if ("tooLong" in prepared) {
    const detail = `expected at most ${json.mostMembers} members`
    const errors = prepared.tooLong.map((name) => ({ pointer: pointerOf([name]), detail }))
    return Effect.fail(new ValidationFailed({ errors }))
  }
  setText(request, prepared.text)
  return answer
}

/**
 * Sets the text from which the framework decodes the payload.
 *
 * Works round its request, whose `text` reads the stream of Node's request: `serve` has read that already, to bound it, and
 * `request.modify` cannot replace a body. So the text is put where the request keeps it once it is read. Can go when
 * `modify` takes a body.
 */
const setText = (request: HttpServerRequest.HttpServerRequest, text: string) => {
  ;(request as unknown as { textEffect: Effect.Effect<string> }).textEffect = Effect.succeed(text)
}

/** The body of a request that passed `Edge`, as it was received. */
export const receivedText = Effect.map(HttpServerRequest.HttpServerRequest, (request) => {
  const body = bodyOf(request)
  return Buffer.isBuffer(body) ? utf8.decode(body) : ""
})

const bodyOf = (request: HttpServerRequest.HttpServerRequest) => {
  const received = NodeHttpServerRequest.toIncomingMessage(request)
  return received instanceof ReceivedBody ? received.body : undefined
}

type Refusal = MalformedJson | ValidationFailed | NotFound

const problemOf = (error: HttpApiError.HttpApiSchemaError, request: HttpServerRequest.HttpServerRequest) =>
  Effect.gen(function* () {
    switch (error.kind) {
      case "Params":
        return yield* new NotFound({})
      case "Payload":
        if (!(yield* isJson(request))) return yield* new MalformedJson({})
        return yield* new ValidationFailed({
          errors: inputFaultsOf(error.cause.issue, (path) => ({ pointer: pointerOf(path) })),
        })
      case "Query":
      case "Headers":
        return yield* new ValidationFailed({
          errors: inputFaultsOf(error.cause.issue, (path) => ({ parameter: String(path[0] ?? "") })),
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
