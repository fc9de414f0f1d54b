import { once } from "node:events"
import { connect, createServer } from "node:net"
import { text } from "node:stream/consumers"
import { freePort } from "./freePort.ts"
import type { Broker, Driver, Options, Place, Removable } from "./kafkaBroker.ts"
import { inDocker } from "./kafkaInDocker.ts"
import { onJava } from "./kafkaOnJava.ts"
import { startProxy, type Proxy } from "./proxy.ts"

/**
 * An Apache Kafka of one broker, in KRaft mode, for its starter only. It is gone with all its data when it is
 * closed, when it goes out of scope, and when this process ends, even by kill -9.
 */
export interface Kafka extends Broker, AsyncDisposable {
  readonly bootstrap: string
  /** The same broker for clients that are to meet the faults of `proxy`: they get only its port. */
  readonly proxiedBootstrap: string
  readonly proxy: Proxy
  readonly close: () => Promise<void>
}

/** What takes a moment comes before what loads some hundred megabytes. */
const drivers: ReadonlyArray<Driver> = [inDocker({ pull: false }), onJava, inDocker({ pull: true })]

/** Starts a broker, which is usable when this resolves: in Docker if that has the image, else in Java. */
export const startKafka = async (options: Options = {}): Promise<Kafka> => {
  const proxied = await freePort()
  const proxy = await startProxy({ to: proxied })
  const place = { direct: await freePort(), proxied, proxy: proxy.port, controller: await freePort() }
  const broker = await startIn(place, options).catch(async (error) => {
    await proxy.close()
    throw error
  })
  const close = async () => {
    await proxy.close()
    await broker.remove()
  }
  return {
    ...broker,
    bootstrap: `127.0.0.1:${place.direct}`,
    proxiedBootstrap: `127.0.0.1:${place.proxy}`,
    proxy,
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** By the first driver that can do it here. */
const startIn = async (place: Place, options: Options): Promise<Removable> => {
  const reasons = new Set<string>()
  for (const driver of drivers) {
    try {
      const broker = await driver(place, options)
      try {
        await broker.start()
        return broker
      } catch (error) {
        await broker.remove()
        throw error
      }
    } catch (error) {
      reasons.add(error instanceof Error ? error.message : String(error))
    }
  }
  throw new Error([...reasons].join("; "))
}

/**
 * The bootstrap servers of a real Kafka: `KAFKA_BOOTSTRAP_SERVERS`, else a broker that all test files of a run share,
 * started for the first that asks. Names of topics and groups have to be its caller's own, and faults are for a broker
 * by `startKafka`. Where none can be had it is undefined, which one loud line says, and with `CI=true` it is an error.
 */
export const realKafka = async (): Promise<string | undefined> =>
  process.env["KAFKA_BOOTSTRAP_SERVERS"] || (await sharedKafka())

/** Whether `startKafka` can do it here, for tests that need a broker alone. It is as loud when not as `realKafka`. */
export const canStartKafka = async () => (await sharedKafka()) !== undefined

const sharedKafka = async () => {
  const { inject } = await import("vitest")
  return bootstrapAt(inject("kafkaOffer"))
}

/** What is offered at the socket. */
export const bootstrapAt = async (socket: string) => {
  const offer: Offer = JSON.parse(await text(connect(socket)))
  if (offer.error !== undefined && process.env["CI"] === "true") {
    throw new Error(`no Kafka for the tests that need one: ${offer.error}`)
  }
  return offer.bootstrap
}

type Offer =
  | { readonly bootstrap: string; readonly error?: never }
  | { readonly error: string; readonly bootstrap?: never }

/** Returns the address of this run's broker to each client of the socket at `path`, and starts the broker for the first. */
export const offerKafka = async (path: string) => {
  let broker: Promise<Kafka> | undefined
  const start = async () => {
    try {
      return await startKafka()
    } catch (error) {
      process.stderr.write(
        `\n!!! NOT TESTED ON KAFKA: none can be started here, set KAFKA_BOOTSTRAP_SERVERS (${String(error)})\n\n`,
      )
      throw error
    }
  }
  const server = createServer(async (socket) => {
    broker ??= start()
    const offer = broker.then(
      ({ bootstrap }): Offer => ({ bootstrap }),
      (error): Offer => ({ error: String(error) }),
    )
    socket.on("error", () => {}).end(JSON.stringify(await offer))
  }).listen(path)
  await once(server, "listening")
  return async () => {
    server.close()
    await broker?.then(
      ({ close }) => close(),
      () => {},
    )
  }
}

/** For `proxy.loseAnswers`: the client sends records, in a request that begins with the chunk. */
export const producesRecords = (sent: Buffer) => sent.length >= 6 && sent.readInt16BE(4) === 0
