import kafkajs, { type Assigner, type PartitionAssigner } from "kafkajs"

const { MemberMetadata, MemberAssignment } = kafkajs.AssignerProtocol

const name = "galleria"
const version = 1
const nothing = Buffer.alloc(0)

/** The cluster's methods that an assigner uses: kafkajs declares `Cluster` as an empty type. */
interface Cluster {
  readonly addMultipleTargetTopics: (topics: ReadonlyArray<string>) => Promise<void>
  readonly findTopicPartitionMetadata: (topic: string) => ReadonlyArray<{ readonly partitionId: number }>
}

/** A member of the group and the topics that it subscribes to. */
interface Reader {
  readonly memberId: string
  readonly topics: ReadonlyArray<string>
}

/**
 * Assigns the partitions of each topic to the members that subscribe to it. kafkajs' own assigner assigns only the
 * leader's topics, and to all members: where members subscribe to different topics, as in a rolling upgrade that adds
 * one, some partitions would silently have no reader.
 */
export const assigner: PartitionAssigner = (config): Assigner => {
  const cluster = config.cluster as unknown as Cluster
  return {
    name,
    version,
    protocol: ({ topics }) => ({
      name,
      metadata: MemberMetadata.encode({ version, topics, userData: nothing }),
    }),
    assign: async ({ members }) => {
      const readers = members.map(({ memberId, memberMetadata }) => {
        const { topics } = MemberMetadata.decode(memberMetadata)!
        return { memberId, topics }
      })
      await cluster.addMultipleTargetTopics([...new Set(readers.flatMap(({ topics }) => topics))].sort())
      const partitionsOf = (topic: string) =>
        cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId)
      return Array.from(assign(readers, partitionsOf), ([memberId, assignment]) => ({
        memberId,
        memberAssignment: MemberAssignment.encode({ version, assignment, userData: nothing }),
      }))
    },
  }
}

/** Gives each partition to the reader of its topic that has the fewest. The same members get the same partitions. */
const assign = (
  members: ReadonlyArray<Reader>,
  partitionsOf: (topic: string) => ReadonlyArray<number>,
): ReadonlyMap<string, Record<string, Array<number>>> => {
  const readers = members
    .map(({ memberId, topics }) => ({
      memberId,
      topics: new Set(topics),
      partitions: {} as Record<string, Array<number>>,
      count: 0,
    }))
    .sort((a, b) => (a.memberId < b.memberId ? -1 : 1))
  const topics = [...new Set(members.flatMap(({ topics }) => topics))].sort()
  for (const topic of topics) {
    const candidates = readers.filter((reader) => reader.topics.has(topic))
    for (const partition of partitionsOf(topic).toSorted((a, b) => a - b)) {
      const reader = candidates.reduce((least, next) => (next.count < least.count ? next : least))
      reader.count++
      ;(reader.partitions[topic] ??= []).push(partition)
    }
  }
  return new Map(readers.map(({ memberId, partitions }) => [memberId, partitions]))
}
