import { describe, expect, it } from "vitest"
import kafkajs, { type Cluster, type Logger } from "kafkajs"
import { assigner } from "./assigner.ts"

const { MemberAssignment } = kafkajs.AssignerProtocol

const silence = () => {}
const logger: Logger = {
  info: silence,
  error: silence,
  warn: silence,
  debug: silence,
  namespace: () => logger,
  setLogLevel: silence,
}

interface Member {
  readonly topics: ReadonlyArray<string>
}

type Assignment = Readonly<Record<string, Readonly<Record<string, ReadonlyArray<number>>>>>

/** What a leader deals to the members of a group, on a cluster whose topics have so many partitions. */
const deal = async (members: Readonly<Record<string, Member>>, partitions: Readonly<Record<string, number>>) => {
  const known = new Set<string>()
  const cluster = {
    addMultipleTargetTopics: async (topics: ReadonlyArray<string>) => topics.forEach((topic) => known.add(topic)),
    findTopicPartitionMetadata: (topic: string) =>
      // A client has no metadata of topics that were not added.
      Array.from({ length: known.has(topic) ? partitions[topic]! : 0 }, (_, n) => ({ partitionId: n })).toReversed(),
  } as unknown as Cluster
  const one = assigner({ cluster, groupId: "group", logger })
  const dealt = await one.assign({
    members: Object.entries(members).map(([memberId, { topics }]) => ({
      memberId,
      memberMetadata: one.protocol({ topics: [...topics] }).metadata,
    })),
    topics: [],
  })
  return Object.fromEntries(
    dealt.map(({ memberId, memberAssignment }) => [memberId, MemberAssignment.decode(memberAssignment)!.assignment]),
  ) as Assignment
}

/** Who has each partition of a topic: each is to have one member. */
const ownersOf = (assignment: Assignment, topic: string) => {
  const owners: Array<[number, string]> = []
  for (const [member, of] of Object.entries(assignment)) for (const n of of[topic] ?? []) owners.push([n, member])
  return owners.toSorted(([a], [b]) => a - b)
}

const partitionsOf = (assignment: Assignment, topic: string) => ownersOf(assignment, topic).map(([n]) => n)

describe("assigner", () => {
  it("gives a member that is alone all partitions of what it reads", async () => {
    expect(await deal({ a: { topics: ["x", "y"] } }, { x: 2, y: 3 })).toEqual({ a: { x: [0, 1], y: [0, 1, 2] } })
  })

  it("gives each partition to one member, and to each as many", async () => {
    const assignment = await deal(
      { a: { topics: ["x", "y"] }, b: { topics: ["x", "y"] }, c: { topics: ["x", "y"] } },
      { x: 6, y: 6 },
    )
    expect(partitionsOf(assignment, "x")).toEqual([0, 1, 2, 3, 4, 5])
    expect(partitionsOf(assignment, "y")).toEqual([0, 1, 2, 3, 4, 5])
    const loads = Object.values(assignment).map((of) => Object.values(of).flat().length)
    expect(loads).toEqual([4, 4, 4])
  })

  it("gives a topic only to members that read it, whichever member leads", async () => {
    const assignment = await deal({ a: { topics: ["x"] }, b: { topics: ["x", "y"] } }, { x: 4, y: 4 })
    expect(partitionsOf(assignment, "x")).toEqual([0, 1, 2, 3])
    expect(ownersOf(assignment, "y")).toEqual([0, 1, 2, 3].map((n) => [n, "b"]))
  })

  it("reads every topic where each member reads one of its own", async () => {
    const topics = ["u", "v", "w", "x", "y"]
    const members = Object.fromEntries(topics.map((topic) => [`reads ${topic}`, { topics: [topic] }]))
    const assignment = await deal(members, Object.fromEntries(topics.map((topic) => [topic, 3])))
    for (const topic of topics) expect(assignment[`reads ${topic}`]).toEqual({ [topic]: [0, 1, 2] })
  })

  it("balances what one member cannot share by what the others can", async () => {
    const assignment = await deal({ a: { topics: ["x", "y"] }, b: { topics: ["y"] } }, { x: 2, y: 4 })
    expect(Object.values(assignment).map((of) => Object.values(of).flat().length)).toEqual([3, 3])
  })

  it("gives nothing to a member when there are more members than partitions, and says so to it", async () => {
    const assignment = await deal({ a: { topics: ["x"] }, b: { topics: ["x"] } }, { x: 1 })
    expect(Object.keys(assignment)).toEqual(["a", "b"])
    expect(partitionsOf(assignment, "x")).toEqual([0])
  })

  it("deals the same to the same members, in whatever order they came", async () => {
    const members = { a: { topics: ["x"] }, b: { topics: ["x", "y"] }, c: { topics: ["y"] } }
    const turned = Object.fromEntries(Object.entries(members).toReversed())
    const partitions = { x: 5, y: 7 }
    expect(await deal(turned, partitions)).toEqual(await deal(members, partitions))
  })
})
