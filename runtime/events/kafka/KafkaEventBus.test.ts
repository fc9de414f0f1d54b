import { Layer } from "effect"
import { Loops, makeLoops } from "../../module/loop.ts"
import { realKafka } from "../../testing/kafka.ts"
import { eventBusSuite } from "../EventBusSuite.ts"
import * as KafkaEventBus from "./KafkaEventBus.ts"

const servers = await realKafka()
if (servers !== undefined) {
  const settings = { servers: servers.split(","), ssl: false, sasl: undefined }
  eventBusSuite({
    name: "kafka",
    layer: Layer.provide(KafkaEventBus.layer(settings), Layer.sync(Loops, makeLoops)),
    patience: "60 seconds",
  })
}
