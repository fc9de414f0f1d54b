import { Effect, Layer } from "effect"
import type { Kafka } from "kafkajs"
import { Loops, makeLoops } from "../../loop/loop.ts"
import { askKafka } from "../../test/harness/kafkaLog.ts"
import { startMember } from "../../test/harness/memberProcess.ts"
import { makeKafka } from "../kafka/client.ts"
import * as KafkaEventBus from "../kafka/KafkaEventBus.ts"
import { Log } from "./Log.ts"

/** What may be wrong with a client of Kafka, to show that the suite notices. */
export type Change = (kafka: Kafka) => Kafka

/** Kafka at these servers, where names of topics and groups have to be the suite's own. */
export const onKafka = (servers: ReadonlyArray<string>, change: Change = (kafka) => kafka) => {
  const open = makeKafka({ servers, ssl: false, sasl: undefined }).pipe(
    Effect.flatMap((kafka) => KafkaEventBus.make(() => change(kafka()))),
    Effect.provideServiceEffect(Loops, Effect.sync(makeLoops)),
  )

  const process = Effect.gen(function* () {
    const bus = yield* open
    const { consume, signal } = yield* startMember(servers)
    const [kill, freeze, thaw] = (["SIGKILL", "SIGSTOP", "SIGCONT"] as const).map(signal)
    return { bus: { ...bus, consume }, kill: kill!, freeze: freeze!, thaw: thaw! }
  })

  /** As retention does it: what is older than an offset is gone. */
  const age = (topic: string) =>
    Effect.promise(() =>
      askKafka(servers[0]!, async (admin) => {
        // It has to know the leaders.
        await admin.fetchTopicMetadata({ topics: [topic] })
        const ends = await admin.fetchTopicOffsets(topic)
        const partitions = ends.map(({ partition, high }) => ({ partition, offset: high }))
        await admin.deleteTopicRecords({ topic, partitions })
      }),
    )

  return Layer.succeed(Log, {
    open,
    process,
    age,
    differences: { patience: "60 seconds", silence: "10 seconds", sideBySide: true, keepsForGroups: false },
  })
}
