import type { Partition } from "../EventBus.ts"

/** The members of a group in this process, which is all of them. */
export interface Group<Member extends { readonly topics: ReadonlyArray<string> }> {
  readonly members: Array<Member>
  /** Partitions that a call of `handle` has in hand. */
  readonly busy: Set<string>
}

/** Which member has a partition: those that read the topic have its partitions in turn. */
export const ownerOf = <Member extends { readonly topics: ReadonlyArray<string> }>(
  { members }: Group<Member>,
  { topic, partition }: Partition,
): Member | undefined => {
  const readers = members.filter((member) => member.topics.includes(topic))
  return readers[partition % readers.length]
}

/** The partitions that a member has, of topics with so many each. */
export const partitionsOf = <Member extends { readonly topics: ReadonlyArray<string> }>(
  group: Group<Member>,
  member: Member,
  counts: ReadonlyMap<string, number>,
): ReadonlyArray<Partition> =>
  member.topics.flatMap((topic) =>
    Array.from({ length: counts.get(topic) ?? 0 }, (_, partition) => ({ topic, partition })).filter(
      (partition) => ownerOf(group, partition) === member,
    ),
  )
