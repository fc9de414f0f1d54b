import { once } from "node:events"
import { connect, createServer } from "node:net"
import { text } from "node:stream/consumers"
import { freePort } from "./freePort.ts"
import { inDocker } from "./kafkaInDocker.ts"
import { onJava } from "./kafkaOnJava.ts"
import { startProxy, type Proxy } from "./proxy.ts"

export interface Options {
  /** Settings of the broker beside or instead of those below: `{ "message.max.bytes": 2_000_000 }`. */
  readonly properties?: Properties
  /** Of the heap; 256 unless it is given. */
  readonly megabytes?: number
  /** Compiled as in production, for a bench: more throughput, and a slower start. */
  readonly optimized?: boolean
}

export type Properties = Readonly<Record<string, string | number | boolean>>

/** The broker of one `startKafka`, whatever it runs on. What is done to it is done when the promise resolves. */
export interface Broker {
  /** Usable when it resolves. On the same ports with the same data as before. Nothing if it runs. */
  readonly start: () => Promise<void>
  /** Lets it end by itself, by SIGTERM, thawed if it was frozen. */
  readonly stop: () => Promise<void>
  /** SIGKILL. */
  readonly kill: () => Promise<void>
  /** SIGSTOP: connections open and stay open, and nobody answers. */
  readonly pause: () => Promise<void>
  readonly resume: () => Promise<void>
  /**
   * Runs one of Kafka's own tools on the direct listener, and resolves with what it printed; it rejects when the tool
   * ends with another code than 0.
   */
  readonly console: (tool: Tool, args: ReadonlyArray<string>, input?: string) => Promise<string>
}

/** `kafka-console-producer.sh` and its like. */
export type Tool = "producer" | "consumer"

/**
 * An Apache Kafka of one broker, in KRaft mode, for whoever started it alone. It is gone with all its data when it is
 * closed, when it goes out of scope, and when this process ends, even by kill -9.
 */
export interface Kafka extends Broker, AsyncDisposable {
  readonly bootstrap: string
  /** The same broker for clients that are to meet the faults of `proxy`: they are told of its port only. */
  readonly proxiedBootstrap: string
  readonly proxy: Proxy
  readonly close: () => Promise<void>
}

/** What a driver needs to know of a broker: three ports of 127.0.0.1, and where the proxied one is reached. */
export interface Place {
  readonly direct: number
  readonly proxied: number
  readonly proxy: number
  readonly controller: number
}

export type Driver = (place: Place, options: Options) => Promise<Broker & { readonly remove: () => Promise<void> }>

/** Starts a broker in Docker, else in Java; it is usable when this resolves. */
export const startKafka = async (options: Options = {}): Promise<Kafka> => {
  const proxied = await freePort()
  const proxy = await startProxy({ to: proxied })
  const place = { direct: await freePort(), proxied, proxy: proxy.port, controller: await freePort() }
  const close = async () => {
    await proxy.close()
    await broker?.remove()
  }
  let broker: Awaited<ReturnType<Driver>> | undefined
  try {
    broker = await anyOf([inDocker, onJava], place, options)
    await broker.start()
  } catch (error) {
    await close()
    throw error
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

/** The first driver that can make a broker here. */
const anyOf = async (drivers: ReadonlyArray<Driver>, place: Place, options: Options) => {
  const reasons: Array<string> = []
  for (const driver of drivers) {
    try {
      return await driver(place, options)
    } catch (error) {
      reasons.push(error instanceof Error ? error.message : String(error))
    }
  }
  throw new Error(reasons.join("; "))
}

/** The settings of a test broker: one node that is quick to start, to notice that it is back, and to form a group. */
export const propertiesOf = (place: Place, { properties = {} }: Options, host: string): Properties => ({
  "process.roles": "broker,controller",
  "node.id": 1,
  "controller.quorum.voters": `1@127.0.0.1:${place.controller}`,
  "controller.listener.names": "CONTROLLER",
  listeners: `DIRECT://${host}:${place.direct},PROXIED://${host}:${place.proxied},CONTROLLER://127.0.0.1:${place.controller}`,
  "advertised.listeners": `DIRECT://127.0.0.1:${place.direct},PROXIED://127.0.0.1:${place.proxy}`,
  "listener.security.protocol.map": "DIRECT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
  "inter.broker.listener.name": "DIRECT",
  "auto.create.topics.enable": false,
  "default.replication.factor": 1,
  "offsets.topic.num.partitions": 1,
  "offsets.topic.replication.factor": 1,
  "transaction.state.log.num.partitions": 1,
  "transaction.state.log.replication.factor": 1,
  "transaction.state.log.min.isr": 1,
  // With the defaults, 9 s and 2 s, a broker that was killed needs 13 s to be back.
  "broker.session.timeout.ms": 2_000,
  "broker.heartbeat.interval.ms": 300,
  "group.initial.rebalance.delay.ms": 0,
  "group.min.session.timeout.ms": 1_000,
  "log.cleaner.dedupe.buffer.size": 16_000_000,
  ...properties,
})

/**
 * The bootstrap servers of a real Kafka: `KAFKA_BOOTSTRAP_SERVERS`, else a broker that all test files of a run share,
 * started for the first that asks. Names of topics and groups have to be its caller's own, and faults are for a broker
 * by `startKafka`. Where none can be had it is undefined, which one loud line says, and with `CI=true` it is an error.
 */
export const realKafka = async (): Promise<string | undefined> => {
  const given = process.env["KAFKA_BOOTSTRAP_SERVERS"]
  if (given) return given
  const { inject } = await import("vitest")
  const offer: Offer = JSON.parse(await text(connect(inject("kafkaOffer"))))
  if (offer.error !== undefined && process.env["CI"] === "true") {
    throw new Error(`no Kafka for the tests that need one: ${offer.error}`)
  }
  return offer.bootstrap
}

type Offer =
  | { readonly bootstrap: string; readonly error?: never }
  | { readonly error: string; readonly bootstrap?: never }

/** Tells everybody who connects to the socket at `path` where the broker of this run is, and starts it for the first. */
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
