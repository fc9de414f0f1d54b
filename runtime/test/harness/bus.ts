import { Context, type Duration, Effect, Exit, Layer, Schedule, Scope } from "effect"
import { randomUUID } from "node:crypto"
import { drivers } from "../../drivers.ts"
import {
  EventBus,
  type Handle,
  type Outgoing,
  partitionName,
  type Positions,
  type Received,
  type Topic,
} from "../../events/EventBus.ts"
import type { KafkaSettings } from "../../events/kafka/settings.ts"
import * as KafkaEventBus from "../../events/kafka/KafkaEventBus.ts"
import { backOff, Loops, makeLoops } from "../../loop/loop.ts"

/** How long a fact may be waited for. */
export const Patience = Context.Reference<Duration.Input>("galleria/testing/Patience", {
  defaultValue: () => "60 seconds",
})

/** Waits for a fact, by looking. */
export const until = <E, R>(fact: string, look: Effect.Effect<boolean, E, R>) =>
  Effect.gen(function* () {
    yield* look.pipe(
      Effect.repeat({ until: (seen) => seen, schedule: Schedule.spaced("20 millis") }),
      Effect.timeoutOrElse({
        duration: yield* Patience,
        orElse: () => Effect.die(new Error(`not seen in time: ${fact}`)),
      }),
    )
  })

/** A topic that is kept for ever, unless said otherwise. */
export const newTopic = (partitions: Topic["partitions"], retention?: Topic["retention"]) =>
  Effect.gen(function* () {
    const bus = yield* EventBus
    const name = `topic-${randomUUID()}`
    // Kafka may deny for a moment that it has a topic which was just made.
    yield* Effect.retry(bus.ensure([{ name, partitions, retention }]), { times: 10, schedule: backOff })
    return name
  })

export const send = (records: ReadonlyArray<Outgoing>) => Effect.flatMap(EventBus, (bus) => bus.send(records))

/** Puts records on the log of a data folder that no process uses, as another process would. */
export const sendTo = (dataDir: string, records: ReadonlyArray<Outgoing>) =>
  send(records).pipe(
    Effect.provide(Layer.provide(drivers({ dataDir, kafka: undefined }), Layer.sync(Loops, makeLoops))),
    Effect.runPromise,
  )

/** The same on Kafka. */
export const sendToKafka = (bootstrap: string, records: ReadonlyArray<Outgoing>) =>
  send(records).pipe(
    Effect.provide(Layer.provide(KafkaEventBus.layer(kafkaAt(bootstrap)), Layer.sync(Loops, makeLoops))),
    Effect.runPromise,
  )

export const kafkaAt = (bootstrap: string): KafkaSettings => ({ servers: [bootstrap], ssl: false, sasl: undefined })

export const lagOf = (group: string) => Effect.flatMap(EventBus, (bus) => bus.lag(group))

export const record = (topic: string, key: string | null, text: string): Outgoing => ({
  topic,
  key,
  value: Buffer.from(text),
  headers: {},
})

/** Records number `from` up to and without `to`; the number is their text, and the keys take turns. */
export const numbered = (topic: string, from: number, to: number, keys = 10): ReadonlyArray<Outgoing> =>
  Array.from({ length: to - from }, (_, n) => record(topic, `key ${(from + n) % keys}`, String(from + n)))

export const textOf = ({ value }: Outgoing) => (value === null ? null : Buffer.from(value).toString())
export const offsetOf = ({ offset }: Received) => offset

/** Their texts by number, to compare what arrived independent of the order. */
export const textsOf = (records: ReadonlyArray<Outgoing>) => records.map(textOf).sort((a, b) => Number(a) - Number(b))

export const grouped = <A, K, B>(items: ReadonlyArray<A>, by: (item: A) => K, of: (item: A) => B) =>
  new Map([...Map.groupBy(items, by)].map(([key, members]) => [key, members.map(of)]))

/** The texts of each key, in their order. */
export const byKey = (records: ReadonlyArray<Outgoing>) => grouped(records, ({ key }) => key, textOf)

/** Each record when it first came, for it may come again. */
export const firstsOf = (records: ReadonlyArray<Received>): ReadonlyArray<Received> =>
  [...Map.groupBy(records, (record) => `${partitionName(record)}/${record.offset}`).values()].map(([first]) => first!)

/**
 * A group of consumers that remembers each call of `handle`, in the order of time, and keeps watch for what no bus
 * may do: a gap, a partition in two calls at once.
 */
export const newGroup = (...topics: ReadonlyArray<string>) => {
  const name = `group-${randomUUID()}`
  const calls: Array<ReadonlyArray<Received>> = []
  const faults: Array<string> = []
  /** Who has a partition in a call. */
  const inHand = new Map<string, object>()
  const deadOnes = new Set<object>()

  const taken = (records: ReadonlyArray<Received>, member: object) => {
    calls.push(records)
    for (const [place, offsets] of grouped(records, partitionName, offsetOf)) {
      if (offsets.some((offset, n) => offset !== offsets[0]! + n)) faults.push(`${place} has a gap: ${offsets.join()}`)
      if (deadOnes.has(member)) continue
      if (inHand.has(place)) faults.push(`${place} is in two calls at once`)
      inHand.set(place, member)
    }
  }
  const done = (places: Iterable<string>, member: object) => {
    for (const place of places) if (inHand.get(place) === member) inHand.delete(place)
  }

  /**
   * One more member joins, and leaves with the check at the latest. `mine` are the calls that it got; once it is
   * `dead`, as the group may see it, others may have what it has in hand.
   */
  const join = (handle: Handle = () => Effect.void, reads: ReadonlyArray<string> = topics, positions?: Positions) =>
    Effect.gen(function* () {
      const bus = yield* EventBus
      const member = {}
      const scope = yield* Scope.fork(yield* Effect.scope)
      const mine: Array<ReadonlyArray<Received>> = []
      const watched: Handle = (records, spans) =>
        Effect.suspend(() => {
          taken(records, member)
          mine.push(records)
          return handle(records, spans)
        }).pipe(Effect.ensuring(Effect.sync(() => done(records.map(partitionName), member))))
      yield* bus.consume({ group: name, topics: reads, handle: watched, positions }).pipe(Scope.provide(scope))
      const dead = Effect.sync(() => {
        deadOnes.add(member)
        done([...inHand.keys()], member)
      })
      return { mine, leave: Scope.close(scope, Exit.void), dead }
    })

  /** Waits until the group has handled everything, according to the bus. */
  const settled = Effect.gen(function* () {
    // A bus that is just starting may not know yet.
    const idle = lagOf(name).pipe(
      Effect.map((lags) => lags.length > 0 && lags.every(({ records }) => records === 0)),
      Effect.orElseSucceed(() => false),
    )
    yield* until("the group has handled all", idle)
    if (faults.length > 0) return yield* Effect.die(new Error(`what no bus may do: ${faults.slice(0, 5).join("; ")}`))
  })

  return { name, calls, join, settled, received: () => calls.flat() }
}
