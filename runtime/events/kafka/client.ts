import { type Duration, Effect, Fiber, Redacted, type Scope, Semaphore } from "effect"
import kafkajs, { type Kafka, type KafkaConfig, type SASLOptions } from "kafkajs"
import { EventBusError } from "../EventBus.ts"

export interface KafkaSettings {
  /** `host:port` each, any of which tells of the others. */
  readonly servers: ReadonlyArray<string>
  readonly ssl: boolean
  readonly sasl: Sasl | undefined
}

export interface Sasl {
  readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512"
  readonly username: string
  readonly password: Redacted.Redacted
}

/** Its answers come within this, or the request has failed. Longer than a fetch waits for records. */
const requestMillis = 5_000

/** Patience within one call is short: whoever calls goes on trying, with a new client. */
export const retry = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 5 }

/**
 * Makes clients of the cluster. A member needs one of its own: of one client, kafkajs lets the members of a group share
 * what they know of its positions, so that one which joins takes it from the others, and they end.
 *
 * What kafkajs logs is for debugging: whoever uses it tells what fails, and when it goes on.
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

/** The innermost cause: kafkajs wraps what happened, and says "not retriable" of every outage. */
export const rootOf = (error: unknown): unknown =>
  error instanceof Error && error.cause instanceof Error ? rootOf(error.cause) : error

/** The broker's own name of an error, as `UNKNOWN_TOPIC_OR_PARTITION`. */
export const typeOf = (error: unknown): string | undefined => {
  const root = rootOf(error)
  return typeof root === "object" && root !== null && "type" in root ? String(root.type) : undefined
}

/** Calls kafkajs, which may never answer: then, too, it has failed. */
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

/**
 * A client that is made when it is needed, shared, and thrown away after anything that failed with it, so that no
 * state of a failure lives on (a producer that is kept may lose what it sends next). Closed with the scope.
 */
export const renewable = <C extends Client>(
  make: () => C,
): Effect.Effect<
  {
    /** `within` counts from the call, and what has to be connected first counts. */
    readonly use: <A>(
      operation: string,
      within: Duration.Input,
      work: (client: C) => Promise<A>,
    ) => Effect.Effect<A, EventBusError>
  },
  never,
  Scope.Scope
> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const one = yield* Semaphore.make(1)
    let current: C | undefined
    let connecting: Fiber.Fiber<C, EventBusError> | undefined

    const close = (client: C) => Effect.ignore(call("disconnect", "10 seconds", () => client.disconnect()))
    /** How many calls are under way with each. */
    const inUse = new Map<C, number>()
    const take = (client: C) => Effect.sync(() => inUse.set(client, (inUse.get(client) ?? 0) + 1))
    const discard = (client: C) => Effect.sync(() => void (current = current === client ? undefined : current))
    /** One that was thrown away is closed behind the last call: the others' need not fail for the one that did. */
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
    /** It goes on for others when one who waits for it has no more patience. */
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
