import type { Partition } from "../EventBus.ts"

/** What a group knows of a member. */
interface Reads {
  readonly topics: ReadonlyArray<string>
}

/** A consumer group, whose members are all in this process. */
export interface Group<Member extends Reads> {
  readonly members: Array<Member>
  /** The partitions of the running calls of `handle`. */
  readonly busy: Set<string>
}

/** The groups of this process. */
export interface Groups<Member extends Reads> {
  /** The group of that name, which is created if it does not exist. */
  readonly of: (name: string) => Group<Member>
  /** The members of all groups. */
  readonly members: () => Iterable<Member>
}

export const makeGroups = <Member extends Reads>(): Groups<Member> => {
  const groups = new Map<string, Group<Member>>()
  return {
    of: (name) => {
      const known = groups.get(name) ?? { members: [], busy: new Set<string>() }
      groups.set(name, known)
      return known
    },
    members: () => [...groups.values()].flatMap(({ members }) => members),
  }
}

/** The member that has a partition: the readers of a topic have its partitions in turn. */
export const ownerOf = <Member extends Reads>(
  { members }: Group<Member>,
  { topic, partition }: Partition,
): Member | undefined => {
  const readers = members.filter((member) => member.topics.includes(topic))
  return readers[partition % readers.length]
}

/** The partitions that a member has; `counts` has the number of partitions of each topic. */
export const partitionsOf = <Member extends Reads>(
  group: Group<Member>,
  member: Member,
  counts: ReadonlyMap<string, number>,
): ReadonlyArray<Partition> =>
  member.topics.flatMap((topic) =>
    Array.from({ length: counts.get(topic) ?? 0 }, (_, partition) => ({ topic, partition })).filter(
      (partition) => ownerOf(group, partition) === member,
    ),
  )
