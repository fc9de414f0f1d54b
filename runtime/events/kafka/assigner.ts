import kafkajs, { type Assigner, type PartitionAssigner } from "kafkajs"

const { MemberMetadata, MemberAssignment } = kafkajs.AssignerProtocol

const name = "galleria"
const version = 1
const nothing = Buffer.alloc(0)
const claim = Buffer.from("claim")

/** What an assigner may ask of the client's picture of the cluster; kafkajs says no more than that it exists. */
interface Cluster {
  readonly addMultipleTargetTopics: (topics: ReadonlyArray<string>) => Promise<void>
  readonly findTopicPartitionMetadata: (topic: string) => ReadonlyArray<{ readonly partitionId: number }>
}

/**
 * Shares the partitions of each topic among the members that read it. The assigner that comes with kafkajs knows the
 * topics of the leader alone and deals them to everybody: where members read different ones, as in a rolling upgrade
 * that adds a topic, some partitions would silently be read by nobody.
 *
 * A member that `claims` gets all partitions of what it reads, and whoever had them lets go of them first, for a
 * rebalance waits for all: so a group's position can be moved while the group is at work.
 */
export const assigner =
  ({ claims }: { readonly claims: boolean }): PartitionAssigner =>
  (config): Assigner => {
    const cluster = config.cluster as unknown as Cluster
    return {
      name,
      version,
      protocol: ({ topics }) => ({
        name,
        metadata: MemberMetadata.encode({ version, topics, userData: claims ? claim : nothing }),
      }),
      assign: async ({ members }) => {
        const readers = members
          .map(({ memberId, memberMetadata }) => ({ memberId, ...MemberMetadata.decode(memberMetadata)! }))
          .sort((a, b) => (a.memberId < b.memberId ? -1 : 1))
          .map(({ memberId, topics, userData }) => ({
            memberId,
            topics: new Set(topics),
            claims: claim.equals(userData),
            parts: {} as Record<string, Array<number>>,
            load: 0,
          }))
        const topics = [...new Set(readers.flatMap((reader) => [...reader.topics]))].sort()
        await cluster.addMultipleTargetTopics(topics)
        for (const topic of topics) {
          const all = readers.filter((reader) => reader.topics.has(topic))
          const claimant = all.find((reader) => reader.claims)
          const parts = cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId)
          for (const part of parts.sort((a, b) => a - b)) {
            const reader = claimant ?? all.reduce((least, next) => (next.load < least.load ? next : least))
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
