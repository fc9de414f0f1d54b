import kafkajs, { type Assigner, type PartitionAssigner } from "kafkajs"

const { MemberMetadata, MemberAssignment } = kafkajs.AssignerProtocol

const name = "galleria"
const version = 1
const nothing = Buffer.alloc(0)

/** What an assigner may ask of the client's picture of the cluster; kafkajs says no more than that it exists. */
interface Cluster {
  readonly addMultipleTargetTopics: (topics: ReadonlyArray<string>) => Promise<void>
  readonly findTopicPartitionMetadata: (topic: string) => ReadonlyArray<{ readonly partitionId: number }>
}

/**
 * Shares the partitions of each topic among the members that read it. The assigner that comes with kafkajs knows the
 * topics of the leader alone and deals them to everybody: where members read different ones, as in a rolling upgrade
 * that adds a topic, some partitions would silently be read by nobody.
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
      const readers = members
        .map(({ memberId, memberMetadata }) => ({ memberId, ...MemberMetadata.decode(memberMetadata)! }))
        .sort((a, b) => (a.memberId < b.memberId ? -1 : 1))
        .map(({ memberId, topics }) => ({
          memberId,
          topics: new Set(topics),
          parts: {} as Record<string, Array<number>>,
          load: 0,
        }))
      const topics = [...new Set(readers.flatMap((reader) => [...reader.topics]))].sort()
      await cluster.addMultipleTargetTopics(topics)
      for (const topic of topics) {
        const all = readers.filter((reader) => reader.topics.has(topic))
        const parts = cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId)
        for (const part of parts.sort((a, b) => a - b)) {
          const reader = all.reduce((least, next) => (next.load < least.load ? next : least))
          reader.load++
          ;(reader.parts[topic] ??= []).push(part)
        }
      }
      return readers.map(({ memberId, parts }) => ({
        memberId,
        memberAssignment: MemberAssignment.encode({ version, assignment: parts, userData: nothing }),
      }))
    },
  }
}
