import { execFile } from "node:child_process"
import { promisify } from "node:util"

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
  /**
   * On the same ports with the same data as before; nothing if it runs. When it resolves it takes requests; a moment may
   * pass until it knows again that it leads its partitions, as clients expect of any restart.
   */
  readonly start: () => Promise<void>
  /** Lets it end by itself, by SIGTERM, thawed if it was frozen. */
  readonly stop: () => Promise<void>
  /** SIGKILL. */
  readonly kill: () => Promise<void>
  /** SIGSTOP: connections open and stay open, without an answer. */
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

/** What a driver needs to know of a broker: three ports of 127.0.0.1, and where the proxied one is reached. */
export interface Place {
  readonly direct: number
  readonly proxied: number
  readonly proxy: number
  readonly controller: number
}

export type Driver = (place: Place, options: Options) => Promise<Removable>
/** A broker that goes with all it left, in whatever state it is. */
export type Removable = Broker & { readonly remove: () => Promise<void> }

/** For a start on a machine that is very busy: it takes a second otherwise. */
export const patienceMillis = 90_000

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

/** Runs a program that reads `input`, and resolves with what it printed. */
export const runWith = async (input: string, program: string, args: ReadonlyArray<string>): Promise<string> => {
  const running = promisify(execFile)(program, args, { maxBuffer: 64 * 1_048_576 })
  running.child.stdin?.on("error", () => {}).end(input)
  return (await running).stdout
}
