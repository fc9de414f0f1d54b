import { type Duration, Effect, Fiber, Redacted, type Scope, Semaphore } from "effect"
import kafkajs, { type Kafka, type KafkaConfig, type SASLOptions } from "kafkajs"
import { EventBusError } from "../EventBus.ts"
import type { KafkaSettings, Sasl } from "./settings.ts"

/** Time-out of one request. Longer than a fetch waits for records. */
const requestMillis = 5_000

/** kafkajs' own retries are short: the caller retries, with a new client. */
export const retry = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 5 }

/**
 * Makes clients of the cluster. Each member needs one of its own: consumers of one client share kafkajs' cache of the
 * group's offsets, and one that joins ends the others.
 *
 * What kafkajs logs is logged as debug: its callers report failures and recoveries.
 */
export const makeKafka = (settings: KafkaSettings): Effect.Effect<() => Kafka> =>
  Effect.map(Effect.context(), (context) => {
    const log = Effect.runForkWith(context)
    const config: KafkaConfig = {
      clientId: "galleria",
      brokers: [...settings.servers],
      connectionTimeout: 1_000,
      requestTimeout: requestMillis,
      retry,
      ssl: settings.ssl,
      ...(settings.sasl === undefined ? {} : { sasl: saslOf(settings.sasl) }),
      logLevel: kafkajs.logLevel.WARN,
      logCreator:
        () =>
        ({ namespace, log: { message } }) =>
          void log(Effect.logDebug(`kafkajs ${namespace}: ${message}`)),
    }
    return () => new kafkajs.Kafka(config)
  })

const saslOf = ({ mechanism, username, password }: Sasl) =>
  ({ mechanism, username, password: Redacted.value(password) }) as SASLOptions

/** The innermost cause: kafkajs wraps the original error, for any outage in "not retriable". */
export const rootOf = (error: unknown): unknown =>
  error instanceof Error && error.cause instanceof Error ? rootOf(error.cause) : error

/** The broker's error code by name, such as `UNKNOWN_TOPIC_OR_PARTITION`; undefined for other errors. */
export const typeOf = (error: unknown): string | undefined => {
  const root = rootOf(error)
  return typeof root === "object" && root !== null && "type" in root ? String(root.type) : undefined
}

/** Calls kafkajs, whose promise may never settle, with a time-out. */
export const call = <A>(operation: string, within: Duration.Input, promise: () => Promise<A>) =>
  attempt(operation, promise).pipe(inTime(operation, within))

const attempt = <A>(operation: string, promise: () => Promise<A>) =>
  Effect.tryPromise({
    try: promise,
    catch: (error) => new EventBusError({ operation, cause: rootOf(error) }),
  })

const inTime = (operation: string, within: Duration.Input) =>
  Effect.timeoutOrElse({
    duration: within,
    orElse: () => Effect.fail(new EventBusError({ operation, cause: new Error("no answer in time") })),
  })

interface Client {
  readonly connect: () => Promise<void>
  readonly disconnect: () => Promise<void>
}

/** A client that is connected on first use, shared by its callers, and replaced after any failure. */
export interface Renewable<C> {
  /** `within` starts with the call and includes the time to connect. */
  readonly use: <A>(
    operation: string,
    within: Duration.Input,
    work: (client: C) => Promise<A>,
  ) => Effect.Effect<A, EventBusError>
}

/**
 * Makes a `Renewable`. A client is dropped after any failure, so that none of its state survives (a producer that is kept
 * may lose the records that it sends next). Closed with the scope.
 */
export const renewable = <C extends Client>(make: () => C): Effect.Effect<Renewable<C>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const one = yield* Semaphore.make(1)
    let current: C | undefined
    let connecting: Fiber.Fiber<C, EventBusError> | undefined

    const close = (client: C) => Effect.ignore(call("disconnect", "10 seconds", () => client.disconnect()))
    /** The number of calls in progress of each client. */
    const inUse = new Map<C, number>()
    const take = (client: C) => Effect.sync(() => inUse.set(client, (inUse.get(client) ?? 0) + 1))
    const discard = (client: C) => Effect.sync(() => void (current = current === client ? undefined : current))
    /** A dropped client is closed after its last call, so that one failure does not fail the other calls. */
    const leave = (client: C) =>
      Effect.suspend(() => {
        const left = inUse.get(client)! - 1
        if (left > 0) return Effect.sync(() => inUse.set(client, left))
        inUse.delete(client)
        return current === client ? Effect.void : Effect.forkDetach(close(client))
      })
    const connect = Effect.suspend(() => {
      const client = make()
      return call("connect", "20 seconds", () => client.connect()).pipe(
        Effect.map(() => (current = client)),
        Effect.onError(() => Effect.forkDetach(close(client))),
        Effect.ensuring(Effect.sync(() => (connecting = undefined))),
      )
    })
    /** Connecting continues for the other callers when one of them times out. */
    const connected = one
      .withPermit(
        Effect.gen(function* () {
          if (current !== undefined) return Effect.succeed(current)
          connecting ??= yield* Effect.forkIn(connect, scope)
          return Fiber.join(connecting)
        }),
      )
      .pipe(Effect.flatten)
    yield* Effect.addFinalizer(() => (current === undefined ? Effect.void : close(current)))
    return {
      use: (operation, within, work) =>
        Effect.flatMap(connected, (client) =>
          Effect.acquireUseRelease(
            take(client),
            () =>
              Effect.onError(
                attempt(operation, () => work(client)),
                () => discard(client),
              ),
            () => leave(client),
          ),
        ).pipe(inTime(operation, within)),
    }
  })

/** What a promise was rejected with; undefined when it was fulfilled. */
export const rejectionOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  )
