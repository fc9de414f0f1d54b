import { Duration, Effect, Exit, Schedule } from "effect"
import kafkajs, { type Admin } from "kafkajs"
import { defaultPartitions, EventBusError, PartitionsDiffer, type Retention, type Topic } from "../EventBus.ts"
import type { Renewable } from "./client.ts"

export interface Topics {
  /** `EventBus.ensure`. */
  readonly ensure: (topics: ReadonlyArray<Topic>) => Effect.Effect<void, EventBusError | PartitionsDiffer>
  /** Whether `ensure` was called for the topic. */
  readonly isEnsured: (topic: string) => boolean
  /** Creates again those of the ensured topics that were deleted. */
  readonly restore: Effect.Effect<void, EventBusError>
}

/** Creates topics, and remembers them. */
export const makeTopics = (admin: Renewable<Admin>): Topics => {
  const ensured = new Map<string, Topic>()
  return {
    ensure: (topics) =>
      Effect.gen(function* () {
        for (const topic of topics) ensured.set(topic.name, topic)
        if (topics.length === 0) return
        yield* refuseOtherCounts(topics, yield* partitionCounts(admin, topics))
        yield* refuseOtherCounts(topics, yield* createMissing(admin, topics))
      }),
    isEnsured: (topic) => ensured.has(topic),
    restore: Effect.suspend(() => Effect.asVoid(createMissing(admin, [...ensured.values()]))),
  }
}

/** Those of the topics that exist: Kafka fails a request that names another one. */
export const existing = async (client: Admin, topics: ReadonlyArray<string>): Promise<Array<string>> => {
  const found = new Set(await client.listTopics())
  return topics.filter((topic) => found.has(topic))
}

/** The number of partitions of each of the topics that exist. */
const partitionCounts = (admin: Renewable<Admin>, wanted: ReadonlyArray<Topic>) =>
  admin.use("describe topics", "20 seconds", async (client) => {
    const names = wanted.map(({ name }) => name)
    const { topics } = await client.fetchTopicMetadata({ topics: await existing(client, names) })
    return new Map(topics.map(({ name, partitions }) => [name, partitions.length]))
  })

const create = (admin: Renewable<Admin>, topics: ReadonlyArray<Topic>) =>
  admin.use("create topics", "30 seconds", (client) =>
    client.createTopics({
      waitForLeaders: false,
      topics: topics.map(({ name, partitions, retention }) => ({
        topic: name,
        numPartitions: partitions ?? defaultPartitions,
        replicationFactor: -1,
        configEntries: [
          { name: "retention.ms", value: String(retention === undefined ? -1 : Duration.toMillis(retention)) },
          // The time of a record is when the broker appended it.
          { name: "message.timestamp.type", value: "LogAppendTime" },
        ],
      })),
    }),
  )

/** Waits until every partition has a leader that answers: a send before that would be retried, and leave copies. */
const awaitLeaders = (admin: Renewable<Admin>, topics: ReadonlyArray<Topic>) =>
  admin
    .use("create topics", "30 seconds", (client) =>
      Promise.all(topics.map(({ name }) => client.fetchTopicOffsets(name))),
    )
    .pipe(Effect.retry({ times: 20, schedule: Schedule.spaced("100 millis") }))

/** Creates the missing topics; succeeds with the number of partitions of each topic. */
const createMissing = (admin: Renewable<Admin>, topics: ReadonlyArray<Topic>) =>
  Effect.gen(function* () {
    const counts = partitionCounts(admin, topics)
    const found = yield* counts
    const missing = topics.filter(({ name }) => !found.has(name))
    if (missing.length === 0) return found
    // Creation may report a failure for a topic that was created, as by another process at the same time, and a new topic
    // shows a little later. So the topics are read again, and their existence decides.
    const made = yield* Effect.exit(create(admin, missing))
    const afterwards = yield* Effect.repeat(counts, {
      until: (found) => Exit.isFailure(made) || topics.every(({ name }) => found.has(name)),
      schedule: Schedule.max([Schedule.spaced("100 millis"), Schedule.recurs(100)]),
    })
    if (topics.some(({ name }) => !afterwards.has(name))) {
      yield* made
      return yield* new EventBusError({ operation: "create topics", cause: new Error("they do not exist yet") })
    }
    yield* awaitLeaders(admin, missing)
    return afterwards
  })

const refuseOtherCounts = (topics: ReadonlyArray<Topic>, found: ReadonlyMap<string, number>) => {
  const differing = differingIn(topics, found)
  return differing === undefined ? Effect.void : Effect.fail(differing)
}

/** The first topic whose number of partitions is not the one that was asked for. */
export const differingIn = (
  topics: ReadonlyArray<Topic>,
  found: ReadonlyMap<string, number>,
): PartitionsDiffer | undefined => {
  for (const { name, partitions } of topics) {
    const count = found.get(name)
    if (partitions !== undefined && count !== undefined && count !== partitions) {
      return new PartitionsDiffer({ topic: name, wanted: partitions, found: count })
    }
  }
  return undefined
}

const configNames = ["cleanup.policy", "retention.ms", "retention.bytes"]

/** The retention of those of the topics that exist. */
export const retentionsIn = async (client: Admin, topics: ReadonlyArray<string>): Promise<ReadonlyArray<Retention>> => {
  const wanted = await existing(client, topics)
  if (wanted.length === 0) return []
  const { resources } = await client.describeConfigs({
    includeSynonyms: false,
    resources: wanted.map((name) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name, configNames })),
  })
  return resources.map(({ resourceName, configEntries }) =>
    retentionOf(resourceName, new Map(configEntries.map(({ configName, configValue }) => [configName, configValue]))),
  )
}

/** The retention that follows from a topic's configuration. */
export const retentionOf = (topic: string, config: ReadonlyMap<string, string>): Retention => {
  const policy = config.get("cleanup.policy") ?? "delete"
  const deletes = policy.includes("delete")
  const millis = deletes ? Number(config.get("retention.ms") ?? -1) : -1
  const bytes = deletes ? Number(config.get("retention.bytes") ?? -1) : -1
  const sooner = policy.includes("compact")
    ? `cleanup.policy=${policy}`
    : bytes >= 0
      ? `retention.bytes=${bytes}`
      : undefined
  return { topic, retention: millis < 0 ? undefined : Duration.millis(millis), sooner }
}
