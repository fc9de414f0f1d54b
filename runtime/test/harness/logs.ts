import { Effect, Layer } from "effect"
import * as KafkaEventBus from "../../events/kafka/KafkaEventBus.ts"
import { Loops, makeLoops } from "../../loop/loop.ts"
import * as EmbeddedDatabase from "../../sql/embedded/EmbeddedDatabase.ts"
import { kafkaAt } from "./bus.ts"
import { canStartKafka, startKafka } from "./kafka.ts"
import { drivers, postgres } from "./memory.ts"

/** The embedded database in memory, and a Kafka of its own for a log: fresh ones each time it is built. */
export const driversOnKafka = () =>
  Layer.merge(ownKafka, EmbeddedDatabase.layer).pipe(
    Layer.provideMerge(postgres()),
    Layer.provideMerge(Layer.sync(Loops, makeLoops)),
  )

const ownKafka = Layer.unwrap(
  Effect.acquireRelease(
    Effect.promise(() => startKafka()),
    (kafka) => Effect.promise(() => kafka.close()),
  ).pipe(Effect.map(({ bootstrap }) => KafkaEventBus.layer(kafkaAt(bootstrap)))),
)

/** The logs that can be had here, for tests that hold on any. */
export const logs = async () => [
  { log: "embedded", drivers },
  ...((await canStartKafka()) ? [{ log: "kafka", drivers: driversOnKafka }] : []),
]
