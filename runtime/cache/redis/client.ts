import { type Cause, Effect, Redacted, Stream } from "effect"
import { CircuitBreaker, Redis } from "effect/persistence"
import { createClient } from "redis"
import { nameOf } from "./address.ts"

/** Time-out of a command, in milliseconds: requests must not wait for Redis. */
const commandMillis = 50

/** After this many consecutive failures the circuit opens; after `openFor` one command is tried. */
const tripAfter = 3
const openFor = "1 second"

/** Maximum number of commands waiting for an answer; further ones fail at once. */
const mostWaiting = 1_000

/** A connection without an answer to several pings is closed, because its server may be gone. */
const silence = { pingMillis: 5_000, cutMillis: 12_000 }

/** The wait before a reconnection: short at first, later two seconds. */
const reconnectAfter = (retries: number) => Math.min(2 ** retries * 50, 2_000) + Math.floor(Math.random() * 200)

/** Logs when Redis becomes unavailable or available, one line for each change. */
const makeReport = (server: string) =>
  Effect.gen(function* () {
    const run = Effect.runSyncWith(yield* Effect.context())
    let state: "unknown" | "up" | "away" = "unknown"
    return {
      up: () => {
        if (state !== "up") run(Effect.logInfo(`Redis at ${server} is connected`))
        state = "up"
      },
      away: (reason: string) => {
        const consequence = "reads go to the database, and this process keeps circuits of its own"
        if (state !== "away") run(Effect.logWarning(`Redis at ${server} is unavailable (${reason}): ${consequence}`))
        state = "away"
      },
    }
  })

/** A connection that is made in the background, and again whenever it is lost. */
const makeClient = (url: string) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      createClient({
        url,
        disableOfflineQueue: true,
        commandsQueueMaxLength: mostWaiting,
        pingInterval: silence.pingMillis,
        socket: { connectTimeout: 2_000, socketTimeout: silence.cutMillis, reconnectStrategy: reconnectAfter },
      }),
    ),
    (client) => Effect.sync(() => client.destroy()),
  )

/** An error without an underlying cause. */
const failure = (message: string) => Effect.fail(new Redis.RedisError({ cause: new Error(message) }))

/** A missing script is sent again: it is a valid answer, not a failure of the server. */
const isAnswer = (cause: Cause.Cause<Redis.RedisError>) =>
  cause.reasons.some((reason) => reason._tag === "Fail" && String(reason.error.cause).includes("NOSCRIPT"))

const reasonOf = (cause: unknown): string => {
  const { code, message } = cause as NodeJS.ErrnoException
  return code ?? message
}

/**
 * Effect's `Redis` over one connection that is made in the background: neither the start nor a command waits for it. While
 * there is no connection or the circuit is open, a command fails at once; otherwise it times out after 50 ms.
 *
 * Effect's own layer for Node waits for the first connection, has no time-out for commands, and logs every attempt.
 */
export const connect = (redisUrl: Redacted.Redacted) =>
  Effect.gen(function* () {
    const url = Redacted.value(redisUrl)
    const report = yield* makeReport(nameOf(url))
    const breaker = yield* CircuitBreaker.make({
      tripPolicy: CircuitBreaker.consecutive(tripAfter),
      openDuration: openFor,
    }).pipe(Effect.provide(CircuitBreaker.layerStoreMemory()))
    const client = yield* makeClient(url)
    let lastFailure = ""
    client.on("error", (error: unknown) => report.away(reasonOf(error)))
    client.on("ready", report.up)
    client.connect().catch((error: unknown) => report.away(reasonOf(error)))

    const answered = <A>(command: ReadonlyArray<string>) =>
      Effect.callback<A, Redis.RedisError>((resume) => {
        const giveUp = () => resume(failure(`no answer within ${commandMillis} ms`))
        // If this process was itself delayed, an answer that has arrived meanwhile is read first.
        const timer = setTimeout(() => setImmediate(giveUp), commandMillis)
        client
          .sendCommand([...command])
          .then(
            (answer) => resume(Effect.succeed(answer as A)),
            (cause: unknown) => resume(Effect.fail(new Redis.RedisError({ cause }))),
          )
          .finally(() => clearTimeout(timer))
        return Effect.sync(() => clearTimeout(timer))
      })

    const send = <A>(...command: ReadonlyArray<string>): Effect.Effect<A, Redis.RedisError> =>
      Effect.suspend(() => (client.isReady ? answered<A>(command) : failure("there is no connection"))).pipe(
        Effect.tapError(({ cause }) => Effect.sync(() => void (lastFailure = reasonOf(cause)))),
        breaker.execute({
          key: "redis",
          classify: (exit) =>
            exit._tag === "Success" || isAnswer(exit.cause) ? CircuitBreaker.success : CircuitBreaker.failure(),
        }),
        Effect.catchTag("CircuitBreakerError", (cause) => Effect.fail(new Redis.RedisError({ cause }))),
      )

    yield* Effect.forkScoped(
      Stream.runForEach(breaker.transitions, ({ to }) =>
        Effect.sync(() => {
          if (to === "Open") report.away(lastFailure)
          if (to === "Closed") report.up()
        }),
      ),
    )
    const notOffered = failure("subscriptions and separate connections are not supported")
    return yield* Redis.make({ send, connect: notOffered, subscribe: () => notOffered })
  })
