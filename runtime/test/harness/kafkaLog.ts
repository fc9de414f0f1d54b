import kafkajs, { type Admin } from "kafkajs"
import { randomUUID } from "node:crypto"
import { installCodecs } from "../../events/kafka/codecs.ts"
import { until } from "./process.ts"

/** All that is on a log, under the names that it has in the tables of the embedded one. */
export interface Log {
  readonly record: ReadonlyArray<Row & { readonly offset: number; readonly value: string | null; headers: Headers }>
  /** The offset that the next record gets. */
  readonly partition: ReadonlyArray<Row & { readonly next: number }>
  /** The offset that the group reads next. */
  readonly position: ReadonlyArray<Row & { readonly grp: string; readonly next: number }>
}

interface Row {
  readonly topic: string
  readonly part: number
}

type Headers = Readonly<Record<string, string>>

/** kafkajs used plainly. */
export const clientOf = (bootstrap: string) => {
  installCodecs()
  return new kafkajs.Kafka({ brokers: [bootstrap], logLevel: kafkajs.logLevel.NOTHING })
}

/** Asks the cluster something, once. */
export const askKafka = async <A>(bootstrap: string, ask: (admin: Admin) => Promise<A>): Promise<A> => {
  const admin = clientOf(bootstrap).admin()
  await admin.connect()
  try {
    return await ask(admin)
  } finally {
    await admin.disconnect()
  }
}

const ownTopics = async (admin: Admin) => (await admin.listTopics()).filter((topic) => !topic.startsWith("__"))

const partitionsOf = async (admin: Admin): Promise<Log["partition"]> => {
  const ends = (await ownTopics(admin)).map(async (topic) =>
    (await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => ({
      topic,
      part: partition,
      next: Number(high),
    })),
  )
  return (await Promise.all(ends)).flat()
}

/** Where the groups of modules go on. */
const positionsOf = async (admin: Admin): Promise<Log["position"]> => {
  const { groups } = await admin.listGroups()
  const own = groups.map(({ groupId }) => groupId).filter((grp) => grp.endsWith("_service_group"))
  const positions = own.map(async (grp) => {
    const offsets = await admin.fetchOffsets({ groupId: grp })
    return offsets.flatMap(({ topic, partitions }) =>
      partitions.map(({ partition, offset }) => ({ grp, topic, part: partition, next: Number(offset) })),
    )
  })
  return (await Promise.all(positions)).flat()
}

/** Reads a Kafka from its first to its last record, by nothing of what wrote it. */
export const recordsOn = async (bootstrap: string): Promise<Log> => {
  const [partition, position] = await askKafka(bootstrap, (admin) =>
    Promise.all([partitionsOf(admin), positionsOf(admin)]),
  )
  const record: Array<Log["record"][number]> = []
  const topics = [...new Set(partition.map(({ topic }) => topic))]
  const all = partition.reduce((sum, { next }) => sum + next, 0)
  const consumer = clientOf(bootstrap).consumer({ groupId: `audit-${randomUUID()}`, maxWaitTimeInMs: 100 })
  await consumer.connect()
  try {
    await consumer.subscribe({ topics, fromBeginning: true })
    await consumer.run({
      eachMessage: async ({ topic, partition: part, message: { offset, value, headers = {} } }) => {
        const texts = Object.entries(headers).map(([name, text]) => [name, String(text)])
        record.push({
          topic,
          part,
          offset: Number(offset),
          value: value === null ? null : String.raw`\x${value.toString("hex")}`,
          headers: Object.fromEntries(texts),
        })
      },
    })
    await until("the log was read", () => record.length >= all)
  } finally {
    await consumer.disconnect()
  }
  return { record, partition, position }
}

/** Who are the members of a group, and which partitions each has. */
export const membersOf = (bootstrap: string, group: string) =>
  askKafka(bootstrap, async (admin) => {
    const [description] = (await admin.describeGroups([group])).groups
    const { MemberAssignment } = kafkajs.AssignerProtocol
    return description!.members.map(
      ({ memberAssignment }) => MemberAssignment.decode(memberAssignment)?.assignment ?? {},
    )
  })

/** The records that groups of modules have not finished: how many, in which partitions; undefined when there are none. */
export const lagOn = (bootstrap: string): Promise<string | undefined> =>
  askKafka(bootstrap, async (admin) => {
    const ends = await partitionsOf(admin)
    const positions = await positionsOf(admin)
    const lags = positions.flatMap(({ grp, topic, part, next }) => {
      const end = ends.find((one) => one.topic === topic && one.part === part)?.next ?? 0
      return end <= Math.max(next, 0) ? [] : [`${grp} is at ${next} of ${end} in ${topic}/${part}`]
    })
    return lags.length === 0 ? undefined : `records are not handled: ${lags.join(", ")}`
  })
