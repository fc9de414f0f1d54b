import { realKafka } from "../../testing/kafka.ts"
import { eventBusSuite } from "../EventBusSuite.ts"
import { onKafka } from "../suite/onKafka.ts"

const servers = await realKafka()
if (servers !== undefined) eventBusSuite({ name: "kafka", log: onKafka(servers.split(",")) })
