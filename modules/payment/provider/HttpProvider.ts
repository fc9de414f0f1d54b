import { Effect, Layer, Redacted, Schema, Stream } from "effect"
import { FetchHttpClient, HttpClient, HttpClientError, HttpClientRequest, type HttpClientResponse } from "effect/http"
import { NotMade } from "../../../runtime/module/Task.ts"
import { format, Money } from "../../Money.ts"
import { type Charge, NoAnswer, PaymentProvider, type Refund } from "../PaymentProvider.ts"

/** Maximum size of an answer, in bytes; a longer one counts as no answer. */
const mostBytes = 64 * 1024

/** Maximum length of a reason; a longer one is cut. */
const mostCharacters = 500

const Charged = Schema.Struct({ status: Schema.Literal("charged"), key: Schema.String, amount: Money })
const Declined = Schema.Struct({ status: Schema.Literal("declined"), key: Schema.String, reason: Schema.String })
const NoCharge = Schema.Struct({ status: Schema.Literal("none"), key: Schema.String })
const Refunded = Schema.Struct({ status: Schema.Literal("refunded"), key: Schema.String, amount: Money })

/**
 * The valid answers by status, and the time limit; anything else counts as no answer. A look-up and a charge together must
 * fit within a task's deadline.
 */
interface Expected<Body> {
  readonly bodies: Readonly<Record<number, Schema.Decoder<Body>>>
  readonly within: `${number} seconds`
}

const chargedOrDeclined = Schema.Union([Charged, Declined])
const toCharge: Expected<typeof chargedOrDeclined.Type> = {
  bodies: { 200: chargedOrDeclined, 201: chargedOrDeclined, 402: Declined },
  within: "8 seconds",
}

const chargedOrNot = Schema.Union([Charged, NoCharge])
const toLookUp: Expected<typeof chargedOrNot.Type> = {
  bodies: { 200: chargedOrNot, 404: NoCharge },
  within: "3 seconds",
}

const toRefund: Expected<typeof Refunded.Type> = { bodies: { 200: Refunded, 201: Refunded }, within: "8 seconds" }

const noAnswer = (reason: string) => new NoAnswer({ reason })

/** Error codes that mean that no connection was made and nothing was sent. */
const unconnected = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN"])

/** The code of the system error in the chain of causes. */
const codeIn = (error: unknown): string | undefined => {
  if (typeof error !== "object" || error === null) return undefined
  if ("code" in error && typeof error.code === "string") return error.code
  return "cause" in error ? codeIn(error.cause) : undefined
}

const failureOf = (error: HttpClientError.HttpClientError) => {
  const code = codeIn(error.reason)
  return code !== undefined && unconnected.has(code)
    ? new NotMade({ reason: `the provider cannot be reached (${code})` })
    : noAnswer(`the connection to the provider failed (${code ?? error.reason._tag})`)
}

const textOf = (response: HttpClientResponse.HttpClientResponse) =>
  response.stream.pipe(
    Stream.mapError(failureOf),
    Stream.runFoldEffect(
      () => ({ chunks: [] as Array<Uint8Array>, bytes: 0 }),
      ({ chunks, bytes }, chunk) =>
        bytes + chunk.length > mostBytes
          ? noAnswer(`the answer is longer than ${mostBytes} bytes`)
          : Effect.succeed({ chunks: [...chunks, chunk], bytes: bytes + chunk.length }),
    ),
    Effect.map(({ chunks }) => Buffer.concat(chunks).toString("utf8")),
  )

/** The provider's text, cleaned for storage, display and events. */
const clean = (text: string): string => {
  const plain = text.toWellFormed().replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\s]+/gu, " ")
  return Array.from(plain.trim()).slice(0, mostCharacters).join("").trim() || "declined"
}

/** An event's id may be any text, so it is encoded for headers and queries. */
const encoded = (key: string) => encodeURIComponent(key.toWellFormed())

/** The URL without user and password, which `fetch` does not take, and the header in their place. */
const addressOf = (secret: Redacted.Redacted) => {
  const url = new URL(Redacted.value(secret))
  const { username, password } = url
  url.username = ""
  url.password = ""
  const authorized =
    username === "" && password === ""
      ? (request: HttpClientRequest.HttpClientRequest) => request
      : HttpClientRequest.basicAuth(decodeURIComponent(username), Redacted.make(decodeURIComponent(password)))
  return { base: url.href.replace(/\/+$/u, ""), authorized }
}

/** A payment provider over HTTP; README.md documents its calls. Its answers are untrusted. */
export const layer = (url: Redacted.Redacted) =>
  Layer.effect(
    PaymentProvider,
    Effect.gen(function* () {
      const client = yield* HttpClient.HttpClient
      const { base, authorized } = addressOf(url)

      const ask = <Body extends { readonly key: string }>(
        key: string,
        request: HttpClientRequest.HttpClientRequest,
        { bodies, within }: Expected<Body>,
      ) =>
        Effect.gen(function* () {
          const sent = authorized(HttpClientRequest.acceptJson(request))
          const response = yield* Effect.mapError(client.execute(sent), failureOf)
          const schema = bodies[response.status]
          if (schema === undefined) return yield* noAnswer(`the provider answered ${response.status}`)
          const body = yield* Schema.decodeEffect(Schema.fromJsonString(schema))(yield* textOf(response)).pipe(
            Effect.mapError(() => noAnswer(`the provider answered ${response.status} with another body`)),
          )
          return body.key === key ? body : yield* noAnswer("the provider answered about another key")
        }).pipe(
          Effect.timeoutOrElse({
            duration: within,
            orElse: () => Effect.fail(noAnswer(`the provider did not answer within ${within}`)),
          }),
          Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
          Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
        )

      const confirmed = (body: { readonly amount: Money }, amount: Money) =>
        format(body.amount) === format(amount)
          ? Effect.void
          : Effect.fail(noAnswer("the provider answered about another amount"))

      const post = (path: string, key: string, body: Readonly<Record<string, string | number>>) =>
        HttpClientRequest.post(`${base}${path}`).pipe(
          HttpClientRequest.setHeader("idempotency-key", encoded(key)),
          HttpClientRequest.bodyJsonUnsafe({ key, ...body }),
        )

      const charge = ({ key, order_id, amount, payment_method }: Charge) =>
        Effect.gen(function* () {
          const request = post("/charges", key, { order_id, amount: format(amount), payment_method })
          const body = yield* ask(key, request, toCharge)
          if (body.status === "declined") return { _tag: "Declined", reason: clean(body.reason) } as const
          yield* confirmed(body, amount)
          return { _tag: "Charged" } as const
        })

      const lookUp = ({ key, amount }: Pick<Charge, "key" | "amount">) =>
        Effect.gen(function* () {
          const body = yield* ask(key, HttpClientRequest.get(`${base}/charges?key=${encoded(key)}`), toLookUp)
          if (body.status === "none") return { _tag: "NoCharge" } as const
          yield* confirmed(body, amount)
          return { _tag: "Charged" } as const
        })

      const refund = ({ key, charge_key, amount }: Refund) =>
        Effect.gen(function* () {
          const request = post("/refunds", key, { charge_key, amount: format(amount) })
          yield* confirmed(yield* ask(key, request, toRefund), amount)
        })

      return { charge, lookUp, refund }
    }),
  ).pipe(Layer.provide(FetchHttpClient.layer))
